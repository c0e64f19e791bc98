"""Gets a measured set: downloads, verifies and converts it to the project's own format."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from headers.files import FileError, TrafficMatrices, save_matrices
from models.datasets.archives import archive_size
from models.datasets.catalogue import DataSet
from models.datasets.download import Request, check_hash, download, sha256_of_file
from models.datasets.progress import Download, meter

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Wishes:
    """How to get a set.

    ``source``: another address, or a file or folder that is there already. ``sha256``: what the
    file's hash must be. ``keep``: leave the archive beside the result. ``again``: download even
    what is there.
    """

    out: Path
    source: str = ""
    sha256: str | None = None
    keep: bool = False
    again: bool = False
    timeout_s: float = 30.0


def save_whole(matrices: TrafficMatrices, path: Path) -> None:
    """Write a matrix file, whole or not at all.

    Raises:
        FileError: it cannot be written.
    """
    # NumPy appends .npz to any other ending
    draft = path.with_name(f".{path.stem}.part.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_matrices(matrices, draft)
        draft.replace(path)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)


def _address(entry: DataSet, file: str, source: str) -> str:
    """Return where a file is; of a set of one file, the source may be the file itself."""
    if not source:
        return urljoin(entry.base, file)
    if len(entry.files) == 1 and not source.endswith("/"):
        return source
    return urljoin(source if source.endswith("/") else source + "/", file)


def _fetch(entry: DataSet, number: int, target: Path, wishes: Wishes, say: Say) -> None:
    known = wishes.sha256 or entry.hash_of(number)
    if target.exists() and not wishes.again:
        found = sha256_of_file(target)
        check_hash(found, known, str(target))
        say(f"{target} is there already (sha256 {found})")
        return
    address = _address(entry, entry.files[number], wishes.source)
    say(f"getting {address}")
    advance = Download(target.name)
    try:
        request = Request(address, entry.bytes_max, known, wishes.timeout_s)
        found = download(request, target, advance=advance)
    finally:
        advance.close()
    verdict = "as it should be" if known else "nobody published one to compare it with"
    say(f"sha256 {found}: {verdict}")
    if not known and urlsplit(address).scheme != "https":
        say("it came unencrypted and unverified: compare the hash with one that you trust")


def _convert(entry: DataSet, archive: Path, out: Path, say: Say) -> Path:
    with meter("converting", archive_size(archive)) as advance:
        reading = entry.read(archive, advance)
    result = out / f"{entry.name}.npz"
    matrices = replace(reading.matrices, name=entry.name)
    save_whole(matrices, result)
    for line in reading.lines():
        say(line)
    if matrices.synthetic:
        say("the archive says that its traffic is synthetic")
    return result


def get(entry: DataSet, wishes: Wishes, say: Say) -> Path:
    """Return the matrix file that was made from a set of the catalogue.

    Raises:
        FileError: the download or the archive failed; what was downloaded whole is still there,
            and nothing half-made is.
    """
    if wishes.sha256 and len(entry.files) > 1:
        raise FileError(f"{entry.name} is {len(entry.files)} files: one hash cannot be that of all")
    say(f"{entry.name}: {entry.about}\nlicence: {entry.licence}\npage: {entry.page}")
    if wishes.source and not urlsplit(wishes.source).scheme:
        archive = Path(wishes.source)
        if wishes.sha256:
            check_hash(sha256_of_file(archive), wishes.sha256, str(archive))
        return _convert(entry, archive, wishes.out, say)
    single = len(entry.files) == 1
    archive = wishes.out / (entry.files[0] if single else f"{entry.name}-files")
    for number, file in enumerate(entry.files):
        _fetch(entry, number, archive if single else archive / file, wishes, say)
    result = _convert(entry, archive, wishes.out, say)
    if not wishes.keep:
        archive.unlink() if single else shutil.rmtree(archive)
    return result

"""Reads others' archives file by file, within bounds: nothing is ever unpacked to the disk.

A tar (plain, gzip, bzip2, xz), a zip, or a folder of files. Archives come from outside, so sizes
and numbers are bounded, names that lead out of the archive are refused, and an archive that ends
early is an error even where its reader would take it for the end.
"""

import bz2
import gzip
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from headers.files import FileError

MIB = 1024 * 1024
Progress = Callable[[int], object]
"""Called with the bytes of the file that were read since the last call."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may hold: files, bytes of one, bytes of all, unpacked."""

    members: int = 300_000
    member_bytes: int = 16 * MIB
    total_bytes: int = 6 * 1024 * MIB


_BROKEN = (
    EOFError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,
    RuntimeError,  # zipfile's word for an archive with a password
    ValueError,
    # what tarfile and zipfile stumble over in headers of nonsense
    LookupError,
    ArithmeticError,
    struct.error,
)


class _Counted:
    """A file that says how far it was read; as much of a file as the decompressors ask for."""

    def __init__(self, file: IO[bytes], progress: Progress | None) -> None:
        self._file = file
        self._progress = progress

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        if self._progress is not None and data:
            self._progress(len(data))
        return data

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


class _Bounded:
    """What tarfile reads from: bounds each step, and remembers how the archive ended."""

    def __init__(self, file: IO[bytes], path: Path, limits: Limits) -> None:
        self._file = file
        self._path = path
        self._limits = limits
        self._step = self._total = 0
        self._tail = b""

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._step += len(data)
        self._total += len(data)
        if data:
            self._tail = (self._tail + data[-512:])[-512:]
        # a header with a name of gigabytes would be read whole by tarfile
        if self._step > 2 * self._limits.member_bytes + MIB:
            raise FileError(f"{self._path}: a header that is larger than any file may be")
        if self._total > self._limits.total_bytes:
            raise FileError(f"{self._path}: more than {self._limits.total_bytes} bytes unpacked")
        return data

    def next_step(self) -> None:
        self._step = 0

    def finish(self) -> None:
        """Read to the end, which checks the sum of a compressed file, and ask for the end mark."""
        while self.read(MIB):
            self.next_step()
        if self._tail.strip(b"\0") or not self._tail:
            raise FileError(f"{self._path}: the archive ends in the middle; get it again")


def _check_name(path: Path, name: str) -> None:
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name or ":" in parts[0]:
        raise FileError(f"{path}: the archive holds {name!r}, a name that leads out of it")


def _check_size(path: Path, name: str, size: int, limits: Limits) -> None:
    if size > limits.member_bytes:
        raise FileError(
            f"{path}: {name} is {size} bytes unpacked; at most {limits.member_bytes} are read"
        )


def _check_number(path: Path, number: int, limits: Limits) -> None:
    if number > limits.members:
        raise FileError(f"{path}: more than {limits.members} files")


def _unpacker(file: _Counted, magic: bytes) -> IO[bytes]:
    """Return the file unpacked, by its first bytes."""
    if magic.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file, mode="rb")  # type: ignore[call-overload,no-any-return]
    if magic.startswith(b"BZh"):
        return bz2.BZ2File(file)  # type: ignore[call-overload,no-any-return]
    if magic.startswith(b"\xfd7zXZ"):
        return lzma.LZMAFile(file)  # type: ignore[arg-type]
    return file  # type: ignore[return-value]


def _from_tar(
    path: Path, file: IO[bytes], magic: bytes, limits: Limits, progress: Progress | None
) -> Iterator[tuple[str, bytes]]:
    stream = _Bounded(_unpacker(_Counted(file, progress), magic), path, limits)
    number = 0
    with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload]
        for member in archive:
            stream.next_step()
            _check_name(path, member.name)
            if member.isdir():
                continue
            if not member.isreg():
                raise FileError(f"{path}: {member.name} is a link or a device, not a file")
            number += 1
            _check_number(path, number, limits)
            _check_size(path, member.name, member.size, limits)
            content = archive.extractfile(member)
            data = content.read() if content is not None else b""
            if len(data) != member.size:
                raise FileError(f"{path}: {member.name} ends in the middle; get the archive again")
            archive.members = []  # tarfile would remember every header
            yield member.name, data
    stream.finish()


def _from_zip(
    path: Path, file: IO[bytes], limits: Limits, progress: Progress | None
) -> Iterator[tuple[str, bytes]]:
    total = 0
    with zipfile.ZipFile(file) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        _check_number(path, len(entries), limits)
        for entry in entries:
            _check_name(path, entry.filename)
            _check_size(path, entry.filename, entry.file_size, limits)
            with archive.open(entry) as content:
                data = content.read(limits.member_bytes + 1)
            _check_size(path, entry.filename, len(data), limits)
            total += len(data)
            if total > limits.total_bytes:
                raise FileError(f"{path}: more than {limits.total_bytes} bytes unpacked")
            if progress is not None:
                progress(entry.compress_size)
            yield entry.filename, data


def _from_folder(
    path: Path, limits: Limits, progress: Progress | None
) -> Iterator[tuple[str, bytes]]:
    number = 0
    for found in sorted(path.rglob("*")):
        if not found.is_file():
            continue
        number += 1
        _check_number(path, number, limits)
        _check_size(path, found.name, found.stat().st_size, limits)
        data = found.read_bytes()
        if progress is not None:
            progress(len(data))
        yield str(found.relative_to(path)), data


def archive_size(path: Path) -> int:
    """Return the bytes that reading will report as progress, at most.

    Raises:
        FileError: there is no such file.
    """
    try:
        if path.is_dir():
            return sum(found.stat().st_size for found in path.rglob("*") if found.is_file())
        return path.stat().st_size
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from error


def members(
    path: Path, limits: Limits | None = None, progress: Progress | None = None
) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every file of an archive or a folder, in its own order.

    Raises:
        FileError: it cannot be read, is damaged or cut off, is larger than the limits, or holds a
            link or a name that leads out of it.
    """
    bounds = limits or Limits()
    try:
        if path.is_dir():
            yield from _from_folder(path, bounds, progress)
            return
        with path.open("rb") as file:
            magic = file.read(6)
            file.seek(0)
            if magic.startswith(b"PK\x03\x04"):
                yield from _from_zip(path, file, bounds, progress)
            else:
                yield from _from_tar(path, file, magic, bounds, progress)
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from error
    except _BROKEN as error:
        raise FileError(
            f"{path}: a damaged archive, or none: {error or 'it ends early'}"
        ) from error

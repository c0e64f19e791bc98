"""SNDlib's archives of dynamic traffic: one file per interval, its time in the file's name.

``directed-abilene-zhang-5min-over-6months-ALL`` (2004-03-01 to 09-10, 48,096 files) and
``directed-geant-uhlig-15min-over-4months-ALL`` (2005-05-04 to 08-31, 11,460 files), native or XML,
as tgz, zip or unpacked. Intervals that were not measured have no file, or, in GÉANT's, a file
without demands. Times carry no zone and are taken as UTC.
"""

import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from headers.files import FileError
from models.datasets.archives import Limits, Progress, members
from models.datasets.reading import Reading, Rows
from models.datasets.sndlib import Matrix, parse_native, parse_xml

_NAME = re.compile(r"demandMatrix-(?P<set>.+)-(?P<day>\d{8})-(?P<time>\d{4})\.(?P<kind>txt|xml)")
_STEP = re.compile(r"-(\d+)(min|h)(?:-|$)")
_SECONDS = {"min": 60, "h": 3600}
NODES_MAX = 400


def _time_of(found: "re.Match[str]", where: str) -> int:
    try:
        at = datetime.strptime(found["day"] + found["time"], "%Y%m%d%H%M")
    except ValueError as error:
        raise FileError(f"{where}: {found['day']}-{found['time']} is no time") from error
    return int(at.replace(tzinfo=UTC).timestamp())


def _step_of(name: str) -> float | None:
    found = _STEP.search(name)
    return float(int(found[1]) * _SECONDS[found[2]]) if found and int(found[1]) else None


def _parse(kind: str, content: bytes, where: str) -> Matrix:
    if kind == "xml":
        return parse_xml(content, where)
    # comments hold names of people in whatever encoding; what is read is ASCII
    return parse_native(content.decode("latin-1"), where)


def read_sndlib(
    path: Path, limits: Limits | None = None, progress: Progress | None = None
) -> Reading:
    """Read an archive or folder of dynamic traffic; files of other names are left alone.

    Raises:
        FileError: a damaged archive, or a file in it that breaks the format; the sentence names
            the archive, the file in it and the place. Nothing is returned then.
    """
    rows = Rows(str(path))
    ignored, synthetic, name = 0, False, ""
    for member, content in members(path, limits, progress):
        found = _NAME.fullmatch(member.rsplit("/", 1)[-1])
        if found is None:
            ignored += 1
            continue
        where = f"{path}: {member}"
        if name and found["set"] != name:
            raise FileError(f"{where}: not of the set {name!r}, as the files before it")
        name = found["set"]
        matrix = _parse(found["kind"], content, where)
        if len(matrix.nodes) > NODES_MAX:
            raise FileError(f"{where}: {len(matrix.nodes)} nodes; at most {NODES_MAX} are read")
        index = rows.index(matrix.nodes, where)
        tm = np.zeros((len(index), len(index)), dtype=np.float32)
        for src, dst, value in matrix.demands:
            tm[index[src], index[dst]] += value
        rows.add(_time_of(found, where), tm, where)
        synthetic = synthetic or matrix.synthetic
    if not rows.count:
        raise FileError(f"{path}: no file in it is named as SNDlib names its traffic matrices")
    plain = _STEP.sub("", name)
    matrices = rows.finish(plain, _step_of(name), synthetic=synthetic)
    return Reading(matrices, silent=rows.silent, ignored=ignored)

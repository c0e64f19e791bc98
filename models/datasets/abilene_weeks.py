"""The weekly files X01 to X24 of Abilene's six months, as their authors published them.

Each holds 2016 lines of 720 numbers, of which every fifth, from the first, is the measured demand
and the others are estimates; the 144 demands lie row by row over the routers. A number is 100
bytes per 5 minutes. The weeks do not follow each other without gaps, and the first day of X21
repeats the last of X20, so that 48,384 lines hold 48,096 intervals. Source: the page of the data
set (Zhang, AbileneTM) and measurements of it.
"""

import gzip
import re
import zlib
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headers.files import FileError
from models.datasets.archives import MIB, Limits, Progress, members
from models.datasets.reading import Reading, Rows

ROUTERS = (
    "ATLA-M5", "ATLAng", "CHINng", "DNVRng", "HSTNng", "IPLSng",
    "KSCYng", "LOSAng", "NYCMng", "SNVAng", "STTLng", "WASHng",
)  # fmt: skip
NODES = tuple(name.replace("-", "") for name in ROUTERS)
"""The routers as SNDlib names them, and the topology file."""

STEP_S = 300
LINES = 2016
COLUMNS = 720
STRIDE = 5
DAY = 288
MBPS = 100 * 8 / STEP_S / 1e6
"""Mb/s of one unit: 100 bytes in 5 minutes."""

FIRST_DAYS = (
    "0301", "0308", "0402", "0409", "0422", "0501", "0508", "0515", "0522", "0529", "0605", "0612",
    "0619", "0626", "0703", "0710", "0717", "0724", "0731", "0807", "0813", "0821", "0828", "0904",
)  # fmt: skip
"""Where each file begins in 2004, month and day."""

_NAME = re.compile(r"X(\d\d)(?:\.(?:txt|dat))?(\.gz)?")
_LIMITS = Limits(members=1000, member_bytes=64 * MIB, total_bytes=2048 * MIB)


def first_second(week: int) -> int:
    """Return when file X``week`` (1 to 24) begins, in seconds since the epoch (UTC)."""
    day = datetime.strptime("2004" + FIRST_DAYS[week - 1], "%Y%m%d")
    return int(day.replace(tzinfo=UTC).timestamp())


def _unzip(content: bytes, where: str) -> bytes:
    try:
        with gzip.GzipFile(fileobj=BytesIO(content)) as file:
            plain = file.read(_LIMITS.member_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(f"{where}: damaged: {error}") from error
    if len(plain) > _LIMITS.member_bytes:
        raise FileError(f"{where}: more than {_LIMITS.member_bytes} bytes unpacked")
    return plain


def parse_week(content: bytes, where: str) -> NDArray[np.float32]:
    """Return the measured demands [2016, 12, 12] of one file in Mb/s.

    Raises:
        FileError: another number of lines or columns, or something that is no number; the sentence
            names line and column.
    """
    lines = content.split(b"\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if len(lines) != LINES:
        raise FileError(f"{where}: {len(lines)} lines, not {LINES}: cut off, or no weekly file")
    demands = np.empty((LINES, COLUMNS // STRIDE))
    for number, line in enumerate(lines):
        words = line.split()
        if len(words) != COLUMNS:
            raise FileError(f"{where}, line {number + 1}: {len(words)} numbers, not {COLUMNS}")
        try:
            demands[number] = [float(word) for word in words[::STRIDE]]
        except ValueError as error:
            raise FileError(f"{where}, line {number + 1}: {error}") from error
    wrong = ~((demands >= 0.0) & np.isfinite(demands))
    if wrong.any():
        line_at, column = np.argwhere(wrong)[0]
        raise FileError(
            f"{where}, line {line_at + 1}, column {column * STRIDE + 1}: negative or not finite"
        )
    nodes = len(NODES)
    return (demands * MBPS).astype(np.float32).reshape(LINES, nodes, nodes)


def read_weeks(path: Path, progress: Progress | None = None) -> Reading:
    """Read the weekly files of a folder or archive; those that are not there are gaps.

    Raises:
        FileError: there is none, one is damaged, or two files disagree about the day that both
            hold.
    """
    weeks: dict[int, NDArray[np.float32]] = {}
    ignored = 0
    for member, content in members(path, _LIMITS, progress):
        found = _NAME.fullmatch(member.rsplit("/", 1)[-1])
        if found is None or not 1 <= int(found[1]) <= len(FIRST_DAYS):
            ignored += 1
            continue
        where = f"{path}: {member}"
        if int(found[1]) in weeks:
            raise FileError(f"{where}: X{found[1]} occurs twice")
        plain = _unzip(content, where) if found[2] else content
        weeks[int(found[1])] = parse_week(plain, where)
    if not weeks:
        raise FileError(f"{path}: none of X01 to X24 is in it")
    return _joined(path, weeks, ignored)


def _joined(path: Path, weeks: dict[int, NDArray[np.float32]], ignored: int) -> Reading:
    rows = Rows(str(path))
    rows.index(NODES, str(path))
    repeated = 0
    for week in sorted(weeks):
        demands, start = weeks[week], 0
        # X21 begins on the last day of X20
        if week - 1 in weeks and first_second(week) < first_second(week - 1) + LINES * STEP_S:
            start = repeated = DAY
            if not np.allclose(weeks[week - 1][-DAY:], demands[:DAY], rtol=1e-5):
                raise FileError(f"{path}: X{week} and X{week - 1} disagree about the day of both")
        for at in range(start, LINES):
            where = f"{path}: X{week:02d}, line {at + 1}"
            rows.add(first_second(week) + at * STEP_S, demands[at].copy(), where)
    matrices = rows.finish("abilene-weeks", STEP_S, synthetic=False)
    return Reading(matrices, silent=rows.silent, repeated=repeated, ignored=ignored)

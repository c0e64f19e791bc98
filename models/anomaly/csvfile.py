"""Scores of a series in a CSV file, row by row, in the format of the Numenta Anomaly Benchmark."""

import csv
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import numpy as np

from models.anomaly.detector import BUDGET, KINDS, Detector
from models.anomaly.errors import DetectError

COLUMNS = ("timestamp", "value", "anomaly_score", "severity", "kind")
"""What is written: the first two as they were read, score and severity with six digits."""

STEP_S = 300.0
"""Seconds from row to row until the file has told."""


@dataclass(frozen=True)
class Counts:
    """What was read: rows, alarms, and what was wrong with how many rows.

    Attributes:
        rows: rows scored.
        alarms: rows that are alarms.
        bad_values: values that are missing, infinite, absurd or no numbers.
        bad_times: times that could not be read; the clock is thought to have gone on by a step.
        set_back: times before the last one.
    """

    rows: int = 0
    alarms: int = 0
    bad_values: int = 0
    bad_times: int = 0
    set_back: int = 0


def detect_file(source: Path, out: Path, budget: float = BUDGET) -> Counts:
    """Score a file's rows, each from itself and those before it, and write them to another.

    Args:
        source: has a header with ``value`` and, where the time of day shall count, ``timestamp``:
            ISO 8601 (UTC where no zone is given) or seconds since the epoch.
        out: is overwritten.
        budget: false alarms per 1,000 rows that are allowed.

    Raises:
        DetectError: a file that cannot be read or written, or has no column ``value`` or no rows.
    """
    if out.exists() and source.exists() and out.samefile(source):
        raise DetectError(f"{out}: would overwrite what it is made from; name another file")
    try:
        with source.open(newline="", encoding="utf-8-sig", errors="replace") as lines:
            rows = csv.DictReader(line.replace("\0", "") for line in lines)
            names = rows.fieldnames or ()
            if "value" not in names:
                raise DetectError(
                    f"{source}: no column 'value' in its header; NAB's files have one"
                )
            with out.open("w", newline="", encoding="utf-8") as written:
                counts = _detect(rows, written, budget)
    except (OSError, csv.Error) as error:
        raise DetectError(f"{source}: {error}") from error
    if not counts.rows:
        raise DetectError(f"{source}: a header and no rows")
    return counts


def _detect(rows: "csv.DictReader[str]", written: TextIO, budget: float) -> Counts:
    detector = Detector(1, STEP_S, budget)
    clock = _Clock()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(COLUMNS)
    number = alarms = 0
    for row in rows:
        text = row["value"] or ""
        stamp = row.get("timestamp") or ""
        said = detector.update(np.array([_number(text)]), at_s=clock.read(stamp))
        score, severity = float(said.score[0]), float(said.severity[0])
        writer.writerow((stamp, text, f"{score:.6f}", f"{severity:.6f}", KINDS[int(said.kind[0])]))
        number += 1
        alarms += int(said.alarm[0])
    return Counts(number, alarms, detector.missing, clock.bad, clock.set_back)


class _Clock:
    """Turns timestamps into seconds, and goes on by itself where one is missing or unreadable."""

    def __init__(self) -> None:
        self.bad = 0
        self.set_back = 0
        self._last_s: float | None = None
        self._step_s = STEP_S

    def read(self, text: str) -> float:
        """Return the seconds since the epoch of the next row."""
        last_s = self._last_s
        at_s = _seconds(text)
        if at_s is None:
            self.bad += 1
            at_s = 0.0 if last_s is None else last_s + self._step_s
        elif last_s is not None:
            if at_s < last_s:
                self.set_back += 1
            elif at_s > last_s:
                self._step_s = at_s - last_s
        self._last_s = at_s
        return at_s


def _seconds(text: str) -> float | None:
    """Return a time in seconds since the epoch, or None where it cannot be read."""
    at_s = _number(text)
    if math.isfinite(at_s):
        return at_s
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _number(text: str) -> float:
    """Return a number, NaN where there is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan

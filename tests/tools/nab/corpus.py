"""Reads the benchmark's files: series, windows, profiles, detectors' scores."""

import csv
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.tools.nab.scoring import Profile

ARCHIVE = "nab_dev.tar.gz"


@dataclass(frozen=True)
class Corpus:
    """The benchmark in a folder that holds ``data/``, ``labels/`` and ``config/``."""

    root: Path

    def names(self) -> tuple[str, ...]:
        """Return the series at hand as ``folder/file.csv``, in order."""
        data = self.root / "data"
        return tuple(sorted(path.relative_to(data).as_posix() for path in data.glob("*/*.csv")))

    def path(self, name: str) -> Path:
        """Return where a series lies."""
        return self.root / "data" / name

    def times(self, name: str) -> tuple[datetime, ...]:
        """Return a series' timestamps, one per row."""
        return tuple(_moment(row["timestamp"]) for row in _rows(self.path(name)))

    def windows(self, name: str) -> tuple[tuple[int, int], ...]:
        """Return the first and last row of every anomaly window of a series, in order."""
        labels = json.loads((self.root / "labels" / "combined_windows.json").read_text())
        row_of: dict[datetime, int] = {}
        for row, at in enumerate(self.times(name)):
            row_of.setdefault(at, row)  # clocks that were set back repeat times: the first counts
        return tuple((row_of[_moment(a)], row_of[_moment(b)]) for a, b in labels[name])

    def profiles(self) -> dict[str, Profile]:
        """Return the application profiles by name."""
        content = json.loads((self.root / "config" / "profiles.json").read_text())
        return {
            name: Profile(costs["tpWeight"], costs["fpWeight"], costs["fnWeight"])
            for name, costs in ((name, entry["CostMatrix"]) for name, entry in content.items())
        }


def unpack(archive: Path, folder: Path) -> Corpus:
    """Unpack the benchmark's archive into a folder and return it.

    Raises:
        ValueError: the archive holds a path that leads out of the folder.
    """
    with tarfile.open(archive) as content:
        for member in content.getmembers():
            path = (folder / member.name).resolve()
            if not path.is_relative_to(folder.resolve()):
                raise ValueError(f"{archive}: {member.name} leads out of the folder")
            data = content.extractfile(member) if member.isfile() else None
            if data is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data.read())
    return Corpus(folder / "NAB")


def unpack_at_hand(folder: Path) -> Corpus | None:
    """Unpack the archive that lies in FORESTEER_DATA; None where there is none."""
    archive = Path(os.environ.get("FORESTEER_DATA", "")) / ARCHIVE
    return unpack(archive, folder) if archive.is_file() else None


def read_scores(path: Path) -> NDArray[np.float64]:
    """Return the column ``anomaly_score`` of a detector's output, one per row."""
    return np.array([float(row["anomaly_score"]) for row in _rows(path)])


def find_output(results: Path, name: str) -> Path:
    """Return a detector's output for ``folder/file.csv``.

    The file may be named as the series, or with the detector's name before it.

    Raises:
        FileNotFoundError: there is none, or more than one.
    """
    folder, file = name.split("/")
    found = [*(results / folder).glob(file), *(results / folder).glob(f"*_{file}")]
    if len(found) != 1:
        raise FileNotFoundError(f"{results / folder}: {len(found)} outputs for {file}, not one")
    return found[0]


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="") as lines:
        yield from csv.DictReader(lines)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)

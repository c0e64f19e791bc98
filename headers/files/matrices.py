"""Traffic matrix files: a NumPy archive of demands over time.

``tm`` (float32, [time, source, destination], Mb/s, diagonal 0), ``time`` (int64, seconds) and
``nodes`` (names, in matrix order); ``synthetic`` (bool) where the traffic was made up.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headers.errors import FileError


@dataclass(frozen=True, slots=True, eq=False)
class TrafficMatrices:
    """Demands over time.

    ``tm_mbps``: float64 [time, source, destination] in Mb/s, not negative, diagonal 0.
    ``time_s``: int64 [time], increasing. ``nodes``: names in matrix order.
    """

    name: str
    nodes: tuple[str, ...]
    time_s: NDArray[np.int64]
    tm_mbps: NDArray[np.float64]
    synthetic: bool = False

    def __len__(self) -> int:
        """Return the number of intervals."""
        return len(self.time_s)

    @property
    def step_s(self) -> float:
        """The length of an interval in seconds: the median distance of two."""
        return float(np.median(np.diff(self.time_s))) if len(self) > 1 else 300.0

    def part(self, start: int, stop: int) -> "TrafficMatrices":
        """Return the intervals from ``start`` up to, not including, ``stop``."""
        return TrafficMatrices(
            self.name,
            self.nodes,
            self.time_s[start:stop],
            self.tm_mbps[start:stop],
            self.synthetic,
        )


def check_matrices(matrices: TrafficMatrices, source: str) -> TrafficMatrices:
    """Return the matrices if they keep the format's promises.

    Raises:
        FileError: wrong shape, a node twice, a demand that is negative or not finite, or time that
            stands still.
    """
    n = len(matrices.nodes)
    if matrices.tm_mbps.shape != (len(matrices.time_s), n, n):
        raise FileError(
            f"{source}: tm has shape {matrices.tm_mbps.shape}, but there are"
            f" {len(matrices.time_s)} times and {n} nodes"
        )
    if len(set(matrices.nodes)) < n:
        raise FileError(f"{source}: a node name occurs more than once")
    if not len(matrices):
        raise FileError(f"{source}: there are no intervals")
    if not np.isfinite(matrices.tm_mbps).all() or (matrices.tm_mbps < 0).any():
        raise FileError(f"{source}: tm holds demands that are negative or not finite")
    if (np.diff(matrices.time_s) <= 0).any():
        raise FileError(f"{source}: time does not increase")
    return matrices


def load_matrices(path: Path) -> TrafficMatrices:
    """Read a traffic matrix file; a demand from a node to itself is set to 0.

    Raises:
        FileError: the file cannot be read, lacks an array, or breaks the format.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in ("tm", "time", "nodes") if key not in archive]
            if missing:
                raise FileError(f"{path}: no array {missing[0]!r}: not a traffic matrix file")
            tm = np.array(archive["tm"], dtype=np.float64)
            time_s = np.array(archive["time"], dtype=np.int64)
            nodes = tuple(str(name) for name in archive["nodes"])
            synthetic = bool(archive["synthetic"]) if "synthetic" in archive else False
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from error
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise FileError(f"{path}: not a NumPy archive: {error}") from error
    if tm.ndim != 3:
        raise FileError(f"{path}: tm has {tm.ndim} dimensions, not time, source and destination")
    if tm.shape[1] == tm.shape[2]:
        tm[:, np.arange(tm.shape[1]), np.arange(tm.shape[1])] = 0.0
    return check_matrices(TrafficMatrices(path.stem, nodes, time_s, tm, synthetic), str(path))


def save_matrices(matrices: TrafficMatrices, path: Path) -> None:
    """Write a traffic matrix file."""
    np.savez_compressed(
        path,
        tm=matrices.tm_mbps.astype(np.float32),
        time=matrices.time_s,
        nodes=np.array(matrices.nodes),
        synthetic=np.array(matrices.synthetic),
    )

"""What a reader of others' archives returns: the matrices, and what was odd about them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headers.files import FileError, TrafficMatrices
from headers.files.matrices import check_matrices
from models.datasets.grid import gaps, slots


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """``silent``: intervals whose file holds no demand at all, left out like a missing file.

    ``repeated``: intervals that came twice with the same values. ``ignored``: files of the archive
    that are no matrices.
    """

    matrices: TrafficMatrices
    silent: int = 0
    repeated: int = 0
    ignored: int = 0

    def lines(self) -> list[str]:
        """Return sentences about what was read, for a person."""
        found = self.matrices
        holes = gaps(found.time_s, found.step_s, found.name)
        missing = sum(gap.missing for gap in holes)
        what = f"{len(found)} intervals of {found.step_s:g} s, {len(found.nodes)} nodes"
        said = [f"{what}, {missing} missing in {len(holes)} gaps"]
        if self.silent:
            said.append(f"{self.silent} intervals without any demand were taken as missing")
        if self.repeated:
            said.append(f"{self.repeated} intervals came twice and were taken once")
        if self.ignored:
            said.append(f"{self.ignored} other files of the archive were left alone")
        return said


class Rows:
    """Matrices one by one, in any order; kept as float32 until all are there."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._nodes: tuple[str, ...] = ()
        self._index: dict[str, int] = {}
        self._rows: dict[int, NDArray[np.float32]] = {}
        self.silent = 0

    @property
    def count(self) -> int:
        """How many matrices are there."""
        return len(self._rows) + self.silent

    def index(self, nodes: tuple[str, ...], where: str) -> dict[str, int]:
        """Return each node's place; the first matrix decides it for all.

        Raises:
            FileError: other nodes than in the first matrix.
        """
        if not self._nodes:
            self._nodes = nodes
            self._index = {name: at for at, name in enumerate(nodes)}
        elif nodes != self._nodes and set(nodes) != set(self._nodes):
            odd = min(set(nodes) ^ set(self._nodes))
            raise FileError(f"{where}: the nodes are others than before ({odd!r})")
        return self._index

    def add(self, time_s: int, matrix: NDArray[np.float32], where: str) -> None:
        """Take the matrix [N, N] of one interval.

        Raises:
            FileError: the interval is there already.
        """
        if time_s in self._rows:
            raise FileError(f"{where}: the interval at {time_s} s occurs twice")
        np.fill_diagonal(matrix, 0.0)
        if not matrix.any():
            self.silent += 1
            return
        self._rows[time_s] = matrix

    def finish(self, name: str, step_s: float | None, *, synthetic: bool) -> TrafficMatrices:
        """Return the matrices in the order of their time.

        Raises:
            FileError: there are none, or a time lies off the grid of ``step_s``.
        """
        if not self._rows:
            raise FileError(f"{self._source}: there is no traffic matrix in it")
        times = sorted(self._rows)
        count = len(self._nodes)
        tm = np.empty((len(times), count, count))
        for at, time_s in enumerate(times):
            tm[at] = self._rows.pop(time_s)
        time = np.array(times, dtype=np.int64)
        made = TrafficMatrices(name, self._nodes, time, tm, synthetic)
        slots(time, step_s or made.step_s, self._source)
        return check_matrices(made, self._source)

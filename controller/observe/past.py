"""Past demands, kept so that every picture of them is a view and none is ever written again."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

FIRST = 512
"""Rows that room is made for at first."""


class Past:
    """The last ``most`` demand matrices [N, N], oldest first.

    Rows are only ever added behind the last one; when the room is used up, the rows that still
    count move to another. So a Snapshot holds a view, which costs nothing and stays as it was, and
    a hundred remembered Snapshots hold two rooms between them and not a hundred copies.
    """

    def __init__(self, nodes: int, most: int) -> None:
        self.most = most
        self._room = np.empty((min(FIRST, 2 * most), nodes, nodes))
        self._end = 0

    def __len__(self) -> int:
        """Return how many rows are known."""
        return min(self._end, self.most)

    def append(self, row: Matrix) -> None:
        """Add the newest interval's demands."""
        if self._end == len(self._room):
            kept = self._room[self._end - len(self) :]
            # twice what is kept, so that moving is rare; more than twice the most is never needed
            self._room = np.empty((min(2 * len(kept), 2 * self.most), *row.shape))
            self._room[: len(kept)] = kept
            self._end = len(kept)
        self._room[self._end] = row
        self._end += 1

    def extend(self, rows: Iterable[Matrix]) -> None:
        """Add several, oldest first."""
        for row in rows:
            self.append(row)

    def rows(self) -> Matrix:
        """Return [T, N, N], read-only; one row of zeros where nothing is known."""
        if not self._end:
            return np.zeros((1, *self._room.shape[1:]))
        view = self._room[self._end - len(self) : self._end]
        view.flags.writeable = False
        return view

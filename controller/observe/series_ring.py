"""The memory of one kind: many series on one regular grid of time, the latest intervals only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Labels:
    """What a series is about: where it comes from and goes to, and the most that fits (or 0)."""

    source: str = ""
    destination: str = ""
    capacity: float = 0.0


class Ring:
    """Values of up to ``most`` series in the last ``rows`` intervals; NaN where there are none.

    Times are seconds on a clock that never jumps. Several samples of an interval are averaged.
    """

    def __init__(self, step_s: float, rows: int, most: int) -> None:
        self.step_s = step_s
        self.rows = rows
        self.most = most
        self.labels: dict[str, Labels] = {}
        self.newest = -1
        self._columns: dict[str, int] = {}
        self._free: list[int] = []
        self._values = np.full((rows, 0), np.nan)
        self._counts = np.zeros((rows, 0), dtype=np.int64)
        self._heard: dict[str, float] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The series, in order of their names."""
        return tuple(sorted(self._columns))

    def number(self, time_s: float) -> int:
        """Return the interval's number."""
        return int(time_s // self.step_s)

    def put(self, name: str, time_s: float, value: float, labels: Labels) -> str:
        """Take a sample; return why not, or an empty string."""
        at = self.number(time_s)
        if at <= self.newest - self.rows:
            return "late"
        if self._heard.get(name) == time_s:
            return "duplicate"
        if name not in self._columns:
            if len(self._columns) >= self.most:
                return "too_many"
            self._add(name)
        self.advance(at)
        self.labels[name] = labels
        self._heard[name] = max(time_s, self._heard.get(name, time_s))
        row, column = at % self.rows, self._columns[name]
        self._counts[row, column] += 1
        count = self._counts[row, column]
        before = self._values[row, column] if count > 1 else 0.0
        self._values[row, column] = before + (value - before) / count
        return ""

    def advance(self, at: int) -> None:
        """Go on to an interval; those that nothing was heard of stay gaps."""
        if self.newest < 0 or at - self.newest >= self.rows:
            self._values[:] = np.nan
            self._counts[:] = 0
        else:
            for number in range(self.newest + 1, at + 1):
                self._values[number % self.rows] = np.nan
                self._counts[number % self.rows] = 0
        self.newest = max(self.newest, at)

    def history(self, until: int, length: int | None = None) -> tuple[tuple[str, ...], Array]:
        """Return the names and the values [T, S] of the last intervals up to number ``until``.

        Intervals before the first that anything was heard in are left out.
        """
        self.advance(max(until, self.newest))
        names = self.names
        first = max(until - (length or self.rows) + 1, self.newest - self.rows + 1)
        rows = np.arange(first, until + 1) % self.rows
        values = self._values[rows][:, [self._columns[name] for name in names]]
        full = np.flatnonzero(~np.isnan(values).all(axis=1))
        return names, values[full[0] :] if len(full) else values[:0]

    def forget(self, name: str) -> bool:
        """Drop a series and all its values; return whether there was one."""
        column = self._columns.pop(name, None)
        if column is None:
            return False
        self._values[:, column] = np.nan
        self._counts[:, column] = 0
        self._free.append(column)
        self.labels.pop(name, None)
        self._heard.pop(name, None)
        return True

    def forget_before(self, time_s: float) -> None:
        """Drop values of intervals that began before a time, and series that have none left."""
        keep = self.number(time_s) + (time_s % self.step_s > 0.0)
        for number in range(max(self.newest - self.rows + 1, 0), min(keep, self.newest + 1)):
            self._values[number % self.rows] = np.nan
            self._counts[number % self.rows] = 0
        self.forget_silent(time_s)

    def forget_silent(self, since_s: float) -> list[str]:
        """Drop series that were not heard of since a time; return which."""
        gone = [name for name, heard in self._heard.items() if heard < since_s]
        for name in gone:
            self.forget(name)
        return gone

    def _add(self, name: str) -> None:
        if not self._free:
            count = self._values.shape[1]
            more = min(max(8, count), self.most - count)
            self._values = np.hstack([self._values, np.full((self.rows, more), np.nan)])
            self._counts = np.hstack([self._counts, np.zeros((self.rows, more), np.int64)])
            self._free = list(range(count + more - 1, count - 1, -1))
        self._columns[name] = self._free.pop()

"""Counters that grow become rates; those that wrap or begin anew are told apart."""

from collections import Counter
from collections.abc import Hashable

WRAP_PART = 0.25
"""A counter that seems to have fallen has wrapped if it grew by less than this part of its
range: else it began anew."""


class RateMeter:
    """Rates of growing counters, by key.

    ``counts``: ``wrap``, ``reset``, ``clock`` (a time that does not grow), ``too_many``, ``value``.
    """

    def __init__(self, most: int = 100_000) -> None:
        self.counts: Counter[str] = Counter()
        self._most = most
        self._before: dict[Hashable, tuple[float, int]] = {}

    def rate(self, key: Hashable, time_s: float, count: int, bits: int = 64) -> float | None:
        """Return the growth per second since this key's last reading; None where there is none."""
        if not 0 <= count < 1 << bits or not abs(time_s) < 1e15:
            self.counts["value"] += 1
            return None
        before = self._before.get(key)
        if before is None and len(self._before) >= self._most:
            self.counts["too_many"] += 1
            return None
        self._before[key] = (time_s, count)
        if before is None:
            return None
        if time_s <= before[0]:
            self.counts["clock"] += 1
            return None
        grown = count - before[1]
        if grown < 0:
            grown += 1 << bits
            if grown > WRAP_PART * (1 << bits) or bits > 32:
                # nothing counts a quarter of its range between two readings, or 64 bits at all
                self.counts["reset"] += 1
                return None
            self.counts["wrap"] += 1
        return grown / (time_s - before[0])

    def forget(self, live: set[Hashable]) -> None:
        """Drop the keys that are not among the live ones."""
        self._before = {key: seen for key, seen in self._before.items() if key in live}

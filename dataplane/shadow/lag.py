"""How late a shadow is, measured without trusting that clocks agree.

The primary says how long a change waited there (its own clock), and when it sent the datagram. The
difference between arrival and sending holds the clocks' unknown offset; its minimum over some
seconds is the offset plus the shortest delay, and half of the shortest round trip stands for that
delay. So clocks may be apart by any amount, and drift: 100 parts per million are 1 ms in 10 s.
"""

import math
from typing import Final

import numpy as np

from headers.replication import Rows

WINDOW_US: Final = 5_000_000
_STEPS_PER_OCTAVE = 16
_BINS = 26 * _STEPS_PER_OCTAVE


class WindowedMinimum:
    """The least of the values of the last 5 to 10 seconds."""

    def __init__(self) -> None:
        self._since_us = 0
        self._previous: int | None = None
        self._present: int | None = None

    def add(self, value: int, now_us: int) -> int:
        """Take a value; return the least."""
        if self._present is None or now_us - self._since_us >= WINDOW_US:
            recent = now_us - self._since_us < 2 * WINDOW_US
            self._previous = self._present if recent else None
            self._present, self._since_us = value, now_us
        self._present = min(self._present, value)
        return self._present if self._previous is None else min(self._present, self._previous)


class LagMeter:
    """Lags of connections in a histogram of logarithmic bins, 4 % wide."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS, np.int64)
        self._offset = WindowedMinimum()

    def arrived(self, sent_us: int, delay_us: int, now_us: int) -> int:
        """Return how long a datagram was under way, in µs, from when it was sent and arrived.

        ``delay_us``: half of the shortest round trip, as the primary knows it.
        """
        passed = now_us - sent_us
        return passed - self._offset.add(passed, now_us) + delay_us

    def add(self, waited: Rows, under_way_us: int) -> None:
        """Note changes that waited [n] (in units of 100 µs) before they were sent."""
        lag_us = waited.astype(np.float64) * 100 + under_way_us
        bins = (_STEPS_PER_OCTAVE * np.log2(np.maximum(lag_us, 1))).astype(np.int64)
        self._counts += np.bincount(np.minimum(bins, _BINS - 1), minlength=_BINS)

    @property
    def count(self) -> int:
        """Return how many lags were noted."""
        return int(self._counts.sum())

    def percentile_us(self, share: float) -> int:
        """Return the lag in µs that a share of the changes did not exceed; 0 if there were none."""
        total = self.count
        if not total:
            return 0
        rank = max(1, math.ceil(share * total))
        place = int(np.searchsorted(np.cumsum(self._counts), rank))
        return round(2 ** ((place + 1) / _STEPS_PER_OCTAVE))

    def decay(self) -> None:
        """Halve what is known, so that percentiles are those of the last while."""
        self._counts //= 2

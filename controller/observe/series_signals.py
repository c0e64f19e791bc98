"""Outside signals as they were pushed: ticket sales, news, trends; past values and announced ones.

Times are wall time: who announces a value of next week means the calendar.
"""

import bisect
from collections import Counter

import numpy as np

from models.covariates import Signal

SIGNALS_MOST = 64
SAMPLES_MOST = 4096
HOLD_S = 86_400.0
"""A value holds until the next, but no longer than this."""

AHEAD_S = 400 * 86_400.0
"""Nothing is announced for later than this."""


class SignalBook:
    """Signals by name, each as its samples in order of time.

    ``counts``: ``taken`` and refusals: ``too_many``, ``value``, ``future``, ``late``.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._samples: dict[str, list[tuple[float, float]]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The signals."""
        return tuple(sorted(self._samples))

    def put(self, name: str, time_s: float, value: float, now_s: float) -> str:
        """Take a sample, in place of one at the same time; return why not, or an empty string."""
        reason = self._reason(name, time_s, value, now_s)
        self.counts[reason or "taken"] += 1
        if reason:
            return reason
        samples = self._samples.setdefault(name, [])
        at = bisect.bisect_left(samples, (time_s, -np.inf))
        if at < len(samples) and samples[at][0] == time_s:
            samples[at] = (time_s, value)
        else:
            samples.insert(at, (time_s, value))
        if len(samples) > SAMPLES_MOST:
            del samples[0]
        return ""

    def forget(self, name: str) -> bool:
        """Drop a signal; return whether there was one."""
        return self._samples.pop(name, None) is not None

    def view(self, now_s: float, step_s: float, horizons: tuple[int, ...]) -> tuple[Signal, ...]:
        """Return the signals in the interval that ends now, with what is announced."""
        return tuple(
            Signal(
                name,
                self._mean(samples, now_s - step_s, now_s, HOLD_S),
                {
                    h: value
                    for h in horizons
                    if not np.isnan(
                        value := self._mean(samples, now_s + (h - 1) * step_s, now_s + h * step_s)
                    )
                },
            )
            for name, samples in sorted(self._samples.items())
        )

    def _reason(self, name: str, time_s: float, value: float, now_s: float) -> str:
        if not abs(value) <= 1e30:  # NaN is not
            return "value"
        if not abs(time_s) < 1e15 or time_s > now_s + AHEAD_S:
            return "future"
        if time_s < now_s - HOLD_S:
            return "late"
        return "too_many" if name not in self._samples and len(self.names) >= SIGNALS_MOST else ""

    @staticmethod
    def _mean(
        samples: list[tuple[float, float]], since_s: float, until_s: float, hold_s: float = 0.0
    ) -> float:
        """Return the mean within a stretch of time, else the last before it, else NaN."""
        first = bisect.bisect_left(samples, (since_s, -np.inf))
        last = bisect.bisect_left(samples, (until_s, -np.inf))
        if last > first:
            return float(np.mean([value for _, value in samples[first:last]]))
        if first and since_s - samples[first - 1][0] <= hold_s:
            return samples[first - 1][1]
        return float("nan")

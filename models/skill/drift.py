"""Whether forecasts have become worse than they used to be: the alarm that asks for retraining.

The loss of what was given out, relative to the volume, is followed at two speeds. While the fast
mean stays above the slow one by more than the slow one's own wandering explains, evidence adds up
(a cumulative sum, Page 1954); a single bad hour does not raise it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from models.anomaly.severity import severity

Array = NDArray[np.float64]

SLOW = 1.0 / 600.0
SETTLE = 72
"""Matured intervals before drift can be said."""

SLACK = 0.5
"""Standard deviations that a loss may be higher without counting as evidence."""

ALARM = 60.0
"""Evidence that raises the alarm: some three hours of losses at one and a half deviations over."""

LIMIT = 4.0
"""One interval counts for at most this many deviations."""


@dataclass(frozen=True, slots=True)
class Drift:
    """``evidence`` over the alarm level is drift; ``ratio`` tells how much worse the loss is now.

    ``severity``: 0 (none) to 5 (certain and extreme), on the scale of ``models.anomaly.severity``.
    """

    alarm: bool
    evidence: float
    ratio: float
    severity: float


class DriftWatch:
    """Follows one horizon's losses; overlapping horizons are thinned by their length."""

    def __init__(self, horizon: int) -> None:
        self.state = Drift(False, 0.0, 1.0, 0.0)
        self._horizon = horizon
        self._count = 0
        self._mean = self._variance = 0.0
        self._fast = 0.0
        self._evidence = 0.0

    def learn(self, losses: Mapping[str, Array]) -> None:
        """Take the losses of one matured interval, as ``Horizon.learn`` returns them."""
        volume = float(losses["volume"].sum())
        loss = float(losses["mix"].sum())
        if volume <= 0.0 or loss <= 0.0:
            return
        value = log(loss / volume)
        self._count += 1
        rate = max(SLOW, 1.0 / self._count)
        if self._count == 1:
            self._mean = self._fast = value
        deviation = sqrt(self._variance) + 1e-3
        over = min(max((value - self._mean) / deviation, -LIMIT), LIMIT)
        if self._count > SETTLE:
            self._evidence = max(0.0, self._evidence + (over - SLACK) / self._horizon)
            self._evidence = min(self._evidence, 3.0 * ALARM)
        # what is strange is learned slowly, so that drift does not hide itself
        step = value - self._mean
        limited = min(max(step, -LIMIT * deviation), LIMIT * deviation) if rate == SLOW else step
        self._mean += rate * limited
        self._variance += rate * (limited**2 - self._variance)
        self._fast += max(1.0 / 24.0, 1.0 / self._count) * (value - self._fast)
        self.state = self._say()

    def _say(self) -> Drift:
        alarm = self._evidence >= ALARM
        ratio = float(np.exp(self._fast - self._mean))
        certain = np.array(min(self._evidence / ALARM, 1.0))
        grade = float(severity(certain, np.array(max(ratio - 1.0, 0.0))))
        return Drift(alarm, self._evidence, ratio, grade)

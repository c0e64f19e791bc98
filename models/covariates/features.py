"""What is known beforehand, as numbers: the calendar, and signals from outside."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DAY_S = 86_400.0
WEEK_S = 7 * DAY_S
DAY_WAVES = 3
WEEK_WAVES = 2

LAGS = 13
"""How far back a signal is looked at, in intervals: its last values, 0 to 12 intervals old."""

SIGNAL_FEATURES = LAGS + 2
"""The last values, their longer mean, and the announced value of the target's time."""

SLOW = 1.0 / 500.0
LONG = 1.0 / 48.0
CLIP = 4.0
"""A signal counts as at most so many times its usual size."""

JUMP = 5.0
"""What teaches the usual size counts as at most so many times of it: 10^6 must not blind it."""


def calendar(at_s: float) -> Array:
    """Return waves of the day and the week [F] at a time in seconds since the epoch (UTC)."""
    day = 2.0 * np.pi * (at_s % DAY_S) / DAY_S * np.arange(1, DAY_WAVES + 1)
    week = 2.0 * np.pi * (at_s % WEEK_S) / WEEK_S * np.arange(1, WEEK_WAVES + 1)
    waves: Array = np.concatenate([np.sin(day), np.cos(day), np.sin(week), np.cos(week)])
    return waves


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """An outside signal at one interval: its value now, and what is announced of later ones.

    ``value``: NaN where it is not known. ``ahead``: by how many intervals ahead.
    """

    name: str
    value: float
    ahead: Mapping[int, float] = field(default_factory=dict)


class SignalTrack:
    """One signal's past in units of its own usual size, around its own slow mean."""

    def __init__(self) -> None:
        self._mean = 0.0
        self._size = 0.0
        self._count = 0
        self._long = 0.0
        self._past: deque[float] = deque([0.0] * LAGS, maxlen=LAGS)

    def push(self, value: float) -> None:
        """Take the value of the next interval; what is no number counts as usual."""
        scaled = 0.0
        if abs(value) <= 1e30:  # NaN is not
            self._follow(value)
            scaled = self.scaled(value)
        self._long += LONG * (scaled - self._long)
        self._past.appendleft(scaled)

    def scaled(self, value: float) -> float:
        """Return a value in usual sizes, 0 for none."""
        if not abs(value) <= 1e30 or self._size <= 1e-12 * (abs(self._mean) + 1e-12):
            return 0.0
        return float(np.clip((value - self._mean) / self._size, -CLIP, CLIP))

    def features(self, signal: Signal, horizon: int) -> Array:
        """Return what is known of a target so many intervals ahead, [SIGNAL_FEATURES]."""
        announced = self.scaled(signal.ahead.get(horizon, float("nan")))
        return np.array([*self._past, self._long, announced])

    def _follow(self, value: float) -> None:
        self._count += 1
        rate = max(SLOW, 1.0 / self._count)
        if self._count == 1:
            self._mean = value
        step = value - self._mean
        if self._size > 0.0:
            step = float(np.clip(step, -JUMP * self._size, JUMP * self._size))
        self._mean += rate * step
        self._size += rate * (1.25 * abs(step) - self._size) if self._count > 2 else abs(step)

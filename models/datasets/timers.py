"""Machine traffic: pulses that return after an hour, a day, or a period of their own.

On measured backbones single demands are mostly such pulses (backups, mirrors, measurements), and
a forecaster that has never seen one cannot tell them from noise.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MINUTES = (5, 10, 15, 30, 60, 60, 60, 120, 360, 1440, 1440)
"""Periods that people choose, by how often they do."""


def timers(
    rng: np.random.Generator, intervals: int, series: int, step_s: float, per_series: float
) -> Array:
    """Return [T, S]: pulses in units of each series' level, on average ``per_series`` timers each.

    A timer has a period (two thirds by the clock, else 2.2 to 90 intervals, not whole), a length,
    a size (0.05 to 3 levels), some noise, may miss returns, and may begin or end on the way.
    """
    pulses = np.zeros((intervals, series))
    at = np.arange(intervals)
    for column in range(series):
        for _ in range(rng.poisson(per_series)):
            if rng.random() < 0.67:
                period = 60.0 * rng.choice(MINUTES) / step_s
            else:
                period = float(np.exp(rng.uniform(np.log(2.2), np.log(90.0))))
            if not 2.0 <= period <= intervals / 2:
                continue
            phase = rng.uniform(0.0, period)
            length = float(np.exp(rng.uniform(np.log(0.4), np.log(max(0.5, min(6.0, period / 3))))))
            # the share of each interval that the pulse lasts, between two returns
            begin = (at - phase) % period
            share = np.clip(np.minimum(begin + 1.0, period + length) - period, 0.0, 1.0)
            share += np.clip(np.minimum(begin + 1.0, length) - begin, 0.0, 1.0)
            turn = np.floor((at - phase) / period).astype(np.int64)
            turn -= turn.min()
            count = int(turn.max()) + 2
            size = float(np.exp(rng.uniform(np.log(0.05), np.log(3.0))))
            sizes = size * np.exp(rng.normal(0.0, rng.uniform(0.0, 0.4), count))
            sizes *= rng.random(count) > rng.choice((0.0, 0.0, 0.1, 0.3))
            form = share * sizes[turn]
            if rng.random() < 0.3:
                turning = rng.integers(0, intervals)
                form[:turning] = 0.0 if rng.random() < 0.5 else form[:turning]
                form[turning:] = 0.0 if rng.random() < 0.5 else form[turning:]
            pulses[:, column] += form
    return pulses

"""The one shape that every forecaster takes, and the repair of what is missing in it."""

import numpy as np
from numpy.typing import NDArray

from models.errors import ForecastError

Array = NDArray[np.float64]

LIMIT = 1e30
"""Values above this are not traffic: they are repaired like gaps (float32 ends at 3e38)."""


def repair(window: Array) -> tuple[Array, int]:
    """Return the window with every bad value replaced, and how many there were.

    ``window``: [S, L], oldest first. NaN, infinite, negative and absurdly large values take the
    last good value before them, or, at the front, the first good one; a series without any good
    value becomes 0. The input is not written.
    """
    if not window.size or (window.min() >= 0.0 and window.max() <= LIMIT):  # NaN compares false
        return window, 0
    bad = ~((window >= 0.0) & (window <= LIMIT))
    count = int(np.count_nonzero(bad))
    length = window.shape[1]
    last_good = np.maximum.accumulate(np.where(bad, -1, np.arange(length)), axis=1)
    first_good = np.argmin(bad, axis=1)
    source = np.where(last_good >= 0, last_good, first_good[:, None])
    filled = np.take_along_axis(window, source, axis=1)
    filled[bad.all(axis=1)] = 0.0
    return filled, count


def check_question(window: Array, horizons: tuple[int, ...], step_s: float) -> Array:
    """Return the window as float64 if the question can be answered.

    Raises:
        ForecastError: the window is not [S, L] with at least one interval, a horizon is below one
            step, there is no horizon, or the step is not a positive number of seconds.
    """
    checked = np.asarray(window, dtype=np.float64)
    if checked.ndim != 2 or checked.shape[1] < 1:
        raise ForecastError(
            f"a window has the shape (series, intervals) with at least one interval, not"
            f" {checked.shape}"
        )
    if not horizons or any(h != int(h) or h < 1 for h in horizons):
        raise ForecastError(f"horizons are whole steps from 1 on, not {horizons}")
    if not (np.isfinite(step_s) and step_s > 0.0):
        raise ForecastError(f"a step of {step_s} s is not a length of time")
    return checked

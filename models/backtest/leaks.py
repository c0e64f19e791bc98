"""Catching look-ahead: a forecast must not change when what comes after it does."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from models.choice import WINDOW
from models.forecaster import Forecaster

Array = NDArray[np.float64]

Predict = Callable[[Array, int], Array]
"""From values [T, S] and an origin (the last interval that may be seen) to quantiles [S, H, Q]."""


def from_window(
    forecaster: Forecaster, horizons: tuple[int, ...], step_s: float, window: int = WINDOW
) -> Predict:
    """Return a forecaster's honest way from values to forecast: a copy of the past, no more."""

    def predict(values: Array, origin: int) -> Array:
        past = values[max(0, origin + 1 - window) : origin + 1].T.copy()
        return forecaster.forecast(past, horizons, step_s)

    return predict


def find_leak(predict: Predict, values: Array, origins: Sequence[int]) -> int | None:
    """Return the first origin whose forecast depends on what came after it, or None.

    The future is replaced by values of another size, and hidden as NaN: an honest forecast stays
    the same to the last bit.
    """
    for origin in origins:
        honest = predict(values, origin)
        for future in (np.nanmax(values, initial=0.0) * 3.0 + 1.0, np.nan):
            other = values.copy()
            other[origin + 1 :] = future
            if not np.array_equal(honest, predict(other, origin)):
                return origin
    return None

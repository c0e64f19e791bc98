"""The same time yesterday: what a person would write on a whiteboard."""

import numpy as np
from numpy.typing import NDArray

from models.forecaster import Forecaster
from models.simple.moving import LastValue, spread

Array = NDArray[np.float64]

DAYS = 7
"""Earlier days that are averaged, at most."""

ERRORS = 64
"""Recent intervals that the spread is measured on."""


class Seasonal(Forecaster):
    """The mean of the same time on earlier days, moved by how today differs from it so far.

    Where the window does not reach back a day, the last value stands in.
    """

    name = "seasonal"

    def _quantiles(self, window: Array, horizons: tuple[int, ...], step_s: float) -> Array:
        day = round(86_400.0 / step_s)
        length = window.shape[1]
        days = min(DAYS, (length - 1) // max(day, 1))
        if day < 2 or days < 1 or max(horizons) >= day:
            return LastValue()._quantiles(window, horizons, step_s)
        profile = np.mean(
            [window[:, length - k * day - 1 : length - (k - 1) * day] for k in range(1, days + 1)],
            axis=0,
        )  # from this time a day ago up to now, [S, day + 1]
        shift = window[:, -1] - profile[:, 0]
        past = min(ERRORS, length - days * day - 1)
        fans = []
        for horizon in horizons:
            centre = profile[:, horizon] + shift
            fans.append(spread(centre, self._errors(window, horizon, day, days, past)))
        return np.stack(fans, axis=1)

    @staticmethod
    def _errors(window: Array, horizon: int, day: int, days: int, past: int) -> Array:
        """Return [S, E]: what the same rule got wrong at recent intervals."""
        length = window.shape[1]
        count = min(past, length - horizon - days * day)
        if count < 1:
            return window[:, horizon:][:, -ERRORS:] - window[:, :-horizon][:, -ERRORS:]
        target = np.arange(length - count, length)
        origin = target - horizon
        before = np.mean(
            [
                window[:, target - k * day] - window[:, np.maximum(origin - k * day, 0)]
                for k in range(1, days + 1)
            ],
            axis=0,
        )
        errors: Array = window[:, target] - window[:, origin] - before
        return errors

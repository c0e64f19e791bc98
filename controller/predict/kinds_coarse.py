"""A forecaster asked on means of several intervals: seconds ahead need no quarters of a second."""

import numpy as np
from numpy.typing import NDArray

from models import Forecaster
from models.windows import check_question

Array = NDArray[np.float64]


class Coarse(Forecaster):
    """Another forecaster, shown means of ``every`` intervals; what it says is of such means.

    Where the window is too short for two of them it is shown the intervals as they are.
    """

    def __init__(self, inner: Forecaster, every: int) -> None:
        super().__init__()
        self.name = inner.name
        self._inner = inner
        self._every = max(every, 1)

    def _quantiles(self, window: Array, horizons: tuple[int, ...], step_s: float) -> Array:
        check_question(window, horizons, step_s)
        every = self._every
        count = window.shape[1] // every
        if count < 2 or every == 1:
            return self._inner.forecast(window, tuple(min(h, 48) for h in horizons), step_s)
        means = window[:, -count * every :].reshape(len(window), count, every).mean(axis=2)
        steps = tuple(max(-(-h // every), 1) for h in horizons)
        return self._inner.forecast(means, steps, step_s * every)

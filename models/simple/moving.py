"""The simplest forecasters: last value and moving average."""

import numpy as np
from numpy.typing import NDArray

from models.forecaster import Forecaster
from models.quantiles import MEDIAN, QUANTILES

Array = NDArray[np.float64]

ALPHAS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05)
"""The smoothing factors that EWMA chooses from; 1 is the last value."""

LOOK_BACK = 64
"""Intervals that the simple forecasters look back."""

WARM = 8
"""Intervals that a moving average is given to settle before its errors count."""


def spread(centre: Array, errors: Array) -> Array:
    """Return quantiles [S, Q] around ``centre`` [S] from past errors [S, E].

    The shape of the distribution is pooled over all series, its scale is each series' own mean
    error, so a few dozen errors per series are enough. Without errors all quantiles are equal.
    """
    if not errors.shape[1]:
        return np.repeat(centre[:, None], len(QUANTILES), axis=1)
    scale = np.abs(errors).mean(axis=1)
    moving = scale > 0.0
    if not moving.any():
        return np.repeat(centre[:, None], len(QUANTILES), axis=1)
    relative = np.quantile(errors[moving] / scale[moving, None], QUANTILES)
    # the centre stays the forecast's own: a moving average is known by its median
    fan: Array = centre[:, None] + scale[:, None] * (relative - relative[MEDIAN])
    return fan


class LastValue(Forecaster):
    """Tomorrow is like now: the last interval, spread by how wrong that was in the window."""

    name = "last"

    def _quantiles(self, window: Array, horizons: tuple[int, ...], _step_s: float) -> Array:
        window = window[:, -LOOK_BACK:]
        fans = [spread(window[:, -1], window[:, h:] - window[:, :-h]) for h in horizons]
        return np.stack(fans, axis=1)


class Ewma(Forecaster):
    """Exponentially weighted moving average, its smoothing tuned on the window itself.

    Per horizon the factor with the least absolute error over all series of the window is taken
    (relative to each series' volume), or always ``alpha`` where one is given.
    """

    name = "ewma"

    def __init__(self, alpha: float | None = None) -> None:
        """Make one; ``alpha`` in (0, 1] fixes the smoothing factor."""
        super().__init__()
        if alpha is not None and not 0.0 < alpha <= 1.0:
            raise ValueError(f"a smoothing factor lies above 0 and up to 1, not at {alpha}")
        self._alphas = np.array(ALPHAS if alpha is None else (alpha,))

    def _quantiles(self, window: Array, horizons: tuple[int, ...], _step_s: float) -> Array:
        window = window[:, -LOOK_BACK:]
        paths = self._paths(window)
        length = window.shape[1]
        fans = []
        for horizon in horizons:
            start = min(WARM, max(length - horizon - 1, 0))
            before = paths[:, start : max(length - horizon, 0)]
            truth = window.T[start + horizon :]
            # summed over series in their own unit, as NMAE does: large demands count
            wrong = np.abs(truth - before).sum(axis=(1, 2)) if len(truth) else np.zeros(1)
            best = int(np.argmin(wrong))
            errors = (truth - before[best]).T if len(truth) else np.zeros((len(window), 0))
            fans.append(spread(paths[best, -1], errors))
        return np.stack(fans, axis=1)

    def _paths(self, window: Array) -> Array:
        """Return [A, L, S]: the moving average after each interval, for every factor."""
        alphas = self._alphas[:, None]
        paths = np.empty((len(self._alphas), window.shape[1], len(window)))
        level = np.repeat(window[None, :, 0], len(self._alphas), axis=0)
        for at in range(window.shape[1]):
            level = level + alphas * (window[None, :, at] - level)
            paths[:, at] = level
        return paths

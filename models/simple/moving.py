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

CHUNK = 128
"""Series that the smoothing factor is tuned on at once."""

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
    look_back = LOOK_BACK

    def _quantiles(self, window: Array, horizons: tuple[int, ...], _step_s: float) -> Array:
        fans = [spread(window[:, -1], window[:, h:] - window[:, :-h]) for h in horizons]
        return np.stack(fans, axis=1)


class Ewma(Forecaster):
    """Exponentially weighted moving average, its smoothing tuned on the window itself.

    Per horizon the factor with the least absolute error over all series of the window is taken
    (relative to each series' volume), or always ``alpha`` where one is given.
    """

    name = "ewma"
    look_back = LOOK_BACK

    def __init__(self, alpha: float | None = None) -> None:
        """Make one; ``alpha`` in (0, 1] fixes the smoothing factor."""
        super().__init__()
        if alpha is not None and not 0.0 < alpha <= 1.0:
            raise ValueError(f"a smoothing factor lies above 0 and up to 1, not at {alpha}")
        self._alphas = np.array(ALPHAS if alpha is None else (alpha,))

    def _quantiles(self, window: Array, horizons: tuple[int, ...], _step_s: float) -> Array:
        rows = window.T
        best = self._best(rows, horizons)
        length = len(rows)
        fans = []
        for horizon, alpha in zip(horizons, best, strict=True):
            path = _path(rows, alpha)
            start = _start(length, horizon)
            errors = (rows[start + horizon :] - path[start : max(length - horizon, 0)]).T
            fans.append(spread(path[-1], errors))
        return np.stack(fans, axis=1)

    def _best(self, rows: Array, horizons: tuple[int, ...]) -> list[float]:
        """Return, per horizon, the factor that was wrong by the least over all series.

        Summed over series in their own unit, as NMAE does: large demands count.
        """
        if len(self._alphas) == 1:
            return [float(self._alphas[0])] * len(horizons)
        wrong = np.zeros((len(horizons), len(self._alphas)))
        length = len(rows)
        for first in range(0, rows.shape[1], CHUNK):  # what fits into the cache
            part = np.ascontiguousarray(rows[:, None, first : first + CHUNK])
            path = _path(part, self._alphas[:, None])
            for at, horizon in enumerate(horizons):
                start = _start(length, horizon)
                error = part[start + horizon :] - path[start : max(length - horizon, 0)]
                wrong[at] += np.abs(error, out=error).sum(axis=(0, 2))
        return [float(self._alphas[at]) for at in np.argmin(wrong, axis=1)]


def _start(length: int, horizon: int) -> int:
    """Return the first interval whose forecast counts."""
    return min(WARM, max(length - horizon - 1, 0))


def _path(rows: Array, alpha: float | Array) -> Array:
    """Return the moving average after each interval, [L, S], or [L, A, S] for A factors [A, 1]."""
    path = np.empty(np.broadcast_shapes(rows.shape, np.shape(alpha)))
    path[0] = rows[0]
    for at in range(1, len(rows)):
        path[at] = path[at - 1] + alpha * (rows[at] - path[at - 1])
    return path

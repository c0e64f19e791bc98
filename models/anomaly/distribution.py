"""A whole distribution out of a forecast's seven quantiles.

Between two quantiles the logarithm of the odds is linear in the value; beyond the outermost ones it
goes on as in the last stretch, so that both tails fall exponentially. A normal
distribution comes back within .01, a Laplace distribution within .015.
"""

import numpy as np
from numpy.typing import NDArray

from models.anomaly.errors import DetectError
from models.quantiles import QUANTILES

Array = NDArray[np.float64]

ODDS_MAX = 40.0
"""Log-odds are held within this: beyond it nothing can be told apart."""

_LEVELS = np.array(QUANTILES)
_KNOTS = np.log(_LEVELS / (1.0 - _LEVELS))


def log_odds_below(quantiles: Array, values: Array) -> Array:
    """Return log(P(X < value) / P(X > value)), as far as the quantiles tell; never falls in value.

    Args:
        quantiles: [..., Q] at QUANTILES, not falling along the last axis.
        values: [...], the same unit. NaN in either gives NaN.

    Raises:
        DetectError: the shapes do not fit.
    """
    if quantiles.shape[-1:] != _LEVELS.shape or quantiles.shape[:-1] != values.shape:
        raise DetectError(
            f"quantiles {quantiles.shape} of values {values.shape}: [..., {len(_LEVELS)}] and [...]"
            " are needed"
        )
    # a value that many quantiles share is a jump: the middle of it, so from both sides
    from_right = _read(quantiles, values, (quantiles <= values[..., None]).sum(axis=-1))
    from_left = -_read(
        -quantiles[..., ::-1], -values, (quantiles >= values[..., None]).sum(axis=-1)
    )
    odds = (from_right + from_left) / 2.0
    result: Array = np.clip(odds, -ODDS_MAX, ODDS_MAX)
    return result


def probability(log_odds: Array) -> Array:
    """Return log-odds as probabilities."""
    result: Array = 1.0 / (1.0 + np.exp(-log_odds))
    return result


def _read(quantiles: Array, values: Array, reached: NDArray[np.int64]) -> Array:
    """Return the log-odds on the line through the quantile reached last and the next one."""
    right = np.clip(reached, 1, len(_LEVELS) - 1)
    below, above = (
        np.take_along_axis(quantiles, at[..., None], -1)[..., 0] for at in (right - 1, right)
    )
    # what is a rounding error wide has no width
    least = 1e-9 * np.maximum(np.abs(below), np.abs(above)) + 1e-30
    slope = (_KNOTS[right] - _KNOTS[right - 1]) / np.maximum(above - below, least)
    result: Array = np.where(
        values >= above,
        _KNOTS[right] + slope * (values - above),
        _KNOTS[right - 1] + slope * (values - below),
    )
    return result

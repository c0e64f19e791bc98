"""The quantiles that every forecast holds, and how they are scored."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
"""The levels of a forecast's quantiles, increasing; the middle one is the median."""

MEDIAN = QUANTILES.index(0.5)
"""Where along the last axis the median is."""


def settle(quantiles: Array) -> Array:
    """Return quantiles [..., Q] that never cross and are never negative; not finite becomes 0."""
    settled: Array = np.sort(np.nan_to_num(quantiles, nan=0.0, posinf=0.0, neginf=0.0), axis=-1)
    return np.maximum(settled, 0.0, out=settled)


def pinball(quantiles: Array, truth: Array) -> Array:
    """Return the pinball loss [...] of quantiles [..., Q], the mean over QUANTILES.

    Same unit as the truth [...]; NaN where the truth is NaN. Source: Koenker and Bassett, 1978.
    """
    error = truth[..., None] - quantiles
    levels = np.array(QUANTILES)
    loss: Array = np.maximum(levels * error, (levels - 1.0) * error).mean(axis=-1)
    return loss

"""Will a series cross a threshold, and when? Read out of a forecast's quantiles."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.anomaly.distribution import log_odds_below, probability
from models.anomaly.errors import DetectError
from models.anomaly.severity import severity
from models.quantiles import MEDIAN

Array = NDArray[np.float64]

PROBABILITY_LEAST = 0.01
"""A crossing less likely than this has no expected time."""

EXTENT_SHARE = 0.25
"""A threshold that is exceeded by this share of itself is exceeded by the extent 1."""


@dataclass(frozen=True)
class Crossings:
    """What a forecast says of a threshold, per series.

    Attributes:
        at: [S, H] probability of being beyond the threshold at each horizon.
        by: [S, H] probability of having been beyond it at some horizon so far; never falls.
        expected_s: [S] seconds until the crossing, given that it comes by the last horizon;
            infinite where that is less likely than PROBABILITY_LEAST.
        severity: [S] from 0 to 5.
    """

    at: Array
    by: Array
    expected_s: Array
    severity: Array


def threshold_high(
    quantiles: Array,
    horizons_s: Sequence[float],
    thresholds: Array,
    unit: Array | None = None,
    memory: float = 0.5,
) -> Crossings:
    """Return what a forecast says of going above a threshold.

    Args:
        quantiles: [S, H, Q] at QUANTILES.
        horizons_s: seconds from now, one per horizon, increasing.
        thresholds: [S], the quantiles' unit. NaN: no threshold, so no crossing.
        unit: [S], by how much a threshold is exceeded at extent 1; a quarter of it by default.
        memory: how alike the horizons' fortunes are: 1, what happens happens at all of them (``by``
            is the largest ``at``), 0, each draws anew. Truth lies between these bounds, and ``by``
            lies between them in this proportion.

    Raises:
        DetectError: shapes that do not fit, horizons that do not increase, a memory outside [0, 1].
    """
    times = _checked(quantiles, horizons_s, thresholds, memory)
    limits = np.broadcast_to(thresholds[:, None], quantiles.shape[:2])
    at = np.nan_to_num(probability(-log_odds_below(quantiles, limits)), nan=0.0)
    largest = np.maximum.accumulate(at, axis=1)
    independent = 1.0 - np.cumprod(1.0 - at, axis=1)
    by = memory * largest + (1.0 - memory) * np.maximum(independent, largest)
    if unit is None:
        unit = EXTENT_SHARE * np.abs(thresholds)
    # the mean of the upper half, so that a wide forecast reaches further than a narrow one
    beyond = (quantiles[:, :, MEDIAN:].mean(axis=2) - limits).max(axis=1, initial=0.0)
    extent = np.maximum(np.nan_to_num(beyond), 0.0) / np.maximum(np.nan_to_num(unit), 1e-30)
    return Crossings(at, by, _expected(by, times), severity(by[:, -1], extent))


def threshold_low(
    quantiles: Array,
    horizons_s: Sequence[float],
    thresholds: Array,
    unit: Array | None = None,
    memory: float = 0.5,
) -> Crossings:
    """Return what a forecast says of going below a threshold; else as ``threshold_high``."""
    return threshold_high(-quantiles[..., ::-1], horizons_s, -thresholds, unit, memory)


def _expected(by: Array, times: Array) -> Array:
    """Return [S]: each stretch's share of the crossings, thought of as spread evenly over it."""
    share = np.diff(by, axis=1, prepend=0.0)
    middle = (times + np.concatenate([[0.0], times[:-1]])) / 2.0
    last = by[:, -1]
    likely = last >= PROBABILITY_LEAST
    result: Array = np.where(likely, share @ middle / np.where(likely, last, 1.0), np.inf)
    return result


def _checked(
    quantiles: Array, horizons_s: Sequence[float], thresholds: Array, memory: float
) -> Array:
    times = np.asarray(horizons_s, dtype=np.float64)
    if quantiles.ndim != 3 or quantiles.shape[:2] != (*thresholds.shape, *times.shape):
        raise DetectError(
            f"quantiles {quantiles.shape}, {len(times)} horizons, thresholds {thresholds.shape}:"
            " [S, H, Q], H and [S] are needed"
        )
    if not len(times) or times[0] <= 0.0 or (np.diff(times) <= 0.0).any():
        raise DetectError(f"horizons {list(times)} do not increase from above 0")
    if not 0.0 <= memory <= 1.0:
        raise DetectError(f"a memory of {memory} is not between 0 and 1")
    return times

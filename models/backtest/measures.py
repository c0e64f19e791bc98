"""How good forecasts were: error, pinball loss, CRPS, coverage, width, Winkler score."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.quantiles import MEDIAN, QUANTILES, pinball

Array = NDArray[np.float64]

INTERVALS = {"50": (0.25, 0.75), "80": (0.1, 0.9), "90": (0.05, 0.95)}

_EDGES = np.array([0.0, *[(a + b) / 2 for a, b in pairwise(QUANTILES)], 1.0])
SHARES = np.diff(_EDGES)
"""The part of the levels from 0 to 1 that each quantile stands for in the CRPS."""


@dataclass(frozen=True, slots=True)
class Measures:
    """How good forecasts were at one horizon, over all series and origins.

    ``nmae``: error of the median over the sum of what came. ``pinball``: mean over the quantiles,
    and ``crps``: twice its integral over the levels, both relative to the mean volume.
    ``coverage``: share of values inside the central interval, by its per cent, over series that
    ever carry anything. ``width``: mean width of the 90 % interval and ``winkler``: its interval
    score (Winkler 1972), relative to the mean volume. ``scored``: values.
    """

    nmae: float
    pinball: float
    crps: float
    coverage: Mapping[str, float]
    width: float
    winkler: float
    scored: int


def crps(quantiles: Array, truth: Array) -> Array:
    """Return the continuous ranked probability score [...] of quantiles [..., Q].

    Twice the pinball loss, summed over the levels with the part of [0, 1] that each stands for.
    """
    error = truth[..., None] - quantiles
    levels = np.array(QUANTILES)
    loss: Array = 2.0 * (np.maximum(levels * error, (levels - 1.0) * error) @ SHARES)
    return loss


class Sums:
    """Running sums of one forecaster at one horizon."""

    def __init__(self) -> None:
        self.error = self.loss = self.score = self.volume = self.width = self.winkler = 0.0
        self.inside = dict.fromkeys(INTERVALS, 0)
        self.count = self.scored = 0

    def add(self, fan: Array, truth: Array, alive: NDArray[np.bool_]) -> None:
        """Add fans [N, Q] and what came [N], without gaps; ``alive`` [N] counts in coverage."""
        low, high = fan[:, 0], fan[:, -1]
        missed = np.maximum(low - truth, 0.0) + np.maximum(truth - high, 0.0)
        self.error += float(np.abs(truth - fan[:, MEDIAN]).sum())
        self.loss += float(pinball(fan, truth).sum())
        self.score += float(crps(fan, truth).sum())
        self.volume += float(truth.sum())
        self.width += float((high - low).sum())
        self.winkler += float((high - low + 20.0 * missed).sum())
        self.scored += len(truth)
        self.count += int(alive.sum())
        for name, (lower, upper) in INTERVALS.items():
            under, over = fan[:, QUANTILES.index(lower)], fan[:, QUANTILES.index(upper)]
            self.inside[name] += int(((truth >= under) & (truth <= over) & alive).sum())

    def measures(self) -> Measures:
        """Return what the sums amount to; NaN where nothing came."""
        volume = self.volume or float("nan")
        count = self.count or float("nan")
        return Measures(
            self.error / volume,
            self.loss / volume,
            self.score / volume,
            {name: inside / count for name, inside in self.inside.items()},
            self.width / volume,
            self.winkler / volume,
            self.scored,
        )

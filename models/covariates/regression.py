"""Least squares that go on: what known features explain of what a forecaster misses.

All series see the same features, so they share one matrix; what they have in common is learned
from all of them, what is each one's own from itself, and both are shrunk to 0. What a regression
foretells is followed only as far as it was worth following on values that it had not seen.
"""

import numpy as np
from numpy.typing import NDArray

from models.skill.calibration import carry

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

MEMORY = 2000.0
"""Intervals until a lesson counts for 1/e."""

RIDGE_COMMON = 20.0
RIDGE_OWN = 200.0
"""So many intervals of a feature at its usual size weigh as much as the belief that it is idle."""

ERRORS = 2.0
"""What following was worth is believed less so many of its standard errors."""


class Ridge:
    """Coefficients of F features for S series: a common part, and each one's own."""

    def __init__(self, series: int, features: int) -> None:
        self._square = np.zeros((features, features))
        self._cross = np.zeros((series, features))
        self._own = np.zeros((series, features))

    def learn(self, x: Array, residual: Array, weight: Array, good: Flags) -> None:
        """Learn what came [S] where ``good``, for features ``x`` [F]; ``weight`` [S] is each one's.

        Where nothing good came, it counts as if it had come as expected.
        """
        keep = 1.0 - 1.0 / MEMORY
        came = np.where(good, residual, self.predict(x))
        self._square = keep * self._square + np.outer(x, x)
        self._cross = keep * self._cross + came[:, None] * x
        eye = np.eye(len(x))
        mean = weight @ self._cross / max(float(weight.sum()), 1e-12)
        common = np.linalg.solve(self._square + RIDGE_COMMON * eye, mean)
        rest = self._cross - self._square @ common
        self._own = common + np.linalg.solve(self._square + RIDGE_OWN * eye, rest.T).T

    def predict(self, x: Array) -> Array:
        """Return what the features [F] let expect, [S]."""
        expected: Array = self._own @ x
        return expected

    def regroup(self, before: NDArray[np.int64]) -> None:
        """Go on with other series: ``before`` [S] is where each was, -1 for new ones."""
        self._cross = carry(self._cross, before, 0.0)
        self._own = carry(self._own, before, 0.0)


class Trust:
    """How far to follow a prediction, from 0 to 1 for each series.

    The factor that would have been best so far, less its standard errors; of all series together or
    of the series itself, whichever is more. ``overlap``: in how many forecasts the same error is
    seen, a horizon's steps.
    """

    def __init__(self, series: int, overlap: int) -> None:
        self._overlap = float(overlap)
        self._common = np.zeros(3)
        self._own = np.zeros((series, 3))

    def learn(self, predicted: Array, residual: Array, weight: Array, good: Flags) -> None:
        """Learn what was predicted [S] and what came [S]."""
        keep = 1.0 - 1.0 / MEMORY
        gain = np.where(good, weight * predicted * residual, 0.0)
        size = np.where(good, weight * predicted**2, 0.0)
        # in each one's own size: what a single value can prove is bounded
        self._own = keep * self._own + np.stack([gain, size, gain**2], axis=1)
        together = float(gain.sum())
        self._common = keep * self._common + np.array([together, size.sum(), together**2])

    def current(self) -> Array:
        """Return the trust [S]."""
        best: Array = np.maximum(self._worth(self._own), self._worth(self._common[None]))
        return best

    def _worth(self, sums: Array) -> Array:
        gain, size, noise = sums[:, 0], sums[:, 1], sums[:, 2]
        sure = gain - ERRORS * np.sqrt(self._overlap * noise)
        worth = np.divide(sure, size, out=np.zeros_like(sure), where=size > 1e-12)
        clipped: Array = np.clip(worth, 0.0, 1.0)
        return clipped

    def regroup(self, before: NDArray[np.int64]) -> None:
        """Go on with other series."""
        self._own = carry(self._own, before, 0.0)


class Block:
    """A regression and the trust in it, for one set of features at one horizon."""

    def __init__(self, series: int, features: int, horizon: int) -> None:
        self._ridge = Ridge(series, features)
        self._trust = Trust(series, horizon)

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Return what the regression says [S], and how much of that to follow [S]."""
        raw = self._ridge.predict(x)
        return raw, raw * self._trust.current()

    def learn(self, x: Array, raw: Array, residual: Array, weight: Array, good: Flags) -> None:
        """Learn from ``residual`` [S], for features and a prediction of back then."""
        self._trust.learn(raw, residual, weight, good)
        self._ridge.learn(x, residual, weight, good)

    def regroup(self, before: NDArray[np.int64]) -> None:
        """Go on with other series."""
        self._ridge.regroup(before)
        self._trust.regroup(before)

"""What a detector looks at: statistics of a series, each large when one thing is wrong.

==========  ======================================================================
change      the step from the last value
residual    the error of a small forecaster, or of the median of the given forecast
forecast    how far out in the given forecast's distribution the value lies (log-odds)
level       the mean of 8 rows against that of 100
drift       the mean of 50 rows against that of 500
season      the value against the same time of earlier days
unrest      the mean error of 30 rows
quiet       the mean error of 300 rows over that of 30
==========  ======================================================================

All are made of exponential means, so that a row costs the same however long the past is.
"""

import numpy as np
from numpy.typing import NDArray

from models.anomaly.distribution import log_odds_below
from models.quantiles import MEDIAN

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

SENSES = ("change", "residual", "forecast", "level", "drift", "season", "unrest", "quiet")
"""The statistics, in the order of the last axis."""

WARM_UP = 100
"""Rows of a series before which nothing is valid."""

DAY_S = 86400.0
SLOTS = 48
"""Times of the day that are told apart: half hours."""

SLOT_WEIGHT = 0.2
"""How much a row counts in its half hour's mean."""

RATES = np.array([1.0, 0.4, 0.15, 0.05, 0.015])
"""The moving averages' factors that the small forecaster chooses from."""

ERROR_ROWS = 100
"""Rows by which it chooses."""

ERROR_MAX = 5.0
"""An error counts at most so many mean errors in that choice: one accident decides nothing."""

MEANS = np.array([8, 100, 50, 500, 30, 300])
"""Rows of the exponential means: of values (four), then of errors (two)."""

QUIET_FLOOR = 1e-3
"""What is quieter than this share of the usual error is all alike."""

STEP_MAX = 300.0
"""A value counts in the slow means at most so many mean distances away from them: a spike a million
times as high is forgotten within a day, and a step as high is followed within a thousand rows."""


class Senses:
    """The statistics of S series, row by row.

    Args:
        series: S.
    """

    def __init__(self, series: int) -> None:
        self._rows = np.zeros(series, dtype=np.int64)
        self._last = np.zeros(series)
        self._averages = np.zeros((series, len(RATES)))
        self._errors = np.zeros((series, len(RATES)))
        self._means = np.zeros((series, len(MEANS)))
        self._distance = np.zeros(series)
        self._slots = np.zeros((series, SLOTS))
        self._seen = np.zeros((series, SLOTS), dtype=np.int64)
        self._season = np.zeros(series)

    @property
    def last(self) -> Array:
        """The last good value of each series, [S]."""
        return self._last

    def update(
        self, values: Array, good: Flags, at_s: Array, forecast: Array | None
    ) -> tuple[Array, Flags]:
        """Take in a row; return its statistics [S, C] and where they are valid [S, C].

        Args:
            values: [S], finite where good.
            good: [S]; the other series keep their state.
            at_s: [S] seconds, for the time of day.
            forecast: [S, Q] quantiles of this row, or None.
        """
        first = good & (self._rows == 0)
        x = np.where(good, values, self._last)
        for state in (self._averages, self._means[:, :4]):
            state[first] = x[first, None]
        self._last = np.where(first, x, self._last)
        self._rows += good
        found = np.zeros((len(x), len(SENSES)))
        found[:, 0] = np.abs(x - self._last)
        error = self._forecast_error(x, good)
        told = np.zeros(len(x), dtype=bool)
        if forecast is not None:
            told = good & np.isfinite(forecast).all(axis=1)
            quantiles = np.where(told[:, None], forecast, x[:, None])
            error = np.where(told, x - quantiles[:, MEDIAN], error)
            found[:, 2] = np.abs(log_odds_below(quantiles, x))
        found[:, 1] = np.abs(error)
        slow = self._means[:, [1, 3, 5]].copy()  # as they were before this row
        tame = self._follow(x, error, good)
        found[:, 3] = np.abs(self._means[:, 0] - slow[:, 0])
        found[:, 4] = np.abs(self._means[:, 2] - slow[:, 1])
        known, found[:, 5] = self._season_error(tame, good, at_s)
        found[:, 6] = self._means[:, 4]
        floor = QUIET_FLOOR * slow[:, 2] + 1e-9 * np.abs(self._means[:, 3]) + 1e-30
        found[:, 7] = (slow[:, 2] + floor) / (self._means[:, 4] + floor)
        self._last = x
        valid = np.repeat((good & (self._rows > WARM_UP))[:, None], len(SENSES), axis=1)
        valid[:, 2] &= told
        valid[:, 5] &= known
        return found, valid

    def _gains(self, rows: NDArray[np.int64] | float, good: Flags) -> Array:
        """Return a row's weight in means of so many rows, [S, ...]: 1/age while they are young."""
        age = np.maximum(self._rows, 1)[:, None]
        gains: Array = np.maximum(1.0 / np.asarray(rows), 1.0 / age) * good[:, None]
        return gains

    def _forecast_error(self, x: Array, good: Flags) -> Array:
        """Return the error [S] of the moving average that was best so far, and go on with all."""
        errors = x[:, None] - self._averages
        best = self._errors.argmin(axis=1)
        size = np.abs(errors)
        young = self._rows[:, None] <= 20
        most = ERROR_MAX * self._errors + 1e-12 * np.abs(x)[:, None] + 1e-30
        capped = np.where(young, size, np.minimum(size, most))
        self._errors += self._gains(ERROR_ROWS, good) * (capped - self._errors)
        self._averages += RATES * errors * good[:, None]
        chosen: Array = errors[np.arange(len(x)), best]
        return chosen

    def _follow(self, x: Array, error: Array, good: Flags) -> Array:
        """Go on with all means; return the values [S] as they count there."""
        slow = self._means[:, 3]
        limit = np.where(self._rows > WARM_UP, STEP_MAX * self._distance, np.inf)
        step = np.clip(x - slow, -limit, limit)
        tame = slow + step
        size = np.minimum(np.abs(error), limit)
        least = 1e-6 * np.abs(slow) + 1e-30
        self._distance += self._gains(500, good)[:, 0] * (np.abs(step) - self._distance)
        self._distance = np.maximum(self._distance, least)
        news = np.stack([tame] * 4 + [size] * 2, axis=1)
        self._means += self._gains(MEANS, good) * (news - self._means)
        return tame

    def _season_error(self, x: Array, good: Flags, at_s: Array) -> tuple[Flags, Array]:
        """Return where this time of the day is known [S], and the smoothed error against it [S]."""
        slot = (np.mod(at_s, DAY_S) * (SLOTS / DAY_S)).astype(np.int64) % SLOTS
        series = np.arange(len(x))
        seen = self._seen[series, slot]
        mean = self._slots[series, slot]
        known = seen > 0
        error = np.where(known, x - mean, 0.0)
        self._season = np.where(good, (self._season + error) / 2.0, self._season)
        weight = np.maximum(SLOT_WEIGHT, 1.0 / (seen + 1.0)) * good
        self._slots[series, slot] = mean + weight * (x - mean)
        self._seen[series, slot] = seen + good
        return known, np.abs(self._season)

"""Online conformal calibration: quantiles are moved until each is missed as often as it says.

Every quantile level has an offset, in units of the forecast's own width, that is raised after a
value above the quantile and lowered after one below, in the proportion that the level asks for.
Whatever the data do, the share of misses then tends to what the level says (adaptive conformal
inference, Gibbs and Candès 2021; for groups: gradient equilibrium, Angelopoulos et al. 2025). The
offset is a sum of parts that are learned side by side: all series together, the series itself, the
hour of the day, and how high the forecast is against the series' own level. So the promise holds
for each of these groups, not only in the mean.

A forecast of h steps is learned from h steps later, when its value has come; what was said then is
kept by the caller (``Ensemble``).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.quantiles import MEDIAN, QUANTILES

Array = NDArray[np.float64]

LEVELS = np.array(QUANTILES)
HOURS = 24
RATIOS = np.array([0.4, 0.6, 0.75, 0.9, 1.1, 1.3, 1.7, 2.4])
"""Borders between the groups of height: forecast over the series' slow mean."""

OFFSET_LIMIT = 3.0
"""Offsets stay within as many widths: a jump of 10^6 must not be paid back for days."""

CROWD = 8.0
"""Parts that many series share are learned faster, by the root of their number up to this."""

MEDIAN_RATE = 0.1
"""The median is moved more slowly: where it should be, the forecaster knows best."""

WIDTH_PER_ERROR = 2.0
"""Widths below this many mean errors are not believed (a normal distribution has 4.1)."""

ERROR_RATE = 0.02
ERROR_LIMIT = 5.0
SLOW_RATE = 0.002


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast the parts of the offset are learned, per matured forecast.

    ``common`` and ``series`` begin at ``early`` and slow down to these with the count.
    """

    common: float = 0.01
    series: float = 0.004
    hour: float = 0.01
    height: float = 0.01
    early: float = 0.03


def slowed(rates: Rates, horizon: int) -> Rates:
    """Return rates for a horizon: the errors of far ones follow each other and tell less."""
    part = horizon**-0.5
    return Rates(
        part * rates.common,
        part * rates.series,
        part**0.5 * rates.hour,
        part * rates.height,
        part * rates.early,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What the offset of a forecast depends on.

    ``hour``: 0 to 23. ``height``: [S], the group. ``width``: [S], the unit of the offsets.
    ``raw``: [S, Q], the fan as the forecaster gave it.
    """

    hour: int
    height: NDArray[np.int64]
    width: Array
    raw: Array

    def regroup(self, before: NDArray[np.int64]) -> "Context":
        """Return the same for other series."""
        return Context(
            self.hour,
            carry(self.height, before, 0),
            carry(self.width, before, 0.0),
            carry(self.raw, before, 0.0),
        )


def carry(values: NDArray[Any], before: NDArray[np.int64], fill: float) -> NDArray[Any]:
    """Return ``values`` [S, ...] for other series: ``before`` says where each was, -1: nowhere."""
    moved = np.full((len(before), *values.shape[1:]), fill, dtype=values.dtype)
    known = before >= 0
    moved[known] = values[before[known]]
    return moved


def _push(fan: Array, truth: Array) -> Array:
    """Return by how much each quantile was missed more often than it says, [S, Q].

    A value on the border misses neither side: counts of requests lie on borders often. The upper
    ones answer for their whole interval: where the lower end is 0, which nothing can miss, all
    misses of the interval are above.
    """
    below, above = truth < fan, truth > fan
    push: Array = LEVELS - below
    upper = slice(MEDIAN + 1, None)
    lower = below[:, MEDIAN - 1 :: -1]
    push[:, upper] = above[:, upper] + lower - 2.0 * (1.0 - LEVELS[upper])
    return push


class Calibrator:
    """The offsets of one forecaster at one horizon, for S series."""

    def __init__(self, series: int, horizon: int, rates: Rates | None = None) -> None:
        """Begin without offsets for ``series`` series at a horizon in steps."""
        self.rates = slowed(rates or Rates(), horizon)
        self._horizon = horizon
        self._common = np.zeros(len(LEVELS))
        self._series = np.zeros((series, len(LEVELS)))
        self._hour = np.zeros((HOURS, len(LEVELS)))
        self._height = np.zeros((len(RATIOS) + 1, len(LEVELS)))
        self._slow = np.full(series, np.nan)
        self._error = np.zeros(series)
        self._count = 0

    def context(self, fan: Array, hour: int) -> Context:
        """Return what a fan [S, Q], as the forecaster gave it, is adjusted by."""
        middle = fan[:, MEDIAN]
        slow = np.where(np.isnan(self._slow), middle, self._slow)
        ratio = np.divide(middle, slow, out=np.ones_like(middle), where=slow > 0.0)
        width = np.maximum(fan[:, -1] - fan[:, 0], WIDTH_PER_ERROR * self._error)
        return Context(hour, np.searchsorted(RATIOS, ratio), width, fan)

    def adjust(self, fan: Array, context: Context) -> Array:
        """Return the calibrated fan [S, Q]: not crossing, not negative."""
        moved: Array = fan + self._offset(context) * context.width[:, None]
        # outwards from the median: sorting would let two crossed levels learn each other's lesson
        for at in range(MEDIAN + 1, len(LEVELS)):
            np.maximum(moved[:, at], moved[:, at - 1], out=moved[:, at])
            np.minimum(moved[:, -1 - at], moved[:, -at], out=moved[:, -1 - at])
        return np.maximum(moved, 0.0, out=moved)

    def _offset(self, context: Context) -> Array:
        shared = self._common + self._hour[context.hour]
        offset: Array = self._series + shared + self._height[context.height]
        return offset

    def learn(self, fan: Array, context: Context, truth: Array, good: NDArray[np.bool_]) -> None:
        """Learn from ``truth`` [S], where ``good`` [S], for a fan as it was given out."""
        if not good.any():
            return
        self._count += 1
        push = np.where(good[:, None], _push(fan, truth[:, None]), 0.0)
        push[:, MEDIAN] *= MEDIAN_RATE
        slowing = max(self._count, 1) ** -0.5
        rates = self.rates
        # what many share can be learned faster, but not faster than its effect comes back
        full = min(float(good.sum()) ** 0.5, CROWD)
        crowd = max(full / self._horizon, 1.0)
        self._common += max(rates.common, rates.early * slowing) * push.sum(0) / good.sum()
        self._series += max(rates.series, rates.early * slowing) * push
        self._hour[context.hour] += crowd * rates.hour * push.sum(0) / good.sum()
        member = (context.height == np.arange(len(self._height))[:, None]) & good
        count = np.maximum(member.sum(axis=1), 1)
        self._height += crowd * rates.height * (member.astype(np.float64) @ push) / count[:, None]
        for part in (self._common, self._series, self._hour, self._height):
            np.clip(part, -OFFSET_LIMIT, OFFSET_LIMIT, out=part)
        self._follow(context, truth, good)

    def regroup(self, before: NDArray[np.int64]) -> None:
        """Go on with other series: ``before`` [S] is where each was, -1 for new ones."""
        self._series = carry(self._series, before, 0.0)
        self._slow = carry(self._slow, before, np.nan)
        self._error = carry(self._error, before, 0.0)

    def _follow(self, context: Context, truth: Array, good: NDArray[np.bool_]) -> None:
        """Keep each series' mean error, which widths do not fall below, and its slow mean."""
        error = np.abs(truth - context.raw[:, MEDIAN])
        width = context.width
        error = np.where(width > 0.0, np.minimum(error, ERROR_LIMIT * width), error)
        self._error[good] += ERROR_RATE * (error - self._error)[good]
        fresh = good & np.isnan(self._slow)
        self._slow[fresh] = truth[fresh]
        self._slow[good] += SLOW_RATE * (truth - self._slow)[good]

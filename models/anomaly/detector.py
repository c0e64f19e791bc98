"""A streaming detector over many series, with a budget of false alarms.

Every row, each sense (``senses.py``) is turned into how rare it is by the series' own past
(``tails.py``). The rarest decides. With C senses and blocks of B rows, a series whose law does not
change sets off at most ``C · p / B`` alarms a row at the rarity p, so a budget gives the p at which
to alarm. An alarm holds: what follows within its episode is told only if it is twenty times rarer.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.anomaly.errors import DetectError
from models.anomaly.senses import SENSES, Senses
from models.anomaly.severity import severity
from models.anomaly.tails import BLOCK, TINY, Tails
from models.quantiles import QUANTILES

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

KINDS = (
    "none",
    *("residual" if name in {"change", "forecast"} else name for name in SENSES),
    "missing",
)
"""What stands out, by ``Alarms.kind``: none, one per sense (three are about a residual), a gap."""

BUDGET = 2.5
"""False alarms allowed per series and 1,000 rows by default: at five minutes, five a week."""

ALARM_SCORE = 0.5
"""Scores from here on are alarms."""

QUIET_ROWS = 60
"""An episode ends after so many rows in which nothing was nearly as rare as its alarm."""

NEARLY = 0.8
"""As rare as nearly, in the share of the rarity's logarithm."""

RARER = 20.0
"""So many times rarer than its alarm must be what is told within an episode."""

MISSING_ROWS = 6
"""A gap of so many rows is an alarm, if it is also twice as long as any before."""

RARITY_LEAST = 1e-12
VALUE_MAX = 1e100
"""A value beyond it is as good as none: its differences could not be told from infinite."""


@dataclass(frozen=True)
class Alarms:
    """What a row says of each series.

    Attributes:
        score: [S] from 0 to 1, the budget over itself plus the rate of false alarms at which a row
            as rare as this would be told; 0 where an alarm holds already.
        alarm: [S] whether this row is an alarm: a score of at least ALARM_SCORE.
        kind: [S] indices into KINDS; 0 where nothing stands out.
        severity: [S] from 0 to 5 (``severity.py``): the score, and how many times the usual worst.
        missing: how many values of this row were missing, infinite or absurd.
    """

    score: Array
    alarm: Flags
    kind: NDArray[np.int64]
    severity: Array
    missing: int


class Detector:
    """Finds anomalies in S series, row by row; keeps its state.

    Args:
        series: S.
        step_s: seconds between rows, where rows come without their times.
        budget: false alarms per series and 1,000 rows that are allowed.

    Raises:
        DetectError: no series, or a step or budget that is not above 0.
    """

    def __init__(self, series: int, step_s: float = 300.0, budget: float = BUDGET) -> None:
        if series < 1 or not 0.0 < step_s < np.inf or not 0.0 < budget < np.inf:
            raise DetectError(
                f"{series} series, a step of {step_s} s, a budget of {budget}: each is above 0"
            )
        self.series = series
        self.step_s = step_s
        self.budget = budget
        self.missing = 0
        self._senses = Senses(series)
        self._tails = Tails(series, len(SENSES))
        self._rows = 0
        self._held = np.zeros(series)
        self._quiet = np.full(series, QUIET_ROWS, dtype=np.int64)
        self._gap = np.zeros(series, dtype=np.int64)
        self._gap_longest = np.zeros(series, dtype=np.int64)

    def update(
        self,
        values: Array,
        forecast: Array | None = None,
        at_s: Array | float | None = None,
    ) -> Alarms:
        """Take in a row and return what it says, from this row and those before it alone.

        Args:
            values: [S]; NaN, infinite and absurd values are gaps.
            forecast: [S, Q], this row's quantiles as they were forecast; NaN where there are none.
            at_s: [S] or one number, seconds since the epoch, for the time of day; may jump. Rows
                times ``step_s`` by default.

        Raises:
            DetectError: a shape that does not fit.
        """
        row = self._row(values)
        times = self._times(at_s)
        if forecast is not None and forecast.shape != (self.series, len(QUANTILES)):
            raise DetectError(f"a forecast {forecast.shape} of {self.series} series")
        good = np.abs(row) <= VALUE_MAX  # NaN is not
        self._rows += 1
        missing = int(self.series - good.sum())
        self.missing += missing
        rarity, extent, sense = self._judge(row, good, times, forecast)
        score = self._score(rarity)
        score = np.where(self._tell(rarity, score, good), score, 0.0)
        gap = self._gaps(good)
        score = np.where(gap, ALARM_SCORE, score)
        return Alarms(
            score=score,
            alarm=score >= ALARM_SCORE,
            kind=np.where(gap, len(KINDS) - 1, np.where(rarity < 1.0, sense + 1, 0)),
            severity=severity(score, extent),
            missing=missing,
        )

    def _judge(
        self, row: Array, good: Flags, times: Array, forecast: Array | None
    ) -> tuple[Array, Array, NDArray[np.int64]]:
        """Return, per series, the rarity, how far beyond the usual worst, and the sense."""
        found, valid = self._senses.update(row, good, times, forecast)
        every = np.where(valid, self._tails.rarity(found), 1.0)
        usual = self._tails.usual_worst
        self._tails.learn(found, valid)
        series = np.arange(self.series)
        rarest = every.argmin(axis=1)
        rarity = np.maximum(every[series, rarest], RARITY_LEAST)
        beyond = found[series, rarest] / np.maximum(usual[series, rarest], TINY) - 1.0
        # where several senses would alarm, the simplest names it: the first in their order
        enough = self._score(every) >= ALARM_SCORE
        sense = np.where(enough.any(axis=1), enough.argmax(axis=1), rarest)
        return rarity, np.where(rarity < 1.0, beyond, 0.0), sense

    def _score(self, rarity: Array) -> Array:
        """Return scores [...]: one half where alarms as rare as this would use up the budget."""
        rate = 1000.0 * len(SENSES) / BLOCK * rarity
        result: Array = self.budget / (self.budget + rate)
        return result

    def _tell(self, rarity: Array, score: Array, good: Flags) -> Flags:
        """Return whether this row is told [S]; begin, prolong and end episodes."""
        free = self._quiet >= QUIET_ROWS
        told = good & (free | (rarity * RARER < self._held))
        alarm = told & (score >= ALARM_SCORE)
        nearly = ~free & (np.log(rarity) <= NEARLY * np.log(np.maximum(self._held, RARITY_LEAST)))
        self._held = np.where(alarm, rarity, np.where(free, 1.0, self._held))
        self._quiet = np.where(alarm | (nearly & good), 0, self._quiet + good)
        return told

    def _gaps(self, good: Flags) -> Flags:
        """Return where a gap has just become an alarm, [S]."""
        longest = np.maximum(self._gap_longest, self._gap)
        self._gap_longest = np.where(good, longest, self._gap_longest)  # a gap counts when it ends
        self._gap = np.where(good, 0, self._gap + 1)
        alarm: Flags = self._gap == np.maximum(MISSING_ROWS, 2 * self._gap_longest)
        return alarm

    def _row(self, values: Array) -> Array:
        row = np.asarray(values, dtype=np.float64)
        if row.shape != (self.series,):
            raise DetectError(f"values {row.shape} of {self.series} series")
        return row

    def _times(self, at_s: Array | float | None) -> Array:
        """Return times [S]; what is no time counts as the row's own."""
        own = self._rows * self.step_s
        if at_s is None:
            return np.full(self.series, own)
        times = np.asarray(at_s, dtype=np.float64)
        if times.shape not in ((), (self.series,)):
            raise DetectError(f"times {times.shape} of {self.series} series")
        given = np.broadcast_to(times, (self.series,))
        return np.where(np.abs(given) < 1e15, given, own)

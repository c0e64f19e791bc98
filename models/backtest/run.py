"""Back-tests of forecasts: every origin is forecast from its past alone, then scored.

What is measured is what would have been given out: candidates calibrated online, weighed by their
matured skill, from the beginning of the data on. Before anything is measured, each forecaster's
way from values to forecast is tried with another future: where the forecast changes, it has looked
ahead, and the back-test refuses.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.backtest.conditions import Conditions
from models.backtest.leaks import find_leak, from_window
from models.backtest.measures import Measures, Sums
from models.choice import WINDOW
from models.errors import ForecastError
from models.forecaster import Forecaster
from models.quantiles import pinball
from models.skill.ensemble import Ensemble
from models.windows import LIMIT

Array = NDArray[np.float64]

USED = "foresteer"
"""The name of the forecast that is used: the calibrated mix of all candidates."""

BLOCK = 1024
"""Windows that are forecast at once where series do not depend on each other."""

WARM_UP = 4032
"""Intervals before the first that are forecast to have calibration and weights settled."""

Say = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """Measures by horizon and forecaster, and how the forecast in use did against EWMA.

    ``days`` and ``weeks``: by horizon, [D, G]: the used forecast's pinball loss over EWMA's, both
    calibrated, for every day (week) and group of series; NaN where nothing came. Days and weeks
    of which less than a third was measured are left out. ``conditions``: the used forecast's 90 %
    coverage by hour of the day and by decile of volume.
    """

    measures: dict[int, dict[str, Measures]]
    days: dict[int, Array]
    weeks: dict[int, Array]
    conditions: dict[int, dict[str, list[float]]]


class _Periods:
    """Losses of the used forecast and of EWMA by day, week and group, at one horizon."""

    def __init__(self, groups: NDArray[np.int64], per_day: float) -> None:
        self._groups = groups
        self._per_day = per_day
        self._sums: dict[int, Array] = {}
        self._counts: dict[int, int] = {}

    def add(self, interval: int, used: Array, reference: Array, truth: Array) -> None:
        day = int(interval / self._per_day)
        count = int(self._groups.max(initial=0)) + 1
        self._counts[day] = self._counts.get(day, 0) + 1
        sums = self._sums.setdefault(day, np.zeros((2, count)))
        for row, fan in enumerate((used, reference)):
            loss = np.nan_to_num(pinball(fan, truth))
            sums[row] += np.bincount(self._groups, weights=loss, minlength=count)

    def ratios(self, days: int) -> Array:
        """Return [periods, G]; periods that the targets cover by less than a third are left out."""
        parts: dict[int, tuple[Array, int]] = {}
        for day, sums in self._sums.items():
            total, count = parts.get(day // days, (np.zeros_like(sums), 0))
            parts[day // days] = total + sums, count + self._counts[day]
        least = self._per_day * days / 3.0
        table = np.array([parts[part][0] for part in sorted(parts) if parts[part][1] >= least])
        if not len(table):
            return np.zeros((0, 0))
        nothing = np.full(table[:, 0].shape, np.nan)
        ratios: Array = np.divide(table[:, 0], table[:, 1], out=nothing, where=table[:, 1] > 0.0)
        return ratios


def _ask(
    forecaster: Forecaster, values: Array, origins: range, horizons: tuple[int, ...], step_s: float
) -> Array:
    """Return fans [O, S, H, Q] of some origins that all look back equally far."""
    length = min(WINDOW, origins[0] + 1)
    windows = [values[o + 1 - length : o + 1].T for o in origins]
    if not forecaster.per_series:
        return np.stack([forecaster.forecast(w.copy(), horizons, step_s) for w in windows])
    fans = forecaster.forecast(np.concatenate(windows), horizons, step_s)
    return fans.reshape(len(origins), values.shape[1], *fans.shape[1:])


def _blocks(first: int, last: int, series: int) -> Iterator[range]:
    """Yield origins from ``first`` up to ``last`` in blocks that look back equally far.

    While there is less past than forecasters can use, up to a thirtieth of it is left out, so that
    origins can be asked for together.
    """
    most = max(1, BLOCK // max(series, 1))
    at = first
    while at < last:
        size = most if at + 1 >= WINDOW else min(most, max(1, (at + 1) // 30))
        yield range(at, min(at + size, last))
        at += size


def check_honest(
    forecasters: Sequence[Forecaster],
    values: Array,
    horizons: tuple[int, ...],
    step_s: float,
    origins: Sequence[int],
) -> None:
    """Try every forecaster with another future.

    Raises:
        ForecastError: one looks ahead.
    """
    for one in forecasters:
        leak = find_leak(from_window(one, horizons, step_s), values, origins)
        if leak is not None:
            raise ForecastError(
                f"{one.name} looks ahead: its forecast at {leak} knows what came after"
            )


def backtest(
    values: Array,
    forecasters: Sequence[Forecaster],
    horizons: tuple[int, ...],
    step_s: float,
    start: int,
    stop: int,
    *,
    beside: Sequence[Forecaster] = (),
    groups: Sequence[int] | None = None,
    warm_up: int = WARM_UP,
    watch: Callable[[int, int, dict[str, Array], Array], None] | None = None,
) -> Result:
    """Return measures for targets in [start, stop).

    ``values``: [T, S], NaN for gaps, in any unit; interval 0 is taken to be midnight. Every target
    is forecast by every forecaster from the ``horizon`` intervals before it; one of them is named
    ``ewma``. All are calibrated alike; USED is what would have been given out. Those ``beside``
    are calibrated and measured, but not mixed into it. Calibration and weights begin ``warm_up``
    intervals before the first target, or with the data. ``groups``: [S], series that are weighed
    together. ``watch`` is shown each interval, horizon, fans [S, Q] by name and what came [S].

    Raises:
        ForecastError: there are no targets with a past, or a forecaster looks ahead.
        ModelError: a forecaster cannot answer.
    """
    far = max(horizons)
    first = start - far
    if values.ndim != 2 or first < 1 or stop > len(values) or start >= stop:
        raise ForecastError(
            f"cannot back-test intervals {start} to {stop} of {len(values)}: at least"
            f" {far + 1} must come before, and one be among them"
        )
    check_honest(
        [*forecasters, *beside],
        values,
        horizons,
        step_s,
        sorted({first, (first + stop - 2) // 2, stop - 2}),
    )
    series = values.shape[1]
    members = np.zeros(series, np.int64) if groups is None else np.asarray(groups, np.int64)
    names = [one.name for one in (*forecasters, *beside)]
    ensemble = Ensemble([one.name for one in forecasters], horizons, members)
    alone = {one.name: Ensemble([one.name], horizons, members) for one in beside}
    alive = np.nanmax(values[start:stop], axis=0, initial=0.0) > 0.0
    sums = {(h, name): Sums() for h in horizons for name in (USED, *names)}
    periods = {h: _Periods(members, 86_400.0 / step_s) for h in horizons}
    conditions = {h: Conditions(values[start:stop], step_s) for h in horizons}
    good = (values >= 0.0) & (values <= LIMIT)
    for block in _blocks(max(1, first - warm_up), stop - 1, series):
        fans = {
            one.name: _ask(one, values, block, horizons, step_s) for one in (*forecasters, *beside)
        }
        for place, origin in enumerate(block):
            hours = [int((origin + h) * step_s % 86_400.0 // 3600.0) for h in horizons]
            for group in (ensemble, *alone.values()):
                group.learn(origin, values[origin])
                group.say(origin, {name: fans[name][place] for name in group.names}, hours)
            for at, horizon in enumerate(horizons):
                target = origin + horizon
                if not start <= target < stop:
                    continue
                said, here, truth = ensemble.said(at, target), good[target], values[target]
                given = {USED: said.final, **said.fans}
                for name, group in alone.items():
                    given[name] = group.said(at, target).fans[name]
                for name, fan in given.items():
                    sums[horizon, name].add(fan[here], truth[here], alive[here])
                conditions[horizon].add(target, said.final, truth, here & alive)
                if "ewma" in given:
                    periods[horizon].add(target, said.final, given["ewma"], truth)
                if watch:
                    watch(target, horizon, given, truth)
    return Result(
        {h: {name: sums[h, name].measures() for name in (USED, *names)} for h in horizons},
        {h: periods[h].ratios(1) for h in horizons},
        {h: periods[h].ratios(7) for h in horizons},
        {h: conditions[h].shares() for h in horizons},
    )


def report(result: Result) -> dict[str, Any]:
    """Return a result as it goes into a JSON file: horizon (steps) to forecaster to measures."""
    return {
        str(horizon): {name: asdict(measures) for name, measures in by_name.items()}
        for horizon, by_name in result.measures.items()
    }

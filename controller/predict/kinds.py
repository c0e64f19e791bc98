"""Forecasts of all kinds of series beside the demands: one Chooser per kind, in a thread.

Whatever fails is counted and logged once; the loop goes on with the last forecasts there are.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.observe.series import SeriesStore
from controller.observe.series_events import EventBook
from controller.observe.series_kinds import KINDS, SENSITIVE
from controller.observe.series_signals import SignalBook
from controller.predict.kinds_coarse import Coarse
from controller.predict.kinds_watch import Limits, Watch, crossings
from controller.predict.skill import skill_of
from controller.state import Alarm, SeriesForecast
from models import QUANTILES, Chooser, Ewma, Forecaster, LastValue
from models.covariates import INFORMED, Announcement, Covariates, Scene, Signal, base_of

LOG = logging.getLogger("foresteer.predict.kinds")

Array = NDArray[np.float64]

WINDOW = 304
"""Intervals that forecasters of other kinds than demands are shown at most."""

LATE = 400
"""Alarms that are remembered."""

NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What a kind's forecast is made from, gathered in the loop's thread.

    ``rows``: [T, S], the last one is interval ``number``. ``ends``: name, source and destination.
    ``time_s``: when that interval ended, in seconds since the epoch. ``clock_s``: when it began on
    the data's own clock, on which a step takes ``clock_step_s``.
    """

    kind: str
    names: tuple[str, ...]
    rows: Array
    number: int
    time_s: float
    step_s: float
    ends: tuple[tuple[str, str, str], ...]
    capacities: Mapping[str, float]
    events: tuple[Announcement, ...]
    signals: tuple[Signal, ...]
    clock_s: float
    clock_step_s: float


class KindForecaster:
    """Forecasts the series of one kind; keeps their skill, what is known, and what is odd."""

    def __init__(
        self,
        kind: str,
        horizons_s: tuple[float, ...],
        step_s: float,
        forecasters: Sequence[Forecaster],
        limits: Limits = NO_LIMITS,
    ) -> None:
        """Take what to forecast by; what is known beforehand builds on ``base_of`` it."""
        steps = sorted({max(round(h / step_s), 1) for h in horizons_s})
        self.kind = kind
        self.horizons = tuple(steps)
        self._limits = limits
        self._chooser = Chooser(forecasters, self.horizons, window=WINDOW)
        base = base_of([one.name for one in forecasters])
        self._known = Covariates(self.horizons, base)
        self._chooser.admit(INFORMED, base)
        self._watch = Watch(step_s)
        self._said: dict[int, tuple[tuple[str, ...], Array]] = {}
        self._seen = -1

    def forecast(self, question: Question) -> SeriesForecast:
        """Return the forecast; ModelError and its like come from the models.

        Raises:
            ForecastError: the question has the wrong shape, or no forecaster could answer.
        """
        rows, names, number = question.rows, question.names, question.number
        data_step_s = question.clock_step_s
        window = self._chooser.prepare(rows, number, data_step_s, keys=names)
        fans, failed = {}, {}
        for one in self._chooser.forecasters:
            try:
                fans[one.name] = one.forecast(window, self.horizons, data_step_s)
            except Exception as error:  # whoever fails is left out, and said so
                failed[one.name] = str(error)
        self._known.take(
            Scene(
                number,
                question.time_s - question.step_s,
                question.step_s,
                rows[-1],
                names,
                question.ends,
                question.events,
                question.signals,
                question.clock_s,
                data_step_s,
            )
        )
        outlook = self._chooser.conclude(self._known.inform(fans), failed)
        alarms = self._alarms(question)
        self._said[number + self.horizons[0]] = (names, outlook.quantiles[:, 0])
        horizons_s = tuple(h * question.step_s for h in self.horizons)
        above, below, crossed = crossings(
            self.kind, names, outlook, horizons_s, self._limits, question.capacities,
            question.time_s,
        )  # fmt: skip
        skill = skill_of(outlook)
        drifted = tuple(
            Alarm(self.kind, "", "drift", question.time_s, 1.0, one.drift.severity)
            for one in skill[:1]
            if one.drift.alarm
        )
        return SeriesForecast(
            self.kind, KINDS[self.kind].unit, question.time_s, question.step_s, names, horizons_s,
            QUANTILES, rows[-1], outlook.quantiles, skill, above, below,
            (*alarms, *crossed, *drifted),
        )  # fmt: skip

    def _alarms(self, question: Question) -> tuple[Alarm, ...]:
        """Return the anomalies in the rows that came since the last time, the newest only told."""
        fresh = 1 if self._seen < 0 else min(question.number - self._seen, len(question.rows))
        self._seen = question.number
        found: tuple[Alarm, ...] = ()
        for back in range(fresh - 1, -1, -1):
            names, fan = self._said.pop(question.number - back, ((), np.zeros((0, 0))))
            time_s = question.time_s - back * question.step_s
            said = fan if names == question.names else None
            row = question.rows[-1 - back]
            found = self._watch.look(self.kind, question.names, row, said, time_s)
        for late in [target for target in self._said if target <= question.number]:
            del self._said[late]
        return found


class Kinds:
    """Forecasts every kind that there are series of.

    ``model``: a forecaster beside the simple ones; one of those, or None, is as good as none.
    ``counts``: ``forecast``, ``failed``, ``busy`` (the last one was not done yet).
    """

    def __init__(
        self,
        store: SeriesStore,
        events: EventBook,
        signals: SignalBook,
        *,
        slow_horizons_s: tuple[float, ...],
        fast_horizons_s: tuple[float, ...],
        data_step_s: float,
        model: Forecaster | None = None,
        limits: Mapping[str, Limits] | None = None,
    ) -> None:
        self.store = store
        self.events = events
        self.signals = signals
        self.counts: Counter[str] = Counter()
        self.latest: dict[str, SeriesForecast] = {}
        self.alarms: deque[Alarm] = deque(maxlen=LATE)
        self._horizons_s = {True: fast_horizons_s, False: slow_horizons_s}
        self._data_step_s = data_step_s
        self._model = model
        self._limits = limits or {}
        self._by_kind: dict[str, KindForecaster] = {}
        self._thread = ThreadPoolExecutor(1, "predict-kinds")
        self._names: dict[str, tuple[str, ...]] = {}
        self._busy: set[bool] = set()
        self._told: set[str] = set()

    def close(self) -> None:
        """Let the thread go."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def run(self, *, fast: bool) -> None:
        """Forecast all fast, or all other, kinds; never raises but when cancelled."""
        if fast in self._busy:
            self.counts["busy"] += 1
            return
        self._busy.add(fast)
        try:
            self.store.sweep()
            self.drop()
            for kind in [name for name, kind in KINDS.items() if kind.fast == fast]:
                question = self.question(kind)
                if question is not None:
                    found = await asyncio.get_running_loop().run_in_executor(
                        self._thread, self.answer, question
                    )
                    self.record(found)
            self.drop()
        except Exception as error:  # nothing here may stop the loop
            self._fail("kinds", error)
        finally:
            self._busy.discard(fast)

    def question(self, kind: str) -> Question | None:
        """Return what to forecast a kind from; None where there is nothing, or nothing new."""
        found = self.store.history(kind)
        if found is None:
            return None
        names, rows, number = found
        step_s = self.store.step_s(kind)
        fast = KINDS[kind].fast
        labels = [self.store.labels(kind, name) for name in names]
        clock = self.store.clock
        time_s = clock.wall() - clock.monotonic() + (number + 1) * step_s
        clock_step_s = step_s if fast else self._data_step_s
        replay = clock_step_s != step_s
        horizons = tuple(sorted({max(round(h / step_s), 1) for h in self._horizons_s[fast]}))
        return Question(
            kind, names, rows, number, time_s, step_s,
            tuple((f"{kind}:{n}", one.source, one.destination)
                  for n, one in zip(names, labels, strict=True)),
            {n: one.capacity for n, one in zip(names, labels, strict=True)},
            self.events.events,
            self.signals.view(time_s, step_s, horizons),
            number * clock_step_s if replay else time_s - step_s,
            clock_step_s,
        )  # fmt: skip

    def answer(self, question: Question) -> SeriesForecast | None:
        """Return a forecast, None where that failed; for one thread at a time."""
        kind = question.kind
        try:
            forecaster = self._by_kind.get(kind)
            if forecaster is None:
                forecaster = self._by_kind[kind] = self._make(kind, question.step_s)
            self._names[kind] = question.names
            found = forecaster.forecast(question)
        except Exception as error:  # one kind's failure is not another's
            self._by_kind.pop(kind, None)
            self._fail(kind, error)
            return None
        self.counts["forecast"] += 1
        return found

    def record(self, found: SeriesForecast | None) -> None:
        """Keep a forecast as the latest of its kind, and its alarms."""
        if found is not None:
            self.latest[found.kind] = found
            self.alarms.extend(found.alarms)

    def recent(self, since_s: float) -> tuple[Alarm, ...]:
        """Return the alarms since a time (seconds since the epoch), the last of each series."""
        last = {
            (alarm.kind, alarm.name, alarm.what): alarm
            for alarm in tuple(self.alarms)
            if alarm.time_s >= since_s
        }
        return tuple(sorted(last.values(), key=lambda alarm: -alarm.severity))

    def forget(self, kind: str, name: str | None = None) -> int:
        """Drop a series, or a kind, and all that was made of it; return how many series."""
        gone = self.store.forget(kind, name)
        self.drop()
        return gone

    def drop(self) -> None:
        """Drop forecasts and alarms of series that are no more."""
        live = self.store.names()
        for kind in list(self.latest):
            if set(self.latest[kind].names) - set(live.get(kind, ())):
                del self.latest[kind]
        for kind in list(self._by_kind):
            gone = set(self._names.get(kind, ())) - set(live.get(kind, ()))
            # what was learned of users goes with them, whatever it costs the others
            if kind not in live or (gone and KINDS[kind].sensitive):
                self._by_kind.pop(kind, None)
                self._names.pop(kind, None)
        for alarm in tuple(self.alarms):
            away = alarm.name not in live.get(alarm.kind, ())
            if alarm.name and away and alarm.kind in SENSITIVE:
                self.alarms.remove(alarm)

    def _make(self, kind: str, step_s: float) -> KindForecaster:
        horizons_s = self._horizons_s[KINDS[kind].fast]
        forecasters: list[Forecaster] = [Ewma(), LastValue()]
        if self._model is not None and self._model.name not in {"ewma", "last"}:
            every = max(round(min(horizons_s) / step_s), 1)
            forecasters.append(Coarse(self._model, every) if every > 1 else self._model)
        limits = self._limits.get(kind, NO_LIMITS)
        return KindForecaster(kind, horizons_s, step_s, forecasters, limits)

    def _fail(self, what: str, error: Exception) -> None:
        self.counts["failed"] += 1
        line = f"{what}: {type(error).__name__}: {error}"
        if line not in self._told and len(self._told) < 100:
            self._told.add(line)
            LOG.error("no forecast of %s", line)

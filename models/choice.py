"""Which forecasters are believed, and how much: each is measured on its own matured past.

A forecast of h steps is scored h steps later, never before. All candidates are calibrated and
mixed by what they were worth lately (``models.skill``); the moving average is always among them,
so prediction is hardly ever worse than reaction. Nothing here does I/O or looks at a clock.
"""

import threading
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import ForecastError, ModelError
from models.forecaster import Forecaster
from models.skill.drift import Drift, DriftWatch
from models.skill.ensemble import Ensemble
from models.windows import check_question, repair

Array = NDArray[np.float64]

REFERENCE = "ewma"
"""The forecaster that must always be among the candidates."""

WINDOW = 2032
"""Intervals that forecasters are shown at most: a week at five minutes; fewer will do."""

MEMORY = 288
"""Matured forecasts per horizon that the reported skill rests on."""

WARM_UP = 48
"""Intervals that the skill is back-filled by, at most, before the first forecast."""

WARM_UP_WINDOWS = 20_000
"""Windows forecast at most for the back-fill: about two seconds of one core."""


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """A forecast with the measured skill behind it; the per-horizon tuples follow ``horizons``.

    ``quantiles``: [S, H, Q] at QUANTILES, calibrated. ``used``: the forecaster with the largest
    weight; ``weights``: everyone's, over all groups by volume. ``loss``: mean pinball loss by
    forecaster, calibrated, over the matured past, relative to the mean volume, and ``mix``, what
    was given out; who was not scored yet is absent. ``scored``: how many intervals that rests on.
    ``drift``: whether the recent losses differ from those before. ``repaired``: bad values in
    this window. ``failed``: one line per forecaster that could not answer this time.
    """

    horizons: tuple[int, ...]
    quantiles: Array
    used: tuple[str, ...]
    weights: tuple[Mapping[str, float], ...]
    loss: tuple[Mapping[str, float], ...]
    scored: tuple[int, ...]
    drift: tuple[Drift, ...]
    repaired: int = 0
    failed: tuple[str, ...] = ()


class Chooser:
    """Asks all forecasters at every tick and keeps their skill; the state lives here only."""

    def __init__(
        self,
        forecasters: Sequence[Forecaster],
        horizons: tuple[int, ...],
        *,
        window: int = WINDOW,
        memory: int = MEMORY,
        warm_up: int = WARM_UP,
    ) -> None:
        """Take the candidates, one of them named REFERENCE, and the horizons in steps.

        Raises:
            ForecastError: the reference is missing, a name occurs twice, or there is no horizon.
        """
        names = [one.name for one in forecasters]
        if REFERENCE not in names or len(set(names)) != len(names):
            raise ForecastError(
                f"the candidates must have different names, one of them {REFERENCE!r}, not {names}"
            )
        check_question(np.zeros((1, 1)), horizons, 1.0)
        self.horizons = horizons
        self.window = window
        self._forecasters = {one.name: one for one in forecasters}
        self._admitted: dict[str, str] = {}
        self._repaired = 0
        self._memory = memory
        self._origins = warm_up
        self._last = 0
        self._step_s = 0.0
        self._keys: tuple[Hashable, ...] = ()
        self._ensemble: Ensemble | None = None
        self._drift: tuple[DriftWatch, ...] = ()
        self._warming = threading.Lock()

    def forecast(
        self,
        history: Array,
        interval: int,
        step_s: float = 300.0,
        *,
        keys: Sequence[Hashable] | None = None,
        groups: Sequence[int] | None = None,
    ) -> Outlook:
        """Score what has matured, ask, weigh, and return the outlook from the last interval on.

        ``history``: [T, S], oldest first, NaN for gaps; its last row is interval number
        ``interval``, which grows by one per interval (by more where ticks were skipped).
        ``step_s``: what an interval stands for in the data's own time; interval 0 is taken to be
        midnight. ``keys``: [S] names of the series, by which those that stay are known when others
        come or go. ``groups``: [S], numbers from 0; series of one group are weighed together.
        At first, and when the step changes or the numbers run backwards, the skill is back-filled
        from the history.

        Raises:
            ForecastError: the history has the wrong shape.
        """
        window = self.prepare(history, interval, step_s, keys=keys, groups=groups)
        fans, failed = self._ask(window)
        return self.conclude(fans, failed)

    def prepare(
        self,
        history: Array,
        interval: int,
        step_s: float = 300.0,
        *,
        keys: Sequence[Hashable] | None = None,
        groups: Sequence[int] | None = None,
    ) -> Array:
        """Score what has matured and return the window [S, L] that forecasters are to be shown.

        The first half of ``forecast``, for who asks the forecasters elsewhere; ``conclude`` is the
        second.

        Raises:
            ForecastError: the history has the wrong shape.
        """
        history = np.asarray(history, dtype=np.float64)
        if history.ndim != 2 or not len(history):
            raise ForecastError(f"a history has the shape (time, series), not {history.shape}")
        ensemble = self.warm_up(history, interval, step_s, keys=keys, groups=groups)
        self._mature(ensemble, history, interval)
        window, self._repaired = repair(history[-self.window :].T)
        return window

    def conclude(self, fans: Mapping[str, Array], failed: Mapping[str, str]) -> Outlook:
        """Return the outlook for raw fans [S, H, Q] by forecaster, and why others have none.

        Raises:
            ForecastError: nothing was prepared, or no forecaster answered.
        """
        ensemble = self._ensemble
        candidates = {*self._forecasters, *self._admitted}
        known = {name: fan for name, fan in fans.items() if name in candidates}
        if ensemble is None or not known:
            raise ForecastError(f"no forecaster answered: {dict(failed)}")
        quantiles = ensemble.say(self._last, known, self._hours(self._last))
        weights = tuple(ensemble.weights(at, known) for at in range(len(self.horizons)))
        return Outlook(
            self.horizons,
            quantiles,
            tuple(max(by, key=lambda name: by[name]) for by in weights),
            weights,
            tuple(ensemble.losses(at) for at in range(len(self.horizons))),
            tuple(len(past) for past in ensemble.recent),
            tuple(one.state for one in self._drift),
            self._repaired,
            tuple(f"{name}: {error}" for name, error in failed.items()),
        )

    def enlist(self, forecaster: Forecaster, like: str) -> None:
        """Take another candidate, or another version of one; it begins with the skill of ``like``.

        Raises:
            ForecastError: there is no ``like``.
        """
        if like not in self._forecasters:
            raise ForecastError(f"{forecaster.name} cannot begin like {like}: there is none")
        self._forecasters[forecaster.name] = forecaster
        if self._ensemble is not None:
            self._ensemble.enlist(forecaster.name, like)

    def admit(self, name: str, like: str) -> None:
        """Take a candidate whose fans the caller makes and gives to ``conclude``.

        It begins with the skill of ``like``, whose window it need not be shown.

        Raises:
            ForecastError: there is no ``like``, or a forecaster has the name already.
        """
        if like not in self._forecasters or name in self._forecasters:
            raise ForecastError(f"{name} cannot begin like {like}: there is none, or it is there")
        self._admitted[name] = like
        if self._ensemble is not None:
            self._ensemble.enlist(name, like)

    def has(self, name: str) -> bool:
        """Tell whether a candidate is there."""
        return name in self._forecasters

    def dismiss(self, name: str) -> None:
        """Drop a candidate, if it is there.

        Raises:
            ForecastError: it is the reference.
        """
        if name == REFERENCE:
            raise ForecastError(f"{REFERENCE} stays: the others are measured against it")
        there = self._forecasters.pop(name, None) or self._admitted.pop(name, None)
        if there and self._ensemble is not None:
            self._ensemble.dismiss(name)

    @property
    def forecasters(self) -> tuple[Forecaster, ...]:
        """The candidates."""
        return tuple(self._forecasters.values())

    def _ask(self, window: Array) -> tuple[dict[str, Array], dict[str, str]]:
        fans, failed = {}, {}
        for name, forecaster in self._forecasters.items():
            try:
                fans[name] = forecaster.forecast(window, self.horizons, self._step_s)
            except ModelError as error:
                failed[name] = str(error)
        return fans, failed

    def warm_up(
        self,
        history: Array,
        interval: int,
        step_s: float = 300.0,
        *,
        keys: Sequence[Hashable] | None = None,
        groups: Sequence[int] | None = None,
    ) -> Ensemble:
        """Back-fill the skill by forecasting from the last intervals of the history, if needed.

        Each is forecast from the rows up to it only. Takes as long as WARM_UP ticks; ``forecast``
        does it by itself, a caller with a deadline does it before, in another thread if it likes.
        """
        # nobody gets to see skill that is back-filled by half
        with self._warming:
            return self._warmed(history, interval, step_s, keys, groups)

    def _warmed(
        self,
        history: Array,
        interval: int,
        step_s: float,
        keys: Sequence[Hashable] | None,
        groups: Sequence[int] | None,
    ) -> Ensemble:
        series = history.shape[1]
        names: tuple[Hashable, ...] = tuple(range(series)) if keys is None else tuple(keys)
        members = np.zeros(series, np.int64) if groups is None else np.asarray(groups, np.int64)
        if len(names) != series or len(members) != series:
            raise ForecastError(f"{len(names)} keys and {len(members)} groups for {series} series")
        ensemble = self._ensemble
        if ensemble is not None and step_s == self._step_s and interval >= self._last:
            if names != self._keys or not np.array_equal(members, ensemble.groups):
                before = {key: at for at, key in enumerate(self._keys)}
                ensemble.regroup(np.array([before.get(key, -1) for key in names]), members)
                self._keys = names
            return ensemble
        ensemble = Ensemble(list(self._forecasters), self.horizons, members, memory=self._memory)
        self._ensemble, self._keys, self._step_s, self._last = ensemble, names, step_s, interval
        self._drift = tuple(DriftWatch(horizon) for horizon in self.horizons)
        origins = min(self._origins, WARM_UP_WINDOWS // max(series, 1), len(history) - 2)
        for back in range(origins, 0, -1):
            past = history[: len(history) - back]
            self._mature(ensemble, past, interval - back)
            window, _ = repair(past[-self.window :].T)
            fans, _ = self._ask(window)
            ensemble.say(interval - back, fans, self._hours(interval - back))
        for name, like in self._admitted.items():
            if like in self._forecasters:
                ensemble.enlist(name, like)
        return ensemble

    def _hours(self, interval: int) -> list[int]:
        """Return the hour of the day of every horizon's target."""
        return [int((interval + h) * self._step_s % 86_400.0 // 3600.0) for h in self.horizons]

    def _mature(self, ensemble: Ensemble, history: Array, interval: int) -> None:
        """Score every pending forecast whose interval has come; too old ones are dropped."""
        for target in range(max(self._last, interval - len(history) + 1), interval + 1):
            row = history[len(history) - 1 - (interval - target)]
            for at, losses in ensemble.learn(target, row).items():
                self._drift[at].learn(losses)
        self._last = interval
        ensemble.forget_before(interval)

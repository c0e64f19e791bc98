"""Which forecaster is believed: each is scored on its own matured past, the best one is used.

A forecast of h steps is scored h steps later, never before. The neural forecaster, or any other,
is used only where it beat the moving average on the same past intervals: prediction is never
allowed to be worse than reaction. Nothing here does I/O or looks at a clock.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import ForecastError, ModelError
from models.forecaster import Forecaster
from models.quantiles import pinball
from models.windows import LIMIT, check_question, repair

Array = NDArray[np.float64]

REFERENCE = "ewma"
"""The forecaster that any other must beat to be used."""

WINDOW = 304
"""Intervals that forecasters are shown: a day and an hour at five minutes; fewer will do."""

MEMORY = 48
"""Matured forecasts per horizon that the choice rests on: four hours at five minutes."""

LEAST_SCORED = 6
"""Matured forecasts before a forecaster other than the reference may be used."""

WARM_UP_WINDOWS = 20_000
"""Windows forecast at most for the back-fill: about two seconds of one core."""


@dataclass(frozen=True, slots=True)
class Score:
    """One matured interval: summed pinball loss by forecaster, and the volume that came."""

    loss: Mapping[str, float]
    volume: float


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """A forecast with the measured skill behind it; the per-horizon tuples follow ``horizons``.

    ``quantiles``: [S, H, Q] at QUANTILES. ``used``: the forecaster behind each horizon. ``loss``:
    mean pinball loss by forecaster over the matured past, relative to the mean volume; a
    forecaster that was not scored yet is absent. ``scored``: how many intervals that rests on.
    ``repaired``: bad values in this window. ``failed``: one line per forecaster that could not
    answer this time.
    """

    horizons: tuple[int, ...]
    quantiles: Array
    used: tuple[str, ...]
    loss: tuple[Mapping[str, float], ...]
    scored: tuple[int, ...]
    repaired: int = 0
    failed: tuple[str, ...] = ()


def relative_loss(scores: Sequence[Score], name: str, among: str | None = None) -> float:
    """Return ``name``'s loss over the volume, where ``among`` (by default itself) was scored too.

    NaN where nothing is left to compare or no volume came.
    """
    both = [s for s in scores if name in s.loss and (among is None or among in s.loss)]
    volume = sum(s.volume for s in both)
    return sum(s.loss[name] for s in both) / volume if volume > 0.0 else float("nan")


def rank(scores: Sequence[Score], names: Sequence[str], reference: str = REFERENCE) -> list[str]:
    """Return who may be used, best first; the reference ends the list of those that beat it.

    A forecaster counts once it has LEAST_SCORED matured forecasts, and is compared with the
    reference on the intervals that both were scored on.
    """
    advantage = {}
    for name in names:
        if name == reference or sum(name in s.loss for s in scores) < LEAST_SCORED:
            continue
        mine, its = relative_loss(scores, name, reference), relative_loss(scores, reference, name)
        if mine < its:
            advantage[name] = mine / its
    return [*sorted(advantage, key=lambda name: advantage[name]), reference]


def score(forecasts: Mapping[str, Array], truth: Array) -> Score | None:
    """Score quantiles [S, Q] by forecaster against what came [S]; bad values are left out.

    None where nothing that came can be used.
    """
    good = (truth >= 0.0) & (truth <= LIMIT)
    if not good.any():
        return None
    came = truth[good]
    return Score(
        {name: float(pinball(fan[good], came).sum()) for name, fan in forecasts.items()},
        float(came.sum()),
    )


class Chooser:
    """Runs all forecasters at every tick and keeps their skill; the state lives here only."""

    def __init__(
        self,
        forecasters: Sequence[Forecaster],
        horizons: tuple[int, ...],
        *,
        window: int = WINDOW,
        memory: int = MEMORY,
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
        self._kind: tuple[int, float] | None = None
        self._last = 0
        self._pending: dict[tuple[int, int], dict[str, NDArray[np.float32]]] = {}
        self._scores: tuple[deque[Score], ...] = ()
        self._forecasters = {one.name: one for one in forecasters}
        self._window = window
        self._memory = memory

    def forecast(self, history: Array, interval: int, step_s: float = 300.0) -> Outlook:
        """Score what has matured, choose, and return the outlook from the last interval on.

        ``history``: [T, S], oldest first, NaN for gaps; its last row is interval number
        ``interval``, which grows by one per interval (by more where ticks were skipped).
        ``step_s``: what an interval stands for in the data's own time. At first, and when the
        number of series or the step changes or the numbers run backwards, the skill is back-filled
        from the history.

        Raises:
            ForecastError: the history has the wrong shape.
        """
        history = np.asarray(history, dtype=np.float64)
        if history.ndim != 2 or not len(history):
            raise ForecastError(f"a history has the shape (time, series), not {history.shape}")
        self.warm_up(history, interval, step_s)
        self._mature(history, interval)
        window, repaired = repair(history[-self._window :].T)
        fans, failed = self._ask(window, step_s)
        self._remember(fans, interval)
        used = tuple(
            next(name for name in rank(list(past), list(fans)) if name in fans)
            for past in self._scores
        )
        return Outlook(
            self.horizons,
            np.stack([fans[name][:, at] for at, name in enumerate(used)], axis=1),
            used,
            tuple(self._losses(list(past)) for past in self._scores),
            tuple(len(past) for past in self._scores),
            repaired,
            failed,
        )

    def warm_up(self, history: Array, interval: int, step_s: float = 300.0) -> None:
        """Back-fill the skill by forecasting from the last intervals of the history, if needed.

        Each is forecast from the rows up to it only. Takes as long as MEMORY ticks; ``forecast``
        does it by itself, a caller with a deadline does it before.
        """
        kind = (history.shape[1], step_s)
        if kind == self._kind and interval >= self._last:
            return
        self._forget()
        self._kind, self._last = kind, interval
        origins = min(self._memory, WARM_UP_WINDOWS // max(history.shape[1], 1), len(history) - 2)
        for back in range(origins, 0, -1):
            past = history[: len(history) - back]
            window, _ = repair(past[-self._window :].T)
            fans, _ = self._ask(window, step_s)
            self._remember(fans, interval - back)
        self._mature(history, interval)

    def _forget(self) -> None:
        self._pending = {}
        self._scores = tuple(deque(maxlen=self._memory) for _ in self.horizons)

    def _ask(self, window: Array, step_s: float) -> tuple[dict[str, Array], tuple[str, ...]]:
        fans, failed = {}, []
        for name, forecaster in self._forecasters.items():
            try:
                fans[name] = forecaster.forecast(window, self.horizons, step_s)
            except ModelError as error:
                failed.append(f"{name}: {error}")
        return fans, tuple(failed)

    def _remember(self, fans: Mapping[str, Array], interval: int) -> None:
        for at, horizon in enumerate(self.horizons):
            self._pending[interval + horizon, at] = {
                name: fan[:, at].astype(np.float32) for name, fan in fans.items()
            }

    def _mature(self, history: Array, interval: int) -> None:
        """Score every pending forecast whose interval has come; too old ones are dropped."""
        self._last = interval
        for key in sorted(self._pending):
            target, at = key
            if target > interval:
                break
            pending = self._pending.pop(key)
            fans = {name: fan.astype(np.float64) for name, fan in pending.items()}
            row = len(history) - 1 - (interval - target)
            result = score(fans, history[row]) if row >= 0 else None
            if result is not None:
                self._scores[at].append(result)

    def _losses(self, past: Sequence[Score]) -> dict[str, float]:
        losses = {name: relative_loss(past, name) for name in self._forecasters}
        return {name: loss for name, loss in losses.items() if np.isfinite(loss)}

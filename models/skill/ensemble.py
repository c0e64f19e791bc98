"""From many forecasters to the one forecast that is used, with its measured skill.

Every candidate is calibrated, the calibrated ones are mixed by weights per group of series and
horizon, and the mix is calibrated once more. All of it rests on matured forecasts only: one of h
steps teaches h steps later. Nothing here does I/O or looks at a clock.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.quantiles import QUANTILES, pinball
from models.skill.calibration import Calibrator, Context, Rates, carry
from models.skill.weights import Pace, Weights
from models.windows import LIMIT

Array = NDArray[np.float64]
LEVELS = np.array(QUANTILES)

REFERENCE = "ewma"
"""The candidate whose loss is the unit that others are weighed in."""

SECOND = Rates(common=0.002, series=0.0, hour=0.0, height=0.0, early=0.004)
"""The mix of calibrated fans needs little more: one slow offset per level."""

USUAL_RATE = 0.01
"""How fast the usual loss of a group follows."""


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """One forecast of one horizon as it was given out, until its value comes.

    ``fans``: calibrated, [S, Q] by candidate; ``mixed`` before and ``final`` after the last
    calibration.
    """

    fans: Mapping[str, Array]
    contexts: Mapping[str, Context]
    mixed: Array
    final: Array
    context: Context

    def regroup(self, before: NDArray[np.int64]) -> "Said":
        """Return the same for other series, NaN where there was none."""
        return Said(
            {name: carry(fan, before, np.nan) for name, fan in self.fans.items()},
            {name: one.regroup(before) for name, one in self.contexts.items()},
            carry(self.mixed, before, np.nan),
            carry(self.final, before, np.nan),
            self.context.regroup(before),
        )


class Horizon:
    """All that is learned about one horizon: calibrators, weights, recent losses."""

    def __init__(
        self,
        horizon: int,
        names: Sequence[str],
        groups: NDArray[np.int64],
        prior: Array,
        rates: Rates,
        pace: Pace,
    ) -> None:
        series = len(groups)
        self.names = tuple(names)
        self._groups = groups
        self._count = int(groups.max(initial=0)) + 1
        self._own = {name: Calibrator(series, horizon, rates) for name in names}
        self._last = Calibrator(series, horizon, SECOND)
        self._prior = prior
        self._weights = Weights(self._count, prior, pace)
        self._usual = np.full(self._count, np.nan)

    def say(self, fans: Mapping[str, Array], hour: int) -> Said:
        """Return the forecast for raw fans [S, Q] by candidate; at least one must be there."""
        contexts = {name: self._own[name].context(fan, hour) for name, fan in fans.items()}
        settled = {name: self._own[name].adjust(fan, contexts[name]) for name, fan in fans.items()}
        there = np.array([name in fans for name in self.names])
        weights = self._weights.current() * there
        weights /= weights.sum(axis=1, keepdims=True)
        parts = [
            weights[self._groups, at, None] * settled[name]
            for at, name in enumerate(self.names)
            if name in settled
        ]
        mixed: Array = np.sum(parts, axis=0)
        context = self._last.context(mixed, hour)
        return Said(settled, contexts, mixed, self._last.adjust(mixed, context), context)

    def learn(self, said: Said, truth: Array) -> dict[str, Array] | None:
        """Learn from what came, [S]; return summed losses [G] by candidate, None without any.

        The names are the candidates', ``mix``, and ``volume`` for what came.
        """
        good = (truth >= 0.0) & (truth <= LIMIT) & ~np.isnan(said.final[:, 0])
        if not good.any():
            return None
        truth = np.where(good, truth, 0.0)
        for name, fan in said.fans.items():
            if name in self._own:
                self._own[name].learn(fan, said.contexts[name], truth, good)
        self._last.learn(said.final, said.context, truth, good)
        losses = {
            name: self._sum(np.where(good, pinball(fan, truth), 0.0))
            for name, fan in (*said.fans.items(), ("mix", said.final))
        }
        self._weigh(said, truth, good)
        losses["volume"] = self._sum(truth)
        return losses

    def regroup(self, before: NDArray[np.int64], groups: NDArray[np.int64]) -> None:
        """Go on with other series: ``before`` [S] is where each was, -1 for new ones.

        Weights are kept where the groups stay as many, else they begin anew.
        """
        for one in (*self._own.values(), self._last):
            one.regroup(before)
        count = int(groups.max(initial=0)) + 1
        if count != self._count:
            self._weights = Weights(count, self._prior, self._weights.pace)
            self._usual = np.full(count, np.nan)
        self._groups, self._count = groups, count

    def enlist(self, name: str, like: str) -> None:
        """Take a candidate that begins with the offsets and the weight of another."""
        self._own[name] = deepcopy(self._own[like])
        if name not in self.names:
            self.names = (*self.names, name)
            self._weights.append(self.names.index(like))
            self._prior = self._weights.prior

    def dismiss(self, name: str) -> None:
        """Drop a candidate."""
        at = self.names.index(name)
        self.names = self.names[:at] + self.names[at + 1 :]
        del self._own[name]
        self._weights.remove(at)
        self._prior = self._weights.prior

    def _sum(self, values: Array) -> Array:
        sums: Array = np.bincount(self._groups, values, self._count).astype(np.float64)
        return sums

    def _weigh(self, said: Said, truth: Array, good: NDArray[np.bool_]) -> None:
        slope = ((truth[:, None] <= said.mixed) - LEVELS) / len(LEVELS)
        usual_fan = said.fans.get(REFERENCE, said.mixed)
        loss = self._sum(np.where(good, pinball(usual_fan, truth), 0.0))
        here = self._sum(good.astype(np.float64)) > 0.0
        fresh = here & np.isnan(self._usual)
        self._usual[fresh] = loss[fresh]
        self._usual[here] += USUAL_RATE * (loss - self._usual)[here]
        usual = np.where(self._usual > 0.0, self._usual, 1.0)
        saved = np.zeros((self._count, len(self.names)))
        for at, name in enumerate(self.names):
            if name in said.fans:
                gain = (slope * (said.mixed - said.fans[name])).sum(axis=1)
                saved[:, at] = self._sum(np.where(good, gain, 0.0)) / usual
        self._weights.learn(saved, here)

    def weights(self) -> Array:
        """Return [G, K], who is believed how much."""
        return self._weights.current()


class Ensemble:
    """Holds one Horizon per horizon and what was said but has not matured."""

    def __init__(
        self,
        names: Sequence[str],
        horizons: tuple[int, ...],
        groups: NDArray[np.int64],
        *,
        prior: Array | None = None,
        rates: Rates | None = None,
        pace: Pace | None = None,
        memory: int = 288,
    ) -> None:
        first = np.full(len(names), 1.0 / len(names)) if prior is None else prior
        self.names = tuple(names)
        self.horizons = horizons
        self.groups = groups
        self.parts = tuple(
            Horizon(horizon, names, groups, first, rates or Rates(), pace or Pace())
            for horizon in horizons
        )
        self.recent: tuple[deque[dict[str, Array]], ...] = tuple(
            deque(maxlen=memory) for _ in horizons
        )
        self._pending: tuple[dict[int, Said], ...] = tuple({} for _ in horizons)

    def say(self, interval: int, fans: Mapping[str, Array], hours: Sequence[int]) -> Array:
        """Return the quantiles [S, H, Q] for raw fans [S, H, Q] by candidate.

        ``interval``: the number of the last one seen. ``hours``: the hour of the day at each
        horizon.
        """
        final = []
        for at, horizon in enumerate(self.horizons):
            said = self.parts[at].say({n: fan[:, at] for n, fan in fans.items()}, hours[at])
            self._pending[at][interval + horizon] = said
            final.append(said.final)
        return np.stack(final, axis=1)

    def said(self, at: int, target: int) -> Said:
        """Return what was said at a horizon's place about an interval that has not come yet."""
        return self._pending[at][target]

    def learn(self, interval: int, truth: Array) -> dict[int, dict[str, Array]]:
        """Learn what came in an interval, [S]; return the losses by the horizon's place.

        NaN, negative and absurd values teach nothing.
        """
        learned = {}
        for at in range(len(self.horizons)):
            said = self._pending[at].pop(interval, None)
            losses = None if said is None else self.parts[at].learn(said, truth)
            if losses is not None:
                self.recent[at].append(losses)
                learned[at] = losses
        return learned

    def regroup(self, before: NDArray[np.int64], groups: NDArray[np.int64]) -> None:
        """Go on with other series; see ``Horizon.regroup``."""
        self.groups = groups
        for part in self.parts:
            part.regroup(before, groups)
        self._pending = tuple(
            {target: said.regroup(before) for target, said in pending.items()}
            for pending in self._pending
        )
        for past in self.recent:
            past.clear()

    def weights(self, at: int, there: Mapping[str, Array]) -> dict[str, float]:
        """Return how much each candidate is believed at a horizon's place, over all groups."""
        weights = self.parts[at].weights()
        volume = sum((losses["volume"] for losses in self.recent[at]), np.zeros(len(weights)))
        share = (volume + 1e-9) / (volume + 1e-9).sum()
        mean = {n: float(share @ weights[:, k]) for k, n in enumerate(self.names) if n in there}
        total = sum(mean.values())
        return {name: weight / total for name, weight in mean.items()}

    def losses(self, at: int) -> dict[str, float]:
        """Return recent loss over volume by candidate, and ``mix``, at a horizon's place."""
        result = {}
        for name in (*self.names, "mix"):
            scored = [losses for losses in self.recent[at] if name in losses]
            volume = sum(float(losses["volume"].sum()) for losses in scored)
            if volume > 0.0:
                result[name] = sum(float(one[name].sum()) for one in scored) / volume
        return result

    def enlist(self, name: str, like: str) -> None:
        """Take a candidate that begins with the skill of another."""
        for part in self.parts:
            part.enlist(name, like)
        self.names = self.parts[0].names

    def dismiss(self, name: str) -> None:
        """Drop a candidate; what it said before is not scored any more."""
        for part in self.parts:
            part.dismiss(name)
        self.names = self.parts[0].names

    def forget_before(self, interval: int) -> None:
        """Drop what should have matured before an interval: its values never came."""
        for pending in self._pending:
            for late in [target for target in pending if target < interval]:
                del pending[late]

"""What is known beforehand, brought to forecasts: they are multiplied by what it lets expect.

A forecaster's median is compared with what came, in logarithms; what events, calendar and signals
explain of that, each after those before it, is learned per series and horizon. What was learned
counts as far as it was worth it (``regression.Trust``), so what is useless is left alone; and the
result is one candidate among others, which the ensemble follows as far as it is better.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.covariates.events import Announcement, Events, Members, Part
from models.covariates.features import Signal, SignalTrack, calendar
from models.covariates.regression import Block
from models.errors import ForecastError
from models.quantiles import MEDIAN
from models.skill.calibration import carry
from models.windows import LIMIT

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

INFORMED = "informed"
"""The name of the candidate that knows all that is known beforehand."""

REACTIVE = ("ewma",)
"""Candidates that stay as they are: the way back where announcements are false."""

SIGNALS_MAX = 16
"""Signals beyond these, in the order of their names, are not looked at."""

GROWTH_MAX = float(np.log(20.0))
"""No forecast is multiplied, or divided, by more than 20."""

LEARNED_MAX = float(np.log(4.0))
"""Nor by more than 4 for what is learned from calendar and signals."""

FLOOR = 0.01
"""Ratios are taken after adding this share of a series' own mean: a 0 says little."""

RATE = 0.01
OUTLIER = 4.0
"""Errors count as at most so many times their usual size."""

NORMAL = np.array([-1.6449, -1.2816, -0.6745, 0.0, 0.6745, 1.2816, 1.6449])
UNSURE = 0.5
"""How much of an event's own uncertainty is added to a forecast's: the two are independent."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """All that is known at one interval, of which ``row`` [S] is what came (NaN: a gap).

    ``interval``: its number. ``at_s``: when it began, in seconds since the epoch. ``keys``: the
    series' names; ``ends``: of each its name, source and destination, as events know them.
    ``clock_s``, ``clock_step_s``: the same on the data's own clock, where that runs differently (a
    replay); day and week are its.
    """

    interval: int
    at_s: float
    step_s: float
    row: Array
    keys: tuple[Hashable, ...]
    ends: tuple[tuple[str, str, str], ...]
    events: tuple[Announcement, ...] = ()
    signals: tuple[Signal, ...] = ()
    clock_s: float | None = None
    clock_step_s: float | None = None

    def data_time_s(self, horizon: int) -> float:
        """Return when the interval so many steps ahead begins on the data's own clock."""
        begin = self.at_s if self.clock_s is None else self.clock_s
        step = self.step_s if self.clock_step_s is None else self.clock_step_s
        return begin + horizon * step


@dataclass(frozen=True, slots=True, eq=False)
class _Said:
    """A forecast of one horizon until its value comes: what it was made of.

    ``middle``: [S], the base's median. ``features``, ``raw`` and ``used`` by block: [F], [S], [S].
    """

    keys: tuple[Hashable, ...]
    middle: Array
    parts: tuple[Part, ...]
    growth: Array
    features: Mapping[str, Array]
    raw: Mapping[str, Array]
    used: Mapping[str, Array]

    def regroup(self, keys: tuple[Hashable, ...], before: NDArray[np.int64]) -> "_Said":
        return _Said(
            keys,
            carry(self.middle, before, np.nan),
            self.parts,
            carry(self.growth, before, 0.0),
            self.features,
            {name: carry(one, before, 0.0) for name, one in self.raw.items()},
            {name: carry(one, before, 0.0) for name, one in self.used.items()},
        )


def base_of(names: Sequence[str]) -> str:
    """Return the candidate to build on: the last of them, but not the last value's."""
    return next((name for name in reversed(names) if name != "last"), names[-1])


class Covariates:
    """Learns what is to be known beforehand, for one set of series; the state lives here only.

    ``ignored``: signals beyond SIGNALS_MAX, counted.
    """

    def __init__(self, horizons: Sequence[int], base: str) -> None:
        """Take the horizons in steps, and the name of the forecaster to build on.

        Raises:
            ForecastError: there is no horizon.
        """
        if not horizons or min(horizons) < 1:
            raise ForecastError(f"horizons are whole steps from 1 on, not {horizons}")
        self.horizons = tuple(horizons)
        self.base = base
        self.events = Events(self.horizons)
        self.ignored = 0
        self._scene: Scene | None = None
        self._inside = Members((), ())
        self._tracks: dict[str, SignalTrack] = {}
        self._signals: dict[str, Signal] = {}
        self._blocks: list[dict[str, Block]] = [{} for _ in self.horizons]
        self._pending: list[dict[int, _Said]] = [{} for _ in self.horizons]
        self._noise = np.zeros((len(self.horizons), 0))
        self._volume = np.zeros(0)

    def take(self, scene: Scene) -> None:
        """Take in the next interval: learn from what came, remember what is known now.

        The same or an earlier interval again teaches nothing. Skipped ones are not made up.

        Raises:
            ForecastError: a row that does not fit its keys.
        """
        if scene.row.shape != (len(scene.keys),) or len(scene.ends) != len(scene.keys):
            raise ForecastError(f"a row {scene.row.shape} of {len(scene.keys)} series")
        before = self._scene
        if before is not None and scene.interval < before.interval:
            self._pending = [{} for _ in self.horizons]  # numbers that run backwards: begin anew
        self._regroup(scene)
        new = before is None or scene.interval != before.interval
        self._scene = scene
        if new:
            self._mature(scene)
            reach = (max(self.horizons) + 1) * scene.step_s
            self.events.step(scene.events, scene.at_s, reach)
            self._hear(scene)

    def inform(self, fans: Mapping[str, Array]) -> dict[str, Array]:
        """Return fans [S, H, Q] by candidate with what is known, and one more, INFORMED.

        Announced events change all but the reactive ones; calendar and signals only INFORMED, which
        is there when its base is. Without a scene, or of other series, they come back as they are.
        """
        scene, base = self._scene, fans.get(self.base)
        if scene is None or any(len(fan) != len(scene.keys) for fan in fans.values()):
            return dict(fans)
        growth = np.zeros((len(scene.keys), len(self.horizons)))
        unsure, learned = np.zeros_like(growth), np.zeros_like(growth)
        for at, horizon in enumerate(self.horizons):
            target_s = scene.at_s + horizon * scene.step_s
            parts = self.events.parts(target_s)
            growth[:, at], unsure[:, at] = self.events.predict(at, parts, self._inside)
            if base is not None:
                said = self._say(at, scene, parts, growth[:, at], base[:, at, MEDIAN])
                self._pending[at][scene.interval + horizon] = said
                learned[:, at] = sum(said.used.values(), np.zeros(len(scene.keys)))
        stretch = _factors(growth, unsure)
        told = {
            name: fan if name in REACTIVE or not growth.any() else fan * stretch
            for name, fan in fans.items()
        }
        if base is not None:
            limited = np.clip(learned, -LEARNED_MAX, LEARNED_MAX)
            told[INFORMED] = base * stretch * np.exp(limited)[:, :, None]
        return told

    def _say(
        self, at: int, scene: Scene, parts: tuple[Part, ...], growth: Array, middle: Array
    ) -> _Said:
        horizon, series = self.horizons[at], len(middle)
        features = {"calendar": calendar(scene.data_time_s(horizon))}
        for name, signal in self._signals.items():
            features[f"signal {name}"] = self._tracks[name].features(signal, horizon)
        raw, used = {}, {}
        for name, x in features.items():
            block = self._blocks[at].get(name)
            if block is None:
                block = self._blocks[at][name] = Block(series, len(x), horizon)
            raw[name], used[name] = block.predict(x)
        keys = self._inside.keys
        return _Said(keys, middle.copy(), parts, growth.copy(), features, raw, used)

    def _hear(self, scene: Scene) -> None:
        """Note the signals; forget those that are no more."""
        known = sorted(scene.signals, key=lambda signal: signal.name)
        self.ignored += len(known[SIGNALS_MAX:])
        self._signals = {signal.name: signal for signal in known[:SIGNALS_MAX]}
        for name in [name for name in self._tracks if name not in self._signals]:
            del self._tracks[name]
            for blocks in self._blocks:
                blocks.pop(f"signal {name}", None)
        for name, signal in self._signals.items():
            self._tracks.setdefault(name, SignalTrack()).push(signal.value)

    def _mature(self, scene: Scene) -> None:
        row = scene.row
        good = (row >= 0.0) & (row <= LIMIT)  # NaN is not
        row = np.where(good, row, 0.0)
        self._volume[good] += (np.maximum(RATE, self._volume <= 0.0) * (row - self._volume))[good]
        for at, pending in enumerate(self._pending):
            said = pending.pop(scene.interval, None)
            for late in [target for target in pending if target < scene.interval]:
                del pending[late]
            if said is not None:
                self._learn(at, said, row, good)

    def _learn(self, at: int, said: _Said, row: Array, good: Flags) -> None:
        good = good & np.isfinite(said.middle) & (self._volume > 0.0)
        if not good.any():
            return
        floor = np.where(good, FLOOR * self._volume + 1e-12, 1.0)
        middle = np.where(good, np.maximum(said.middle, 0.0), 0.0)
        residual = np.where(good, np.log((row + floor) / (middle + floor)), 0.0)
        noise = self._noise[at]
        usual = np.where(noise > 0.0, noise, np.maximum(np.abs(residual), 0.05))
        if said.parts:
            self.events.learn(at, said.parts, self._inside, residual, np.maximum(usual, 0.05), good)
        touched = np.abs(said.growth) > 0.05
        residual = np.clip(residual - said.growth, -OUTLIER * usual, OUTLIER * usual)
        good = good & ~touched
        noise[good] += (np.maximum(RATE, noise <= 0.0) * (np.abs(residual) - noise))[good]
        weight = 1.0 / np.maximum(usual, 0.01) ** 2
        for name, x in said.features.items():
            block = self._blocks[at].get(name)
            if block is not None:
                block.learn(x, said.raw[name], residual, weight, good)
                residual = residual - said.used[name]

    def _regroup(self, scene: Scene) -> None:
        if scene.keys == self._inside.keys:
            return
        old = {key: at for at, key in enumerate(self._inside.keys)}
        before = np.array([old.get(key, -1) for key in scene.keys], dtype=np.int64)
        self._inside = Members(scene.keys, scene.ends)
        self._volume = carry(self._volume, before, 0.0)
        self._noise = np.stack([carry(row, before, 0.0) for row in self._noise])
        for blocks in self._blocks:
            for block in blocks.values():
                block.regroup(before)
        self._pending = [
            {target: said.regroup(scene.keys, before) for target, said in pending.items()}
            for pending in self._pending
        ]


def _factors(growth: Array, unsure: Array) -> Array:
    """Return what fans are multiplied by, [S, H, Q], from logarithms [S, H]."""
    moved = growth[:, :, None] + UNSURE * unsure[:, :, None] * NORMAL
    factors: Array = np.exp(np.clip(moved, -GROWTH_MAX, GROWTH_MAX))
    return factors

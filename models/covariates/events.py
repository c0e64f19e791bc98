"""Announced events: believed at once, then as far as they come true.

An event says that series in its scope will be ``factor`` times as large for a while. Its gain tells
how much of that (in logarithms) comes true: it begins at the credibility that earlier events have
left, those of the same name above all, and follows what is seen while the event lasts. A forecaster
that has seen the event begin has taken it in already; how fast it does is found out as well.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.datasets.events import PlannedEvent

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Scope = Literal["all", "source", "destination", "demand", "series"]

FACTOR_MAX = 50.0
"""Larger factors (and smaller ones than its inverse) are taken to be this."""

CREDIBILITY = 0.9
"""How much of an announcement is believed at first."""

CREDIT = 1.0
"""The first belief weighs as much as so many events; that in all, against one name's, likewise."""

CREDIT_MAX = 8.0
"""Older events fade once there are so many."""

PRECISION = 4.0
"""One over the variance of an event's gain before it is seen."""

NOISE_LEAST = 0.02
GAIN_MAX = 1.5
PACES = (1.0, 0.67, 0.4, 0.2, 0.1)
"""How much of an event a forecaster may take in per interval of it."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """Series in scope are ``factor`` times as large for ``duration_s`` from ``start_s`` on.

    ``scope``: as of a ``PlannedEvent``, or ``series``: those of the names in ``series``.
    ``start_s``: seconds since the epoch. An interval counts when it begins within the event.
    """

    name: str
    scope: Scope
    start_s: float
    duration_s: float
    factor: float
    source: str = ""
    destination: str = ""
    series: tuple[str, ...] = ()

    @classmethod
    def of(cls, event: PlannedEvent) -> "Announcement":
        """Return a planned event as an announcement."""
        return cls(
            event.name, event.scope, float(event.start_s), float(event.duration_s), event.factor,
            event.source, event.destination,
        )  # fmt: skip

    def covers(self, name: str, source: str = "", destination: str = "") -> bool:
        """Whether a series of this name, from and to these locations, is in scope."""
        if self.scope == "series":
            return name in self.series
        ends = {
            "all": True,
            "source": source == self.source,
            "destination": destination == self.destination,
            "demand": (source, destination) == (self.source, self.destination),
        }
        return ends[self.scope]

    def during(self, at_s: float) -> bool:
        """Whether an interval that begins then counts."""
        return self.start_s <= at_s < self.start_s + self.duration_s

    @property
    def size(self) -> float:
        """The factor's logarithm, bounded."""
        limit = np.log(FACTOR_MAX)
        return float(np.clip(np.log(max(self.factor, 1e-9)), -limit, limit))


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What one event is to one forecast: per pace, how much of it the forecaster lacks [P]."""

    event: Announcement
    lacks: Array


@dataclass(slots=True)
class _Gain:
    """What is known of one event: evidence of its gain, and how much of it is taken in [P]."""

    numerator: float = 0.0
    denominator: float = 0.0
    taken: Array = field(default_factory=lambda: np.zeros(len(PACES)))


@dataclass(slots=True)
class _Record:
    """How much came true of the events so far, and how many they were."""

    mean: float = 0.0
    count: float = 0.0

    def add(self, gain: float) -> None:
        self.count = min(self.count + 1.0, CREDIT_MAX)
        self.mean += (gain - self.mean) / self.count


class Events:
    """Follows announced events; keeps what they were worth, by name and in all."""

    def __init__(self, horizons: Sequence[int]) -> None:
        self._gains: dict[Announcement, _Gain] = {}
        self._all = _Record()
        self._named: dict[str, _Record] = {}
        # the pace is the network's and the moving average's: fast for near targets
        usual = np.array([2.0 / (h + 1.0) for h in horizons])
        self._misses = np.abs(np.log(np.array(PACES)[None, :] / usual[:, None])) * 0.1

    def credibility(self, name: str) -> float:
        """Return how much of an announcement of this name is believed before it is seen."""
        overall = self._all
        first = (CREDIT * CREDIBILITY + overall.count * overall.mean) / (CREDIT + overall.count)
        own = self._named.get(name, _Record())
        return (CREDIT * first + own.count * own.mean) / (CREDIT + own.count)

    def gain(self, event: Announcement) -> tuple[float, float]:
        """Return an event's gain, and the standard deviation of that."""
        known = self._gains.get(event, _Gain())
        precision = PRECISION + known.denominator
        mean = (PRECISION * self.credibility(event.name) + known.numerator) / precision
        return float(np.clip(mean, 0.0, GAIN_MAX)), precision**-0.5

    def step(self, events: Sequence[Announcement], at_s: float, reach_s: float) -> None:
        """Go on to the interval that begins at ``at_s``.

        ``reach_s``: so long after its end an event is still followed.
        """
        for event in events:
            gain = self._gains.setdefault(event, _Gain())
            gain.taken += np.array(PACES) * (float(event.during(at_s)) - gain.taken)
        over = [e for e in self._gains if at_s >= e.start_s + e.duration_s + reach_s]
        gone = [e for e in self._gains if e not in events and e not in over]
        for event in over:
            if self._gains[event].denominator >= PRECISION / 2:
                value = self.gain(event)[0]
                self._all.add(value)
                self._named.setdefault(event.name, _Record()).add(value)
        for event in (*over, *gone):
            del self._gains[event]
        while len(self._named) > 1000:
            del self._named[next(iter(self._named))]

    def parts(self, target_s: float) -> tuple[Part, ...]:
        """Return what the events are to a forecast of the interval that begins at ``target_s``."""
        found = (
            Part(event, float(event.during(target_s)) - gain.taken)
            for event, gain in self._gains.items()
        )
        return tuple(part for part in found if np.abs(part.lacks).max() > 0.01)

    def predict(self, at: int, parts: Sequence[Part], inside: "Members") -> tuple[Array, Array]:
        """Return by how much series grow (logarithms, [S]), and how unsure that is [S].

        ``at``: the horizon's place.
        """
        growth, unsure = np.zeros(inside.series), np.zeros(inside.series)
        pace = int(self._misses[at].argmin())
        for part in parts:
            mean, deviation = self.gain(part.event)
            size = part.event.size * float(part.lacks[pace])
            member = inside.of(part.event)
            growth += member * mean * size
            unsure += member * deviation * abs(size)
        return growth, unsure

    def learn(
        self,
        at: int,
        parts: Sequence[Part],
        inside: "Members",
        residual: Array,
        noise: Array,
        good: Flags,
    ) -> None:
        """Learn from what came: ``residual`` [S] against the forecast without events.

        ``noise``: [S], the usual error. Events that overlap share what came.
        """
        for part in parts:
            gain = self._gains.get(part.event)
            member = inside.of(part.event) & good
            if gain is None or not member.any() or part.event.size == 0.0:
                continue
            weight = member / noise**2
            came = float(weight @ residual / weight.sum())
            pace = int(self._misses[at].argmin())
            others = [one for one in parts if one is not part]
            came -= float(weight @ self.predict(at, others, inside)[0] / weight.sum())
            spread = float(np.median(noise[member])) ** 2 / min(float(member.sum()), 9.0)
            precise = 1.0 / max(spread, NOISE_LEAST)
            expected = part.event.size * part.lacks
            gain.numerator += precise * expected[pace] * came
            gain.denominator += precise * expected[pace] ** 2
            mean = self.gain(part.event)[0]
            self._misses[at] *= 0.98
            self._misses[at] += np.minimum((came - mean * expected) ** 2, 1.0)


class Members:
    """Which of S series are in an event's scope."""

    def __init__(self, keys: Sequence[Hashable], ends: Sequence[tuple[str, str, str]]) -> None:
        """Take the series' keys, and of each its name, source and destination."""
        self.keys = tuple(keys)
        self.series = len(self.keys)
        self._ends = tuple(ends)
        self._known: dict[Announcement, Flags] = {}

    def of(self, event: Announcement) -> Flags:
        """Return [S], whether each is in scope."""
        found = self._known.get(event)
        if found is None:
            found = np.array([event.covers(*ends) for ends in self._ends], dtype=bool)
            if len(self._known) > 1000:
                self._known.clear()
            self._known[event] = found
        return found

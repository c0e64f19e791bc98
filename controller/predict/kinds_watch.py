"""What is odd in the series of one kind, and what will cross a threshold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.state import Alarm
from models.anomaly import KINDS, Detector, threshold_high, threshold_low
from models.choice import Outlook
from models.quantiles import QUANTILES

Array = NDArray[np.float64]

LIKELY = 0.5
"""A crossing at least so probable is an alarm."""

COHORTS = 8
"""Detectors of series that came at different times; beyond these all begin anew, together."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Thresholds of a kind in its unit; None where there is none.

    ``share``: of a series' capacity instead, where it has one.
    """

    high: float | None = None
    low: float | None = None
    share: float | None = None


class Watch:
    """Finds anomalies in series that come and go: those that come together share a detector."""

    def __init__(self, step_s: float) -> None:
        self._step_s = step_s
        self._cohorts: list[tuple[tuple[str, ...], Detector]] = []
        self._live: frozenset[str] = frozenset()
        self.rebuilt = 0

    def look(
        self, kind: str, names: Sequence[str], row: Array, fan: Array | None, time_s: float
    ) -> tuple[Alarm, ...]:
        """Return the alarms of a row [S], given its own forecast [S, Q] of before, or None."""
        self._keep(names)
        place = {name: at for at, name in enumerate(names)}
        alarms: list[Alarm] = []
        for members, detector in self._cohorts:
            at = np.array([place.get(name, -1) for name in members])
            here = at >= 0
            values = np.where(here, row[at], np.nan)
            expected = np.full((len(members), len(QUANTILES)), np.nan)
            if fan is not None:
                expected = np.where(here[:, None], fan[at], np.nan)
            found = detector.update(values, expected, time_s)
            alarms += [
                Alarm(
                    kind,
                    members[which],
                    KINDS[int(found.kind[which])],
                    time_s,
                    float(found.score[which]),
                    float(found.severity[which]),
                )
                for which in np.flatnonzero(found.alarm)
            ]
        return tuple(alarms)

    def _keep(self, names: Sequence[str]) -> None:
        live = frozenset(names)
        if live == self._live:
            return
        self._live = live
        self._cohorts = [one for one in self._cohorts if live.intersection(one[0])]
        known = {name for members, _ in self._cohorts for name in members}
        fresh = tuple(name for name in names if name not in known)
        if fresh and len(self._cohorts) >= COHORTS:
            self._cohorts, fresh = [], tuple(names)
            self.rebuilt += 1
        if fresh:
            self._cohorts.append((fresh, Detector(len(fresh), self._step_s)))


def crossings(
    kind: str,
    names: Sequence[str],
    outlook: Outlook,
    horizons_s: tuple[float, ...],
    limits: Limits,
    capacities: Mapping[str, float],
    time_s: float,
) -> tuple[Array, Array, tuple[Alarm, ...]]:
    """Return the probability of having gone above and below by each horizon [S, H], and alarms."""
    shape = outlook.quantiles.shape[:2]
    above, below = np.zeros(shape), np.zeros(shape)
    alarms: list[Alarm] = []
    high = np.array([_high(limits, capacities.get(name, 0.0)) for name in names])
    for what, chosen, thresholds, found in (
        ("high", np.isfinite(high), high, above),
        ("low", np.full(len(names), limits.low is not None), np.full(len(names), limits.low or 0.0),
         below),
    ):  # fmt: skip
        if not chosen.any():
            continue
        read = threshold_high if what == "high" else threshold_low
        crossed = read(outlook.quantiles[chosen], horizons_s, thresholds[chosen])
        found[chosen] = crossed.by
        which = np.flatnonzero(chosen)
        alarms += [
            Alarm(
                kind,
                names[which[at]],
                what,
                time_s,
                float(crossed.by[at, -1]),
                float(crossed.severity[at]),
                float(crossed.expected_s[at]),
            )
            for at in np.flatnonzero(crossed.by[:, -1] >= LIKELY)
        ]
    return above, below, tuple(alarms)


def _high(limits: Limits, capacity: float) -> float:
    if limits.share is not None and capacity > 0.0:
        return limits.share * capacity
    return np.inf if limits.high is None else limits.high

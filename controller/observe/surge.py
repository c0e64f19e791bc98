"""Surges: demands that outgrow their forecast between two ticks, found within half a second.

Counters are looked at several times a tick. A demand surges when it is above the highest quantile
forecast by half in two looks in a row, and large enough to matter on a link of its paths. What was
answered is told again when it grows on, and a few times when its links stay full: one plan may move
only so much.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from controller.observe.demands import DemandMeter
from controller.state import Forecast, Matrix, Plan
from headers.files.network import Network
from headers.messages import CounterReport

ABOVE = 1.5
"""Times the highest quantile: what a surge is at least."""

MATTERS = 0.02
"""As a share of the smallest capacity of the network: excesses below are nobody's trouble."""

LOADED = 0.7
"""As a share of capacity: a surge is answered where it takes a link above this."""

GROWS = 1.2
"""Times what was answered: what is answered again."""

ANSWERS = 3
"""To a surge that does not grow, while its links stay full."""

NEEDED = 2
"""Looks in a row."""


@dataclass(frozen=True, slots=True)
class Surge:
    """A demand that outgrew its forecast, and the link that this fills."""

    src: str
    dst: str
    rate_bps: float
    expected_bps: float
    link: str
    utilisation: float

    def __str__(self) -> str:
        """Say it in a line."""
        return (
            f"{self.src}→{self.dst} surges to {self.rate_bps / 1e6:.1f} Mb/s where at most"
            f" {self.expected_bps / 1e6:.1f} were expected; {self.link} would reach"
            f" {100 * self.utilisation:.0f} %"
        )


class SurgeWatch:
    """Looks at the agents' counters between ticks."""

    def __init__(self, network: Network) -> None:
        self._meter = DemandMeter(network)
        self._nodes = tuple(location.name for location in network.locations)
        self._unknown = np.full((len(self._nodes), len(self._nodes)), np.nan)
        self._smallest = min((link.capacity_bps for link in network.links), default=0.0)
        self._seen = np.zeros(self._unknown.shape, dtype=np.int64)
        self._over = np.zeros(self._unknown.shape, dtype=np.bool_)
        # by demand: what was answered, and how often
        self._answered: dict[tuple[int, int], tuple[float, int]] = {}

    @property
    def unsure(self) -> bool:
        """Whether the last look saw something that the next one may confirm."""
        return bool(((self._seen > 0) & (self._seen < NEEDED)).any())

    def lasting(self) -> frozenset[tuple[str, str]]:
        """Return the demands that the last look saw above what was expected."""
        return frozenset((self._nodes[a], self._nodes[b]) for a, b in np.argwhere(self._over))

    def look(
        self,
        reports: list[CounterReport],
        forecast: Forecast,
        plan: Plan,
        capacities_bps: Mapping[str, float],
    ) -> tuple[Surge, ...]:
        """Return the surges that are to be answered now.

        ``capacities_bps``: of the links by name.
        """
        rates, _ = self._meter.rates(reports, self._unknown)
        if forecast.demands_bps.shape[-2:] != rates.shape:
            return ()
        ceiling = forecast.demands_bps[0, -1]
        known = np.isfinite(rates)
        floor = MATTERS * self._smallest
        over = known & (rates > ABOVE * ceiling) & (rates - ceiling > floor)
        self._seen = np.where(over, self._seen + 1, np.where(known, 0, self._seen))
        self._over = np.where(known, over, self._over)
        for pair in [pair for pair in self._answered if known[pair] and not over[pair]]:
            del self._answered[pair]
        sure = {
            (int(a), int(b)): float(rates[a, b])
            for a, b in np.argwhere(self._seen >= NEEDED)
            if self._wanted((int(a), int(b)), float(rates[a, b]))
        }
        if not sure:
            return ()
        found = self._where_it_matters(sure, rates, forecast, plan, capacities_bps)
        for pair in found:
            rate, times = self._answered.get(pair, (0.0, 0))
            again = sure[pair] <= GROWS * rate
            self._answered[pair] = (rate, times + 1) if again else (sure[pair], 1)
            # how the answer does has to be seen as often again
            self._seen[pair] = 0
        return tuple(found.values())

    def _wanted(self, pair: tuple[int, int], rate_bps: float) -> bool:
        """Whether a surge is news, or was answered too little so far."""
        answered, times = self._answered.get(pair, (0.0, 0))
        return rate_bps > GROWS * answered or times < ANSWERS

    def _where_it_matters(
        self,
        sure: Mapping[tuple[int, int], float],
        rates: Matrix,
        forecast: Forecast,
        plan: Plan,
        capacities_bps: Mapping[str, float],
    ) -> dict[tuple[int, int], Surge]:
        """Keep the surges whose links get more than they should, by the plan's own splits."""
        middle = forecast.demands_bps[0, len(forecast.levels) // 2]
        now = np.where(np.isfinite(rates), rates, middle)
        index = {name: number for number, name in enumerate(self._nodes)}
        links = {circuit.spi: circuit.links for circuit in plan.circuits}
        loads: dict[str, float] = {}
        passed: dict[tuple[int, int], set[str]] = {}
        for split in plan.splits:
            pair = index.get(split.src, -1), index.get(split.dst, -1)
            if -1 in pair:
                continue
            for spi, share in zip(split.spis, split.shares, strict=True):
                for link in links.get(spi, ()):
                    loads[link] = loads.get(link, 0.0) + float(now[pair]) * share
                    if pair in sure:
                        passed.setdefault(pair, set()).add(link)
        used = {
            link: load / capacities_bps[link]
            for link, load in loads.items()
            if capacities_bps.get(link, 0.0) > 0.0
        }
        found = {}
        for pair, over in passed.items():
            worst = max(over, key=lambda link: (used.get(link, 0.0), link))
            if used.get(worst, 0.0) > LOADED:
                found[pair] = Surge(
                    self._nodes[pair[0]],
                    self._nodes[pair[1]],
                    sure[pair],
                    float(forecast.demands_bps[0, -1][pair]),
                    worst,
                    used[worst],
                )
        return found

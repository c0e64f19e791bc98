"""A hard week: traffic scaled to a target, bursts that nobody announced, and cables that fail."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from controller.backtest.network import TestNetwork
from controller.decide.disjoint import opposite
from controller.decide.errors import DecideError
from controller.decide.graph import distances, graph_of
from controller.report.optimum import optimal_utilisation
from controller.state import LinkState

LEVEL = 0.95
"""Which quantile of the optimum, over the intervals that are scored, the scale brings to the
target: below it every interval can be carried without loss while all cables are there."""

BURSTS_PER_DAY = 6
BURST_DEMANDS = 3
BURST_FACTOR = 4.0
BURST_MINUTES = 30.0
OUTAGE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Burst:
    """Demands (positions in the matrix) that are ``factor`` times as large from one interval on.

    ``stop`` is the first interval that is as it was.
    """

    start: int
    stop: int
    pairs: tuple[tuple[int, int], ...]
    factor: float


@dataclass(frozen=True, slots=True)
class Outage:
    """A cable (its links both ways, by name) that is dead from ``start`` up to ``stop``."""

    start: int
    stop: int
    links: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class Scenario:
    """A network with its traffic as it is to be, and what fails when."""

    network: TestNetwork
    scale: float
    bursts: tuple[Burst, ...]
    outages: tuple[Outage, ...]

    def links(self, t: int) -> tuple[LinkState, ...]:
        """Return the links as they are during interval ``t``."""
        dead = {name for one in self.outages if one.start <= t < one.stop for name in one.links}
        if not dead:
            return self.network.links
        return tuple(replace(x, up=x.name not in dead) for x in self.network.links)


def scale_to(network: TestNetwork, target: float, start: int, stop: int) -> float:
    """Return the factor that brings the optimum's LEVEL quantile over the intervals to ``target``.

    Raises:
        DecideError: there is no traffic to scale.
    """
    graph = network.graph
    capacity = network.capacity(graph)
    optima = [optimal_utilisation(graph, capacity, network.tm_bps[t]) for t in range(start, stop)]
    level = float(np.quantile(optima, LEVEL))
    if level <= 0.0:
        raise DecideError(f"intervals {start} to {stop} have no traffic to scale")
    return target / level


def cables(network: TestNetwork) -> list[frozenset[str]]:
    """Return the cables whose loss disconnects nobody who was connected, by name."""
    whole = _ways(network, network.links)
    names = sorted({frozenset((x.name, opposite(x.name))) for x in network.links}, key=sorted)
    return [
        cable
        for cable in names
        if _ways(network, [x for x in network.links if x.name not in cable]) == whole
    ]


def _ways(network: TestNetwork, links: Iterable[LinkState]) -> int:
    table = distances(graph_of(network.nodes, links))
    return sum(cost is not None for row in table for cost in row)


def outages(network: TestNetwork, every_h: float, start: int, stop: int) -> tuple[Outage, ...]:
    """Return an outage of an hour in the middle of every ``every_h`` hours, the cables in turn.

    Raises:
        DecideError: there is no cable that may fail, or outages would touch each other.
    """
    every = round(every_h * 3600 / network.step_s)
    lasts = max(1, round(OUTAGE_S / network.step_s))
    if every <= lasts:
        raise DecideError(f"outages of an hour every {every_h:g} h would never end")
    candidates = cables(network)
    if not candidates:
        raise DecideError("every cable's loss would cut somebody off: none can fail")
    begins = range(start + (every - lasts) // 2, stop, every)
    return tuple(
        Outage(begin, min(begin + lasts, stop), candidates[turn % len(candidates)])
        for turn, begin in enumerate(begins)
    )


def bursts(network: TestNetwork, start: int, stop: int, seed: int) -> tuple[Burst, ...]:
    """Return bursts of BURST_DEMANDS of the larger half of the demands at random times."""
    random = np.random.default_rng(seed)
    mean = network.tm_bps[:start].mean(axis=0)
    pairs = [(a, b) for a, b in np.ndindex(*mean.shape) if a != b and mean[a, b] > 0.0]
    larger = sorted(pairs, key=lambda pair: (-mean[pair], pair))[: max(1, len(pairs) // 2)]
    lasts = max(1, round(BURST_MINUTES * 60 / network.step_s))
    count = round(BURSTS_PER_DAY * (stop - start) * network.step_s / 86_400)
    found = []
    for begin in sorted(random.integers(start, stop, count).tolist()):
        chosen = random.choice(len(larger), min(BURST_DEMANDS, len(larger)), replace=False)
        those = tuple(larger[at] for at in sorted(chosen.tolist()))
        found.append(Burst(begin, min(begin + lasts, stop), those, BURST_FACTOR))
    return tuple(found)


def scenario(
    network: TestNetwork,
    start: int,
    stop: int,
    *,
    optimum: float = 0.8,
    fail_every_h: float = 0.0,
    with_bursts: bool = False,
    seed: int = 1,
) -> Scenario:
    """Return the network with its traffic scaled, bursts planted and cables that fail.

    The scale is that of the traffic as measured: bursts and outages come on top.

    Raises:
        DecideError: there is no traffic, or nothing that could fail.
    """
    scale = scale_to(network, optimum, start, stop)
    planted = bursts(network, start, stop, seed) if with_bursts else ()
    failing = outages(network, fail_every_h, start, stop) if fail_every_h > 0 else ()
    tm = network.tm_bps * scale
    for one in planted:
        for a, b in one.pairs:
            tm[one.start : one.stop, a, b] *= one.factor
    return Scenario(replace(network, tm_bps=tm), scale, planted, failing)

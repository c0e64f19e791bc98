"""The methods that are compared: each decides from the past, and says how demands are spread."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from controller.backtest.forecasts import Forecasts
from controller.backtest.network import TestNetwork
from controller.decide import plan
from controller.decide.candidates import Floats, candidates
from controller.decide.graph import Graph, Path, graph_of
from controller.decide.spread import counts_of
from controller.decide.te import place
from controller.report.fluid import Ecmp, Routing, Way, plain_routing
from controller.state import BUCKETS, LinkState, Plan, Policies, Snapshot

SLACK = 1.002
"""Of the reactive two-stage form."""

MOST_RECENT = 24
"""Matrices that a decision is shown."""

Shares = dict[tuple[int, int], dict[Path, float]]


class Method(Protocol):
    """A way to decide at the end of interval ``t``, with the links as they are then."""

    def decide(self, t: int, links: tuple[LinkState, ...]) -> Way:
        """Return the routing from now on; nothing after ``t`` may be looked at."""
        ...


@dataclass(slots=True, eq=False)
class Ospf:
    """Shortest paths by metric, one per demand; or all equal ones (``equal_cost``)."""

    network: TestNetwork
    equal_cost: bool

    def decide(self, t: int, links: tuple[LinkState, ...]) -> Way:  # noqa: ARG002
        """Return the shortest paths of the links that are up."""
        graph = graph_of(self.network.nodes, links)
        return Ecmp(graph) if self.equal_cost else plain_routing(graph)


@dataclass(slots=True, eq=False)
class Reactive:
    """The last matrix's linear program: any vertex, or the two-stage form (``slack``)."""

    network: TestNetwork
    paths: int
    slack: float | None

    def decide(self, t: int, links: tuple[LinkState, ...]) -> Way:
        """Return what is best for the matrix of interval ``t``."""
        graph = graph_of(self.network.nodes, links)
        options = candidates(graph, self.paths)
        capacity = self.network.capacity(graph)
        shares = place(options, capacity, self.network.tm_bps[t], self.slack).shares
        spread: Shares = {pair: {} for pair in options.pairs}
        for number in np.flatnonzero(shares):
            pair = options.pairs[options.demand[number]]
            spread[pair][options.paths[number]] = float(shares[number])
        return Routing(graph, spread)


@dataclass(slots=True, eq=False)
class Predictive:
    """The decision stage itself, with the forecast of its horizon and its own previous plan."""

    network: TestNetwork
    forecasts: Forecasts
    policies: Policies
    previous: Plan | None = None

    def decide(self, t: int, links: tuple[LinkState, ...]) -> Way:
        """Return the splits of the plan made at the end of interval ``t``."""
        network = self.network
        past = network.tm_bps[max(0, t + 1 - MOST_RECENT) : t + 1]
        snapshot = Snapshot(
            t, t * network.step_s, network.step_s, network.step_s, network.nodes, links, past[-1],
            past,
        )  # fmt: skip
        self.previous = plan(snapshot, self.forecasts.at(t), self.policies, self.previous)
        return routing_of_plan(self.previous, network.nodes, graph_of(network.nodes, links))


def routing_of_plan(plan: Plan, nodes: tuple[str, ...], graph: Graph) -> Routing:
    """Return the routing that a plan's splits make; what it does not steer goes plain ways."""
    index = {name: number for number, name in enumerate(nodes)}
    edges = {edge.name: number for number, edge in enumerate(graph.edges)}
    paths = {c.spi: tuple(edges[name] for name in c.links) for c in plan.circuits}
    spread: Shares = {pair: dict(by) for pair, by in plain_routing(graph).shares.items()}
    for split in plan.splits:
        shares: dict[Path, float] = {}
        for spi, count in counts_of(split).items():
            shares[paths[spi]] = shares.get(paths[spi], 0.0) + count / BUCKETS
        spread[index[split.src], index[split.dst]] = shares
    return Routing(graph, spread)


Make = Callable[[TestNetwork, int, Policies, Callable[[], Forecasts]], Method]

METHODS: dict[str, Make] = {
    "ospf": lambda network, _k, _p, _f: Ospf(network, equal_cost=False),
    "ecmp": lambda network, _k, _p, _f: Ospf(network, equal_cost=True),
    "reactive": lambda network, k, _p, _f: Reactive(network, k, None),
    "reactive2": lambda network, k, _p, _f: Reactive(network, k, SLACK),
    "predictive": lambda network, _k, policies, f: Predictive(network, f(), policies),
    "robust": lambda network, _k, policies, f: Predictive(
        network, f(), replace(policies, robust_above=0.0)
    ),
}
"""Every method by its name."""


def timed(method: Method, t: int, links: tuple[LinkState, ...]) -> tuple[Way, float]:
    """Return the routing and the processor time that it took, in ms."""
    began = time.process_time()
    way = method.decide(t, links)
    return way, (time.process_time() - began) * 1e3


def spread_of(way: Way) -> Shares:
    """Return the shares of a routing; those of equal-cost splitting are not told: {}."""
    if isinstance(way, Routing):
        return {pair: dict(by) for pair, by in way.shares.items()}
    return {}


def moved_share(before: Shares, after: Shares, demands_bps: Floats) -> float:
    """Return which share of the traffic [N, N] takes another path than before."""
    total = float(demands_bps.sum())
    moved = sum(
        float(demands_bps[pair])
        * sum(max(0.0, share - before[pair].get(path, 0.0)) for path, share in shares.items())
        for pair, shares in after.items()
        if pair in before
    )
    return moved / total if total > 0 else 0.0

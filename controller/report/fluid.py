"""The fluid model: what a traffic matrix loads the links with under a routing, and what is lost.

Every method is scored by this one model on the same matrices. Loads are what is offered to a
link; where that is above its capacity, ``carried`` drops the surplus from all flows alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from controller.decide.candidates import Candidates, Floats
from controller.decide.graph import Graph, Path, distances, equal_cost_next_hops, shortest_paths
from controller.state import Matrix

ROUNDS = 200
STILL = 1e-9


class Way(Protocol):
    """A way to route demands."""

    @property
    def graph(self) -> Graph:
        """The network that it routes on."""
        ...

    def flow(self, demands_bps: Matrix, passed: Floats) -> tuple[Floats, float]:
        """Return what arrives at every edge [E] and what is delivered, in bit/s.

        ``passed``: [E], the share of what arrives at an edge that the edge passes on.
        """
        ...


def loads(way: Way, demands_bps: Matrix) -> Floats:
    """Return [E] in bit/s: what is offered to every edge by ``demands_bps`` [N, N]."""
    return way.flow(demands_bps, np.ones(len(way.graph.edges)))[0]


def carried(way: Way, capacity_bps: Floats, demands_bps: Matrix) -> tuple[Floats, float]:
    """Return [E] in bit/s, what arrives at every edge, and the rate that the network loses.

    An edge passes on its capacity, the surplus is dropped from all flows in proportion; so edges
    further on see less. Demands without a way count as lost.
    """
    passed = np.ones(len(capacity_bps))
    for _ in range(ROUNDS):
        arriving, delivered = way.flow(demands_bps, passed)
        through = np.divide(
            capacity_bps, arriving, out=np.ones(len(passed)), where=arriving > capacity_bps
        )
        if np.abs(through - passed).max(initial=0.0) < STILL:
            break
        passed = through
    return arriving, max(0.0, float(demands_bps.sum()) - delivered)


@dataclass(frozen=True, slots=True, eq=False)
class Routing:
    """Demands spread over paths: shares per (source, destination) and path.

    What shares do not add up to 1, or have no entry, goes nowhere.
    """

    graph: Graph
    shares: Mapping[tuple[int, int], Mapping[Path, float]]

    def flow(self, demands_bps: Matrix, passed: Floats) -> tuple[Floats, float]:
        """Return what arrives at every edge [E] and what is delivered, in bit/s."""
        arriving, delivered = [0.0] * len(passed), 0.0
        through = passed.tolist()
        for pair, by_path in self.shares.items():
            for path, share in by_path.items():
                rate = float(demands_bps[pair]) * share
                for edge in path:
                    arriving[edge] += rate
                    rate *= through[edge]
                delivered += rate
        return np.array(arriving), delivered


@dataclass(frozen=True, slots=True, eq=False)
class Ecmp:
    """OSPF with equal-cost multipath: every hop splits evenly (RFC 2328, section 16.8)."""

    graph: Graph

    def flow(self, demands_bps: Matrix, passed: Floats) -> tuple[Floats, float]:
        """Return what arrives at every edge [E] and what is delivered, in bit/s."""
        arriving, delivered = np.zeros(len(passed)), 0.0
        hops = equal_cost_next_hops(self.graph)
        for target, best in enumerate(distances(self.graph)):
            reached = [(cost, node) for node, cost in enumerate(best) if cost is not None]
            inflow = np.zeros(self.graph.size)
            for _, node in sorted(reached, reverse=True):
                if node == target:
                    continue
                rate = inflow[node] + float(demands_bps[node, target])
                share = rate / len(hops[target][node])
                for edge in hops[target][node]:
                    arriving[edge] += share
                    inflow[self.graph.edges[edge].dst] += share * passed[edge]
            delivered += float(inflow[target])
        return arriving, delivered


def plain_routing(graph: Graph) -> Routing:
    """Return the routing of unmarked traffic: one shortest path per demand."""
    return Routing(graph, {pair: {path: 1.0} for pair, path in shortest_paths(graph).items()})


def routing_of_shares(options: Candidates, shares: Floats) -> Routing:
    """Return the routing that shares [P] of candidate paths make."""
    spread: dict[tuple[int, int], dict[Path, float]] = {pair: {} for pair in options.pairs}
    for number in np.flatnonzero(shares):
        pair = options.pairs[options.demand[number]]
        spread[pair][options.paths[number]] = float(shares[number])
    return Routing(options.graph, spread)

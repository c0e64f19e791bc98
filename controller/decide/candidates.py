"""The candidate paths of all demands as arrays: what the linear program and its checks work on."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from controller.decide.disjoint import Risks, protector
from controller.decide.graph import CACHED, Graph, Path
from controller.decide.paths import k_shortest_paths
from controller.state import LinkState, Matrix

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Paths by number, those of one demand side by side, the cheapest first.

    ``pairs``: [D] of (source, destination), those with a path. ``paths``: [P], ``demand``: [P]
    which pair each is for. ``first``: [D] the number of each pair's cheapest path, ``last``: [D]
    one beyond its last. ``hops``: [P] lengths; ``edges``: all paths' edges, one after the other.
    """

    graph: Graph
    pairs: tuple[tuple[int, int], ...]
    paths: tuple[Path, ...]
    demand: Ints
    first: Ints
    last: Ints
    hops: Ints
    edges: Ints
    sources: Ints
    targets: Ints

    @property
    def starts(self) -> Ints:
        """[P]: where each path's edges begin in ``edges``."""
        starts: Ints = np.cumsum(self.hops) - self.hops
        return starts

    def rates(self, demands_bps: Matrix) -> Floats:
        """Return [D]: the pairs' entries of a matrix [N, N]."""
        rates: Floats = demands_bps[self.sources, self.targets]
        return rates

    def loads(self, shares: Floats, demands_bps: Matrix) -> Floats:
        """Return [E] in bit/s: the edges' loads, path p carrying ``shares[p]`` of its demand."""
        flows = shares * self.rates(demands_bps)[self.demand]
        on_edges = np.repeat(flows, self.hops)
        loads: Floats = np.zeros(len(self.graph.edges))
        np.add.at(loads, self.edges, on_edges)
        return loads

    def shortest(self) -> Floats:
        """Return [P]: the shares that put every demand on its cheapest path."""
        shares = np.zeros(len(self.paths))
        shares[self.first] = 1.0
        return shares


@lru_cache(maxsize=CACHED)
def candidates(
    graph: Graph,
    k: int,
    pairs: frozenset[tuple[int, int]] | None = None,
    risks: Risks | None = None,
) -> Candidates:
    """Return the ``k`` shortest loop-free paths of all pairs that have one, or of ``pairs`` only.

    From two paths on there is one more where the k shortest all share a cable, a risk group or a
    location with the first: the one that is as disjoint from it as the network allows.

    Raises:
        ValueError: ``k`` is below 1.
    """
    found = k_shortest_paths(graph, k, pairs)
    chosen = tuple(sorted(found))
    others = protector(graph, risks if risks is not None else ((),) * len(graph.edges))
    every = {pair: others.with_disjoint(found[pair]) if k > 1 else found[pair] for pair in chosen}
    counts = np.array([len(every[pair]) for pair in chosen], dtype=np.intp)
    paths = tuple(path for pair in chosen for path in every[pair])
    last = np.cumsum(counts)
    return Candidates(
        graph,
        chosen,
        paths,
        np.repeat(np.arange(len(chosen)), counts),
        last - counts,
        last,
        np.array([len(path) for path in paths], dtype=np.intp),
        np.array([edge for path in paths for edge in path], dtype=np.intp),
        np.array([source for source, _ in chosen], dtype=np.intp),
        np.array([target for _, target in chosen], dtype=np.intp),
    )


def capacities(graph: Graph, links: Iterable[LinkState]) -> Floats:
    """Return [E] in bit/s: the capacities of the graph's edges."""
    by_name = {link.name: link.capacity_bps for link in links}
    return np.array([by_name[edge.name] for edge in graph.edges], dtype=np.float64)

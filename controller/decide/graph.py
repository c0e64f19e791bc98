"""The graph that routing depends on: distances, equal-cost next hops, shortest routes.

A ``Graph`` is the part of a topology that routing depends on. It is hashable, so everything here
is cached by it: a tick on an unchanged topology computes no path again. Metrics are compared in
millionths, as integers, so that equal costs are equal whatever the order of addition.
"""

import heapq
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from controller.state import LinkState

Path = tuple[int, ...]
"""A path as positions in ``Graph.edges``, in the order of travel."""

UNIT = 1_000_000
"""Cost units per unit of metric."""

HOP = 1 << 20
"""Costs times this, plus one a hop, order paths by cost and then by hops."""

TIE = 1 << 48
"""Room below a hop for what tells paths of equal cost apart: 32 bits a link, 65,536 links."""

CACHED = 16
"""Topologies that results are kept for: enough for links that fail and come back."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A directed link as routing sees it; ``metric`` above 0."""

    name: str
    src: int
    dst: int
    metric: float = 1.0


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes by number (0 to ``size`` - 1) and the directed edges between them, sorted by name."""

    size: int
    edges: tuple[Edge, ...]

    def leaving(self) -> list[list[int]]:
        """Return the edges that leave each node."""
        out: list[list[int]] = [[] for _ in range(self.size)]
        for position, edge in enumerate(self.edges):
            out[edge.src].append(position)
        return out

    def costs(self) -> list[int]:
        """Return each edge's cost in millionths of the metric, at least 1."""
        return [max(1, round(edge.metric * UNIT)) for edge in self.edges]


def graph_of(nodes: tuple[str, ...], links: Iterable[LinkState]) -> Graph:
    """Return the graph of the links that can carry traffic.

    A link is left out that is down, has no capacity, leads to itself or to an unknown node; the
    order of ``links`` does not matter.
    """
    index = {name: number for number, name in enumerate(nodes)}
    edges = (
        Edge(link.name, index[link.src], index[link.dst], link.metric)
        for link in links
        if link.up
        and link.capacity_bps > 0
        and link.src != link.dst
        and link.src in index
        and link.dst in index
    )
    return Graph(len(nodes), tuple(sorted(edges, key=lambda edge: edge.name)))


@lru_cache(maxsize=CACHED)
def fine_costs(graph: Graph) -> list[int]:
    """Return costs [E] that order paths by metric, then hops, and then never leave two equal.

    What decides last is drawn from the links' names (their CRC), so it is the same everywhere.
    """
    return [
        (cost * HOP + 1) * TIE + zlib.crc32(edge.name.encode())
        for cost, edge in zip(graph.costs(), graph.edges, strict=True)
    ]


def costs_to(
    target: int, graph: Graph, costs: list[int], into: list[list[int]]
) -> list[int | None]:
    """Return every node's least cost to ``target`` (Dijkstra against the edges); None: no way."""
    best: list[int | None] = [None] * graph.size
    heap = [(0, target)]
    while heap:
        cost, node = heapq.heappop(heap)
        if best[node] is not None:
            continue
        best[node] = cost
        for position in into[node]:
            source = graph.edges[position].src
            if best[source] is None:
                heapq.heappush(heap, (cost + costs[position], source))
    return best


def entering(graph: Graph) -> list[list[int]]:
    """Return the edges that enter each node."""
    into: list[list[int]] = [[] for _ in range(graph.size)]
    for position, edge in enumerate(graph.edges):
        into[edge.dst].append(position)
    return into


@lru_cache(maxsize=CACHED)
def distances(graph: Graph) -> tuple[tuple[int | None, ...], ...]:
    """Return ``[target][node]``: the least cost in millionths of the metric; None: no way."""
    costs, into = graph.costs(), entering(graph)
    return tuple(tuple(costs_to(target, graph, costs, into)) for target in range(graph.size))


@lru_cache(maxsize=CACHED)
def equal_cost_next_hops(graph: Graph) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Return ``[target][node]``: the edges of all shortest ways on, as OSPF's ECMP uses them.

    RFC 2328, section 16.8. Empty at the target itself and where there is no way.
    """
    costs, leaving = graph.costs(), graph.leaving()
    hops = []
    for target, best in enumerate(distances(graph)):
        rows: list[tuple[int, ...]] = []
        for node in range(graph.size):
            here = best[node]
            if node == target or here is None:
                rows.append(())
                continue
            rows.append(tuple(e for e in leaving[node] if _via(graph, e, costs, best) == here))
        hops.append(tuple(rows))
    return tuple(hops)


def _via(graph: Graph, edge: int, costs: list[int], best: tuple[int | None, ...]) -> int | None:
    beyond = best[graph.edges[edge].dst]
    return None if beyond is None else costs[edge] + beyond


@lru_cache(maxsize=CACHED)
def shortest_paths(graph: Graph) -> Mapping[tuple[int, int], Path]:
    """Return one shortest path per (source, target), all towards a target forming a tree.

    Among equal costs the fewest hops win, then ``fine_costs``; pairs without a way are left out.
    """
    fine = fine_costs(graph)
    into, leaving = entering(graph), graph.leaving()
    found: dict[tuple[int, int], Path] = {}
    for target in range(graph.size):
        best = costs_to(target, graph, fine, into)
        order = sorted((cost, node) for node, cost in enumerate(best) if cost is not None)
        for cost, node in order:
            if node == target:
                continue
            for edge in leaving[node]:
                beyond = best[graph.edges[edge].dst]
                if beyond is not None and fine[edge] + beyond == cost:
                    found[node, target] = (edge, *found.get((graph.edges[edge].dst, target), ()))
                    break
    return found


def routes(nodes: tuple[str, ...], graph: Graph) -> dict[str, dict[str, str]]:
    """Return ``[node][destination]``: the name of the link that a shortest path leaves by."""
    table: dict[str, dict[str, str]] = {node: {} for node in nodes}
    for (source, target), path in sorted(shortest_paths(graph).items()):
        table[nodes[source]][nodes[target]] = graph.edges[path[0]].name
    return table

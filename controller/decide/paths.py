"""Candidate paths: the k shortest loop-free ones of every pair.

Yen, "Finding the k shortest loopless paths in a network", Management Science 17 (1971), with
Lawler's rule (spurs only from where a path left its parent). Parallel links make different paths.
"""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from controller.decide.graph import CACHED, HOP, Graph, Path, costs_to, entering


class _Search:
    """Shortest ways to one target that avoid given nodes and edges: A* with exact estimates."""

    def __init__(self, graph: Graph, target: int, into: list[list[int]]) -> None:
        self.target = target
        self.starts = [edge.src for edge in graph.edges]
        self.ends = [edge.dst for edge in graph.edges]
        self.costs = [cost * HOP + 1 for cost in graph.costs()]
        self.leaving = graph.leaving()
        self.estimate = costs_to(target, graph, self.costs, into)

    def run(self, start: int, nodes: set[int], edges: set[int]) -> tuple[int, Path] | None:
        """Return cost and edges of a shortest way from ``start``, or None where there is none.

        ``edges`` are avoided at ``start`` only: that is all that Yen's spurs need.
        """
        first = self.estimate[start]
        if first is None:
            return None
        closed = set(nodes)
        entered: dict[int, int] = {}
        pushed = 0
        queue = [(first, pushed, start, -1)]
        while queue:
            value, _, node, by = heapq.heappop(queue)
            if node in closed:
                continue
            closed.add(node)
            entered[node] = by
            if node == self.target:
                return value, self._trace(start, entered)
            so_far = value - (self.estimate[node] or 0)
            for edge in self.leaving[node]:
                end = self.ends[edge]
                rest = self.estimate[end]
                if rest is None or end in closed or (node == start and edge in edges):
                    continue
                pushed += 1
                heapq.heappush(queue, (so_far + self.costs[edge] + rest, pushed, end, edge))
        return None

    def _trace(self, start: int, entered: Mapping[int, int]) -> Path:
        path: list[int] = []
        node = self.target
        while node != start:
            path.append(entered[node])
            node = self.starts[entered[node]]
        return tuple(reversed(path))


@dataclass(frozen=True, slots=True, order=True)
class _Found:
    """A path in the order in which paths are taken: cost and hops, then its edges' names."""

    cost: int
    path: Path
    left_at: int


def _k_shortest(search: _Search, source: int, k: int) -> tuple[Path, ...]:
    first = search.run(source, set(), set())
    if first is None:
        return ()
    waiting = [_Found(first[0], first[1], 0)]
    seen = {first[1]}
    taken: list[Path] = []
    while waiting and len(taken) < k:
        best = heapq.heappop(waiting)
        taken.append(best.path)
        if len(taken) == k:
            break
        cost = sum(search.costs[edge] for edge in best.path[: best.left_at])
        for position in range(best.left_at, len(best.path)):
            root = best.path[:position]
            avoided = {path[position] for path in taken if path[:position] == root}
            spur = search.run(
                search.starts[best.path[position]],
                {search.starts[edge] for edge in root},
                avoided,
            )
            if spur is not None and (path := root + spur[1]) not in seen:
                seen.add(path)
                heapq.heappush(waiting, _Found(cost + spur[0], path, position))
            cost += search.costs[best.path[position]]
    return tuple(taken)


@lru_cache(maxsize=CACHED)
def k_shortest_paths(graph: Graph, k: int) -> Mapping[tuple[int, int], tuple[Path, ...]]:
    """Return up to ``k`` loop-free paths per (source, target), the cheapest first.

    Among equal costs the fewest hops come first. Pairs without a way are left out.

    Raises:
        ValueError: ``k`` is below 1.
    """
    if k < 1:
        raise ValueError(f"{k} candidate paths: at least 1 is needed")
    into = entering(graph)
    found: dict[tuple[int, int], tuple[Path, ...]] = {}
    for target in range(graph.size):
        search = _Search(graph, target, into)
        for source in range(graph.size):
            if source != target and (paths := _k_shortest(search, source, k)):
                found[source, target] = paths
    return found

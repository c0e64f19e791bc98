"""Candidate paths: the k shortest loop-free ones of every pair.

Yen, "Finding the k shortest loopless paths in a network", Management Science 17 (1971), with
Lawler's rule (spurs only from where a path left its parent). Parallel links make different paths.

When a few links come or go, only the pairs that this can touch are computed anew. So that the
answer is the same as one from scratch, equal costs never decide: every link costs a little of its
own, drawn from its name, far below a hop.
"""

import heapq
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from controller.decide.graph import CACHED, Edge, Graph, Path, costs_to, entering, fine_costs

NEAR = 8
"""Links by which a remembered topology may differ and still be worth starting from."""


class _Search:
    """Shortest ways to one target that avoid given nodes and edges: A* with exact estimates."""

    def __init__(self, graph: Graph, target: int, into: list[list[int]]) -> None:
        self.target = target
        self.starts = [edge.src for edge in graph.edges]
        self.ends = [edge.dst for edge in graph.edges]
        self.costs = fine_costs(graph)
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
    """A path in the order in which paths are taken: by cost, which no other path has."""

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


Paths = Mapping[tuple[int, int], tuple[Path, ...]]


Pairs = frozenset[tuple[int, int]]


class PathBook:
    """The k shortest paths of the topologies seen last; one is made from another where it can be.

    What it returns does not depend on what it remembers.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Graph, int], dict[tuple[int, int], tuple[Path, ...]]] = (
            OrderedDict()
        )
        self.searched = 0
        """Pairs that were searched for, over all calls."""

    def paths(self, graph: Graph, k: int, pairs: Pairs | None = None) -> Paths:
        """Return up to ``k`` loop-free paths per (source, target), the cheapest first.

        Among equal costs the fewest hops come first. Pairs without a way are left out; ``pairs``:
        those wanted, else all.

        Raises:
            ValueError: ``k`` is below 1.
        """
        if k < 1:
            raise ValueError(f"{k} candidate paths: at least 1 is needed")
        found = self._known.get((graph, k))
        if found is None:
            near = self._nearest(graph, k)
            found = {} if near is None else self._carried(near, graph, k)
            self._known[graph, k] = found
        self._known.move_to_end((graph, k))
        while len(self._known) > CACHED:
            self._known.popitem(last=False)
        every = range(graph.size)
        wanted = {(a, b) for b in every for a in every if a != b} if pairs is None else pairs
        self._search(graph, k, found, sorted(wanted - found.keys(), key=lambda pair: pair[::-1]))
        return {pair: found[pair] for pair in sorted(wanted) if found[pair]}

    def _nearest(self, graph: Graph, k: int) -> Graph | None:
        edges = set(graph.edges)
        near = [
            (len(edges.symmetric_difference(other.edges)), -at, other)
            for at, (other, paths) in enumerate(self._known)
            if paths == k and other.size == graph.size
        ]
        best = min(near, default=None, key=lambda one: one[:2])
        return best[2] if best is not None and best[0] <= NEAR else None

    def _carried(self, old: Graph, graph: Graph, k: int) -> dict[tuple[int, int], tuple[Path, ...]]:
        """Return the pairs whose paths on ``old`` are those on ``graph`` too."""
        place = {edge: at for at, edge in enumerate(graph.edges)}
        moved = [place.get(edge, -1) for edge in old.edges]
        fresh = [at for at, edge in enumerate(graph.edges) if edge not in set(old.edges)]
        costs = fine_costs(graph)
        into, out = entering(graph), graph.leaving()
        backwards = Graph(
            graph.size, tuple(Edge(e.name, e.dst, e.src, e.metric) for e in graph.edges)
        )
        through = [
            (
                costs_to(graph.edges[at].src, graph, costs, into),
                costs_to(graph.edges[at].dst, backwards, costs, out),
                costs[at],
            )
            for at in fresh
        ]
        kept: dict[tuple[int, int], tuple[Path, ...]] = {}
        for pair, paths in self._known[old, k].items():
            there = tuple(tuple(moved[edge] for edge in path) for path in paths)
            if not paths and fresh:
                continue
            if any(-1 in path for path in there):
                continue
            longest = sum(costs[edge] for edge in there[-1]) if len(there) == k else None
            if any(
                to is not None and on is not None and (longest is None or to + cost + on < longest)
                for to, on, cost in ((a[pair[0]], b[pair[1]], cost) for a, b, cost in through)
            ):
                continue
            kept[pair] = there
        return kept

    def _search(
        self,
        graph: Graph,
        k: int,
        found: dict[tuple[int, int], tuple[Path, ...]],
        wanted: list[tuple[int, int]],
    ) -> None:
        into = entering(graph)
        search: _Search | None = None
        for source, target in wanted:
            if search is None or search.target != target:
                search = _Search(graph, target, into)
            self.searched += 1
            found[source, target] = _k_shortest(search, source, k)


BOOK = PathBook()
"""What this process remembers."""


def k_shortest_paths(graph: Graph, k: int, pairs: Pairs | None = None) -> Paths:
    """Return up to ``k`` loop-free paths per (source, target); see ``PathBook.paths``."""
    return BOOK.paths(graph, k, pairs)

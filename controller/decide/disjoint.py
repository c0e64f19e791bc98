"""Backup paths: as disjoint from a path as the network allows, in links first, then in risks.

One shortest-path search with prices far above any metric for what is shared: a cable (either
direction of a link), a declared risk group, a location on the way. What cannot be avoided is
shared as little as possible, so a backup exists wherever there is a second way for any part.
"""

import heapq
from collections.abc import Mapping
from functools import lru_cache

from controller.decide.graph import CACHED, Graph, Path, fine_costs
from controller.state import LinkState

Risks = tuple[tuple[str, ...], ...]
"""Each edge's risk groups, in the order of ``Graph.edges``."""


def risks_of(graph: Graph, links: Mapping[str, LinkState]) -> Risks:
    """Return [E]: the edges' declared risk groups."""
    return tuple(links[edge.name].risk_groups for edge in graph.edges)


class Protector:
    """Finds backup paths on one graph, and remembers them."""

    def __init__(self, graph: Graph, risks: Risks) -> None:
        self._graph = graph
        self._risks = risks
        self._costs = fine_costs(graph)
        self._leaving = graph.leaving()
        names = {edge.name: at for at, edge in enumerate(graph.edges)}
        self._back = [names.get(opposite(edge.name), -1) for edge in graph.edges]
        total = sum(self._costs) + 1
        self._node, self._risk = total, total * graph.size
        self._cable = self._risk * (1 + sum(len(set(groups)) for groups in risks))
        self._known: dict[Path, Path] = {}
        self._names: dict[Path, tuple[str, ...]] = {}

    def names(self, path: Path) -> tuple[str, ...]:
        """Return the names of a path's links."""
        found = self._names.get(path)
        if found is None:
            edges = self._graph.edges
            found = self._names[path] = tuple(edges[edge].name for edge in path)
        return found

    def backup(self, path: Path) -> Path:
        """Return the backup of a path (positions in ``Graph.edges``); empty where there is none."""
        found = self._known.get(path)
        if found is None:
            found = self._known[path] = self._search(path)
        return found

    def shared(self, path: Path, other: Path) -> int:
        """Return how many cables two paths share."""
        cables = {*path, *(self._back[edge] for edge in path)}
        return sum(edge in cables for edge in other)

    def with_disjoint(self, paths: tuple[Path, ...]) -> tuple[Path, ...]:
        """Return the paths, and the first one's backup where it is not among them."""
        backup = self.backup(paths[0])
        return paths if not backup or backup in paths else (*paths, backup)

    def _prices(self, path: Path) -> list[int]:
        edges = self._graph.edges
        cables = {*path, *(self._back[edge] for edge in path)}
        groups = {group for edge in path for group in self._risks[edge]}
        inner = {edges[edge].dst for edge in path[:-1]}
        return [
            self._costs[at]
            + self._cable * (at in cables)
            + self._risk * len(groups.intersection(self._risks[at]))
            + self._node * (edge.dst in inner)
            for at, edge in enumerate(edges)
        ]

    def _search(self, path: Path) -> Path:
        edges = self._graph.edges
        source, target = edges[path[0]].src, edges[path[-1]].dst
        prices = self._prices(path)
        best: dict[int, int] = {}
        queue: list[tuple[int, int, int]] = [(0, source, -1)]
        by: dict[int, int] = {}
        while queue:
            price, node, edge = heapq.heappop(queue)
            if node in best:
                continue
            best[node], by[node] = price, edge
            if node == target:
                break
            for on in self._leaving[node]:
                if edges[on].dst not in best:
                    heapq.heappush(queue, (price + prices[on], edges[on].dst, on))
        way: list[int] = []
        node = target
        while node != source:
            way.append(by[node])
            node = edges[by[node]].src
        backup = tuple(reversed(way))
        return () if set(backup) >= set(path) else backup


def opposite(name: str) -> str:
    """Return the name of the other direction of a link's cable: ``B>A/2`` for ``A>B/2``."""
    ends, slash, number = name.partition("/")
    src, _, dst = ends.partition(">")
    return f"{dst}>{src}{slash}{number}"


@lru_cache(maxsize=CACHED)
def protector(graph: Graph, risks: Risks) -> Protector:
    """Return the protector of a graph with its risk groups."""
    return Protector(graph, risks)

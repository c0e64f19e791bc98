"""Circuits that operators and intents ask for: a path each, with what it keeps for itself.

They are placed one after the other, the most important first, before all other traffic. Each sees
what the others before it keep, never what it kept itself: so a circuit can always move within its
own room.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from controller.decide.candidates import Candidates, Floats
from controller.decide.costs import allowed, broken, path_costs, path_terms
from controller.decide.graph import Graph, Path
from controller.decide.situation import Situation
from controller.state import BUCKETS, CircuitRequest, Matrix


@dataclass(frozen=True, slots=True)
class Granted:
    """A request with its path, and the buckets of its demand that it takes."""

    request: CircuitRequest
    pair: tuple[int, int]
    path: Path
    buckets: int


@dataclass(frozen=True, slots=True, eq=False)
class Grants:
    """What became of the requests: ``background_bps`` [E] is what they keep on the links."""

    granted: tuple[Granted, ...]
    refused: Mapping[str, str]
    background_bps: Floats

    def taken(self) -> dict[tuple[int, int], int]:
        """Return how many buckets of each demand are taken."""
        taken: dict[tuple[int, int], int] = {}
        for one in self.granted:
            taken[one.pair] = taken.get(one.pair, 0) + one.buckets
        return taken

    def rest(self, demands_bps: Matrix) -> Matrix:
        """Return the demands without what the granted circuits carry."""
        rest = demands_bps.copy()
        for pair, buckets in self.taken().items():
            rest[pair] *= 1.0 - buckets / BUCKETS
        return rest


def grant(
    requests: Sequence[CircuitRequest],
    situation: Situation,
    options: Candidates,
    demands_bps: Matrix,
) -> Grants:
    """Return which requests get which path; who gets none is told why, and takes nothing."""
    capacity = situation.capacity
    background = np.zeros(len(capacity))
    granted: list[Granted] = []
    refused: dict[str, str] = {}
    index = {name: number for number, name in enumerate(situation.nodes)}
    taken: dict[tuple[int, int], int] = {}
    for request in sorted(requests, key=lambda one: (-one.priority, one.name)):
        if request.name in {one.request.name for one in granted} | refused.keys():
            continue
        if request.src not in index or request.dst not in index or request.src == request.dst:
            refused[request.name] = f"{request.src} to {request.dst} are not two known locations"
            continue
        pair = index[request.src], index[request.dst]
        free = BUCKETS - taken.get(pair, 0)
        buckets = min(round(request.share * BUCKETS), free)
        carried = float(demands_bps[pair]) * buckets / BUCKETS
        needed = max(request.reserved_bps, carried)
        room = capacity - background
        path, why = _path(request, pair, situation, options, background, room)
        if path is None:
            refused[request.name] = why
            continue
        granted.append(Granted(request, pair, path, buckets))
        taken[pair] = taken.get(pair, 0) + buckets
        background[list(path)] += needed
    return Grants(tuple(granted), refused, background)


def _path(
    request: CircuitRequest,
    pair: tuple[int, int],
    situation: Situation,
    options: Candidates,
    background: Floats,
    room: Floats,
) -> tuple[Path | None, str]:
    """Return the request's path, or None and why there is none."""
    graph = situation.graph
    if request.path:
        path, why = given_path(graph, request.path, pair)
        if path is None:
            return None, why
        terms = situation.terms(background / situation.capacity)
        why = broken(
            path, graph, situation.links, terms, situation.regions, request.constraints
        )  # fmt: skip
        if why:
            return None, f"its path breaks its own constraints: {why}"
    else:
        choices = [
            number for number in range(len(options.paths))
            if options.pairs[options.demand[number]] == pair
        ]  # fmt: skip
        if not choices:
            return None, f"there is no way from {request.src} to {request.dst}"
        of_paths = path_terms(options, situation.terms(background / situation.capacity))
        good = allowed(options, situation.links, of_paths, situation.regions, request.constraints)
        fitting = [
            number
            for number in choices
            if good[number] and min(room[list(options.paths[number])]) >= request.reserved_bps
        ]
        if not any(good[number] for number in choices):
            return None, "no path keeps its constraints"
        if not fitting:
            best = max(float(min(room[list(options.paths[n])])) for n in choices if good[n])
            return None, (
                f"{request.reserved_bps / 1e6:.1f} Mb/s are asked for, and no allowed path has"
                f" more than {best / 1e6:.1f} Mb/s free"
            )
        costs = path_costs(of_paths, situation.weights)
        return options.paths[min(fitting, key=lambda number: (costs[number], number))], ""
    tight = min(path, key=lambda edge: room[edge])
    if room[tight] < request.reserved_bps:
        return None, (
            f"{request.reserved_bps / 1e6:.1f} Mb/s are asked for, and"
            f" {graph.edges[tight].name} has {room[tight] / 1e6:.1f} Mb/s free"
        )
    return path, ""


def given_path(
    graph: Graph, links: Sequence[str], pair: tuple[int, int]
) -> tuple[Path | None, str]:
    """Return a path given by links' names, or None and what is wrong with it."""
    places = {edge.name: number for number, edge in enumerate(graph.edges)}
    missing = [name for name in links if name not in places]
    if missing:
        return None, f"{missing[0]} is not there, or down"
    path = tuple(places[name] for name in links)
    stations = [graph.edges[path[0]].src, *(graph.edges[edge].dst for edge in path)]
    joined = all(graph.edges[edge].src == stations[at] for at, edge in enumerate(path))
    if not joined or (stations[0], stations[-1]) != pair:
        return None, f"{', '.join(links)} is not a way between its ends"
    if len(set(stations)) < len(stations):
        return None, f"{', '.join(links)} passes a location twice"
    return path, ""

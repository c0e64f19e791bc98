"""The decision: from what is seen and expected to the whole desired state of the network.

A function of its arguments: no clock, no randomness, nothing read or written. Replaying the same
arguments gives the same plan.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from controller.decide.buckets import moves, rebalance
from controller.decide.calm import calm
from controller.decide.candidates import Candidates, Floats, candidates, capacities
from controller.decide.circuits import LIMIT, Wish, allocate
from controller.decide.errors import DecideError, SolveError
from controller.decide.graph import Graph, graph_of, routes, shortest_paths
from controller.decide.lp import ITERATIONS
from controller.decide.reasons import Story, tell
from controller.decide.spread import Counts, Pair, held_splits, in_buckets, loads
from controller.decide.te import place
from controller.state import (
    BUCKETS,
    Circuit,
    Forecast,
    Matrix,
    Plan,
    Policies,
    Snapshot,
    Split,
)

NAMED = 3
"""Demands that a note names before it says "and others"."""


@dataclass(frozen=True, slots=True, eq=False)
class _Choice:
    """Which splits, how they were found, at what cost, and what is to be said about it."""

    spread: Mapping[Pair, Counts]
    method: str
    iterations: int
    notes: tuple[str, ...] = ()
    failed: bool = False


def plan(
    snapshot: Snapshot,
    forecast: Forecast,
    policies: Policies,
    previous: Plan | None,
    iterations: int = ITERATIONS,
    circuit_limit: int = LIMIT,
) -> Plan:
    """Return the network's desired state.

    Every pair of locations that has a path is steered, also where no traffic is expected, as far
    as ``circuit_limit`` goes. Without an answer of the solver within ``iterations``, splits in
    force stand and other demands take their shortest path. ``notes`` names what could not be done.

    Raises:
        DecideError: the forecast is not about the snapshot's locations, or lacks the horizon.
    """
    demands, notes = _demands(snapshot, forecast, policies)
    graph = graph_of(snapshot.nodes, snapshot.links)
    capacity = capacities(graph, snapshot.links)
    options = candidates(graph, policies.paths)
    held = held_splits(previous, snapshot.nodes, graph)
    choice = _choose(options, capacity, demands, policies, held, iterations)
    circuits, splits, spread = _realise(
        snapshot.nodes, graph, choice.spread, demands, previous, circuit_limit
    )
    unsteered = _on_routes(graph, spread)
    after = loads({**unsteered, **spread}, len(graph.edges), demands) / capacity
    before = loads({**unsteered, **spread, **held}, len(graph.edges), demands) / capacity
    story = Story(
        snapshot.nodes,
        graph,
        demands,
        held,
        spread,
        before,
        after,
        _observed(snapshot, graph) / capacity,
        policies.horizon_steps,
        previous is None,
        choice.failed,
        _lost(previous, graph),
    )
    return Plan(
        number=previous.number + 1 if previous else 1,
        snapshot=snapshot.number,
        forecast=forecast.number,
        circuits=circuits,
        splits=splits,
        routes=routes(snapshot.nodes, graph),
        utilisation={e.name: float(u) for e, u in zip(graph.edges, after, strict=True)},
        max_utilisation=float(after.max(initial=0.0)),
        method=choice.method,
        reason=tell(story),
        moved_buckets=_moved(previous, splits),
        iterations=choice.iterations,
        notes=notes + choice.notes + _unsteered(snapshot.nodes, spread),
    )


def _demands(
    snapshot: Snapshot, forecast: Forecast, policies: Policies
) -> tuple[Matrix, tuple[str, ...]]:
    """Return what demands are placed at; what was not forecast counts as in the last interval."""
    size = len(snapshot.nodes)
    if forecast.demands_bps.shape[-2:] != (size, size):
        raise DecideError(
            f"the forecast is of shape {forecast.demands_bps.shape}, not about {size} locations"
        )
    try:
        expected = forecast.quantile(policies.horizon_steps, policies.quantile)
    except KeyError as error:
        raise DecideError(str(error.args[0])) from error
    known = np.isfinite(expected)
    last = np.where(np.isfinite(snapshot.demands_bps), snapshot.demands_bps, 0.0)
    demands = np.maximum(np.where(known, expected, last), 0.0)
    np.fill_diagonal(demands, 0.0)
    missing = int((~known).sum())
    notes = (f"{missing} demands without a forecast: the last value stands in",) * bool(missing)
    return demands, notes


def _choose(
    options: Candidates,
    capacity: Floats,
    demands: Matrix,
    policies: Policies,
    held: Mapping[Pair, Counts],
    iterations: int,
) -> _Choice:
    try:
        placement = place(options, capacity, demands, policies.slack, iterations)
    except SolveError as error:
        shortest = in_buckets(options, options.shortest(), {})
        stays = {pair: counts for pair, counts in held.items() if pair in shortest}
        method = "previous" if stays else "igp"
        return _Choice({**shortest, **stays}, method, error.iterations, (str(error),), True)
    wanted = in_buckets(options, placement.shares, held)
    notes = ("the second stage ran out of iterations",) * (placement.stages == 1)
    spread = calm(held, wanted, capacity, demands)
    method = "previous" if held and spread == held else "two-stage"
    return _Choice(spread, method, placement.iterations, notes)


def _realise(
    nodes: tuple[str, ...],
    graph: Graph,
    spread: Mapping[Pair, Counts],
    demands: Matrix,
    previous: Plan | None,
    limit: int,
) -> tuple[tuple[Circuit, ...], tuple[Split, ...], dict[Pair, Counts]]:
    """Give paths their circuits and demands their tables; also return the spread that came of it.

    Where circuit numbers run short, a demand makes do with the circuits it has.
    """
    names = {
        (pair, path): (
            nodes[pair[0]],
            nodes[pair[1]],
            tuple(graph.edges[edge].name for edge in path),
        )
        for pair, counts in spread.items()
        for path in counts
    }
    wishes = [
        Wish(*key, float(demands[pair]) * spread[pair][path] / BUCKETS)
        for (pair, path), key in names.items()
    ]
    number = previous.number + 1 if previous else 1
    circuits = allocate(previous.circuits if previous else (), wishes, number, limit)
    spis = {(circuit.src, circuit.dst, circuit.links): circuit.spi for circuit in circuits}
    tables = {(s.src, s.dst): s.buckets for s in previous.splits} if previous else {}
    splits: list[Split] = []
    realised: dict[Pair, Counts] = {}
    for pair, counts in spread.items():
        there = {spis[names[pair, path]]: path for path in counts if names[pair, path] in spis}
        if not there:
            continue
        ends = nodes[pair[0]], nodes[pair[1]]
        table = rebalance(tables.get(ends), {spi: counts[path] for spi, path in there.items()})
        held = Counter(table)
        numbers = tuple(sorted(held))
        splits.append(Split(*ends, numbers, tuple(held[n] / BUCKETS for n in numbers), table))
        realised[pair] = {there[n]: held[n] for n in numbers}
    return circuits, tuple(splits), realised


def _on_routes(graph: Graph, spread: Mapping[Pair, Counts]) -> dict[Pair, Counts]:
    """Return the demands that are not steered: unmarked, they follow the plain routes."""
    shortest = shortest_paths(graph)
    return {pair: {shortest[pair]: BUCKETS} for pair in shortest if pair not in spread}


def _observed(snapshot: Snapshot, graph: Graph) -> Floats:
    rates = {link.name: link.rate_bps for link in snapshot.links}
    return np.array([rates[edge.name] for edge in graph.edges])


def _lost(previous: Plan | None, graph: Graph) -> tuple[str, ...]:
    used = {name for circuit in (previous.circuits if previous else ()) for name in circuit.links}
    return tuple(sorted(used - {edge.name for edge in graph.edges}))


def _moved(previous: Plan | None, splits: tuple[Split, ...]) -> int:
    tables = {(s.src, s.dst): s.buckets for s in previous.splits} if previous else {}
    return sum(
        moves(tables[split.src, split.dst], split.buckets)
        for split in splits
        if (split.src, split.dst) in tables
    )


def _unsteered(nodes: tuple[str, ...], spread: Mapping[Pair, Counts]) -> tuple[str, ...]:
    count = len(nodes)
    left = [
        f"{nodes[a]}→{nodes[b]}"
        for a in range(count)
        for b in range(count)
        if a != b and (a, b) not in spread
    ]
    if not left:
        return ()
    names = ", ".join(left[:NAMED]) + (" and others" if len(left) > NAMED else "")
    return (f"{len(left)} demands have no path or no circuit and are not steered: {names}",)

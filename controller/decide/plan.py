"""The decision: from what is seen and expected to the whole desired state of the network.

A function of its arguments: no clock, no randomness, nothing read or written. Replaying the same
arguments gives the same plan.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain

import numpy as np

from controller.decide.buckets import moves
from controller.decide.candidates import Candidates, Floats, candidates
from controller.decide.choose import choose
from controller.decide.circuits import LIMIT
from controller.decide.demands import Expected, expected
from controller.decide.external import exits, places
from controller.decide.graph import Graph, Path, routes, shortest_paths
from controller.decide.policy import Ways, begin, rule, ways_of
from controller.decide.realise import realise
from controller.decide.reasons import Story, tell
from controller.decide.requests import Grants, grant
from controller.decide.situation import Situation, situation_of
from controller.decide.spread import Counts, Pair, held_splits, loads
from controller.state import (
    BUCKETS,
    Forecast,
    Matrix,
    Plan,
    Policies,
    Snapshot,
    Split,
)

STAYS = 1.1
"""Demands that are steered already stay so until others meet links that are this much busier."""

NAMED = 3
"""Demands that a note names before it says "and others"."""


def plan(
    snapshot: Snapshot,
    forecast: Forecast,
    policies: Policies,
    previous: Plan | None,
    circuit_limit: int = LIMIT,
) -> Plan:
    """Return the network's desired state.

    Every pair of locations that has a path is steered, also where no traffic is expected, as far
    as ``circuit_limit`` and ``policies.steered`` go. Without an answer of the solver within the
    iterations allowed, splits in force stand and other demands take their shortest path. ``notes``
    names what could not be done.

    Raises:
        DecideError: the forecast is not about the snapshot's locations, or lacks the horizon.
    """
    wanted = expected(snapshot, forecast, policies)
    situation = situation_of(snapshot, policies.weights)
    graph, demands = situation.graph, wanted.demands_bps
    begun = begin(
        policies.layers, snapshot, forecast, situation, demands, previous, frozen=policies.frozen
    )
    policies = replace(policies, requests=(*policies.requests, *begun.requests.values()))
    held = held_splits(previous, snapshot.nodes, graph)
    options = options_for(situation, wanted, policies, held)
    grants = grant(policies.requests, situation, options, demands)
    left = _left(graph, options)
    background = loads(left, len(graph.edges), demands)
    choice = choose(snapshot, situation, options, wanted, grants, held, background, policies)
    made = realise(situation, choice.spread, grants, demands, previous, policies, circuit_limit)
    unsteered = _on_routes(graph, made.spread)
    after = loads({**unsteered, **made.spread}, len(graph.edges), demands)
    before = loads(_before(unsteered, made.spread, held, grants), len(graph.edges), demands)
    story = Story(
        snapshot.nodes,
        graph,
        demands,
        held,
        choice.spread,
        before / situation.capacity,
        after / situation.capacity,
        _observed(snapshot, graph) / situation.capacity,
        policies.horizon_steps,
        previous is None,
        choice.failed,
        _lost(previous, graph),
    )
    utilisation = after / situation.capacity
    ways = _ways(snapshot, situation, made.spread, grants, utilisation)
    ruling, services = rule(
        policies.layers,
        snapshot,
        begun,
        situation.regions,
        ways,
        grants.refused,
        previous,
        frozen=policies.frozen,
    )
    leave, changes = exits(snapshot, ways, previous)
    return Plan(
        number=previous.number + 1 if previous else 1,
        snapshot=snapshot.number,
        forecast=forecast.number,
        circuits=made.circuits,
        splits=made.splits,
        routes=routes(snapshot.nodes, graph),
        utilisation={e.name: float(u) for e, u in zip(graph.edges, utilisation, strict=True)},
        max_utilisation=float(utilisation.max(initial=0.0)),
        method=choice.method,
        reason=tell(story),
        moved_buckets=_moved(previous, made.splits),
        iterations=choice.iterations,
        notes=(
            *wanted.notes,
            *choice.notes,
            *(f"circuit {name} is refused: {why}" for name, why in grants.refused.items()),
            *ruling.notes,
            *changes,
            *_unsteered(snapshot.nodes, made.spread),
        ),
        filters=made.filters,
        services=services,
        ruling=ruling,
        exits=leave,
    )


def _ways(
    snapshot: Snapshot,
    situation: Situation,
    spread: Mapping[Pair, Counts],
    grants: Grants,
    utilisation: Floats,
) -> Ways:
    """Return what the paths that were chosen are like to where instances and exits are."""
    index = {name: number for number, name in enumerate(snapshot.nodes)}
    targets = {one.location for service in snapshot.services for one in service.instances}
    targets |= places(snapshot.external, snapshot.nodes)
    named: dict[Pair, list[Path]] = {}
    for one in grants.granted:
        named.setdefault(one.pair, []).append(one.path)
    return ways_of(
        situation, spread, named, utilisation, sorted(index[x] for x in targets if x in index)
    )


def options_for(
    situation: Situation, wanted: Expected, policies: Policies, held: dict[Pair, Counts]
) -> Candidates:
    """Return the candidate paths of the demands that are optimised.

    In a network with more demands than ``policies.steered`` those are the ones whose plain routes
    meet the busiest links, small ones too: many small demands fill a link as well as a large one,
    and a link that a detour needs must be emptied first. (By size alone the worst link of the
    158 nodes of UsCarrier was 2.7 times as full as it has to be; docs/deciding.md.)
    """
    count = len(situation.nodes)
    if count * (count - 1) <= policies.steered:
        return candidates(situation.graph, policies.paths, None, situation.risks)
    index = {name: number for number, name in enumerate(situation.nodes)}
    asked = {
        (index[one.src], index[one.dst])
        for one in policies.requests
        if one.src in index and one.dst in index and one.src != one.dst
    }
    worst = _busiest(situation, wanted.demands_bps)
    for pair in held:
        worst[pair] *= STAYS
    order = np.lexsort((-wanted.demands_bps.ravel(), -worst.ravel()))[: policies.steered]
    pairs = {(int(at) // count, int(at) % count) for at in order}
    chosen = frozenset({pair for pair in pairs if worst[pair] > 0.0} | asked)
    return candidates(situation.graph, policies.paths, chosen, situation.risks)


def _busiest(situation: Situation, demands_bps: Matrix) -> Matrix:
    """Return [N, N]: utilisation of the worst link on each demand's plain route; 0 without any.

    All on their plain routes, so that it does not depend on what is steered.
    """
    plain = shortest_paths(situation.graph)
    whole = {pair: {path: BUCKETS} for pair, path in plain.items()}
    busy = loads(whole, len(situation.graph.edges), demands_bps) / situation.capacity
    worst = np.zeros_like(demands_bps)
    if plain:
        sources, targets = np.array(list(plain)).T
        hops = np.fromiter(map(len, plain.values()), np.intp, len(plain))
        on = np.fromiter(chain.from_iterable(plain.values()), np.intp, int(hops.sum()))
        worst[sources, targets] = np.maximum.reduceat(busy[on], np.cumsum(hops) - hops)
    return np.where(demands_bps > 0.0, worst, 0.0)


def _left(graph: Graph, options: Candidates) -> dict[Pair, Counts]:
    """Return the demands that are not optimised: they follow the plain routes."""
    optimised = set(options.pairs)
    return {
        pair: {path: BUCKETS}
        for pair, path in shortest_paths(graph).items()
        if pair not in optimised
    }


def _before(
    unsteered: Mapping[Pair, Counts],
    spread: Mapping[Pair, Counts],
    held: Mapping[Pair, Counts],
    grants: Grants,
) -> dict[Pair, Mapping[Path, float]]:
    """Return what would be if nothing moved; operators' circuits are where they will be."""
    named: dict[Pair, dict[tuple[int, ...], int]] = {}
    for one in grants.granted:
        of_pair = named.setdefault(one.pair, {})
        of_pair[one.path] = of_pair.get(one.path, 0) + one.buckets
    result: dict[Pair, Mapping[Path, float]] = {**unsteered, **spread}
    for pair, counts in held.items():
        free = BUCKETS - sum(named.get(pair, {}).values())
        whole = sum(counts.values())
        merged: dict[Path, float] = {path: count * free / whole for path, count in counts.items()}
        for path, count in named.get(pair, {}).items():
            merged[path] = merged.get(path, 0) + count
        result[pair] = merged
    return result


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
        if (split.src, split.dst) in tables and tables[split.src, split.dst] is not split.buckets
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

"""Splits in whole buckets: how each demand is spread over paths, and what that loads the links."""

from collections.abc import Mapping
from functools import lru_cache
from itertools import chain

import numpy as np

from controller.decide.buckets import apportion
from controller.decide.candidates import Candidates, Floats
from controller.decide.graph import Graph, Path
from controller.state import BUCKETS, Matrix, Plan, Split

Pair = tuple[int, int]
Counts = Mapping[Path, int]
"""Buckets per path; with those on operators' circuits they add up to BUCKETS."""

SMALLEST = 1 / BUCKETS
"""Shares below one bucket are dropped: a path for less than that is not worth a circuit."""


def held_splits(plan: Plan | None, nodes: tuple[str, ...], graph: Graph) -> dict[Pair, Counts]:
    """Return the plan's splits as buckets per path, those that can stand on ``graph`` as they are.

    A demand is left out when a link of one of its paths is gone or when some of it was unsteered.
    Buckets on operators' circuits are not counted: they are not the loop's to move.
    """
    if plan is None:
        return {}
    index = {name: number for number, name in enumerate(nodes)}
    edges = {edge.name: number for number, edge in enumerate(graph.edges)}
    paths = {
        circuit.spi: tuple(edges[name] for name in circuit.links)
        for circuit in plan.circuits
        if all(name in edges for name in circuit.links)
    }
    named = {circuit.spi for circuit in plan.circuits if circuit.name}
    held: dict[Pair, Counts] = {}
    for split in plan.splits:
        counts = counts_of(split)
        known = split.src in index and split.dst in index
        if known and all(spi in paths for spi in counts):
            by_path = {paths[spi]: counts[spi] for spi in sorted(counts) if spi not in named}
            if by_path:
                held[index[split.src], index[split.dst]] = by_path
    return held


def counts_of(split: Split) -> dict[int, int]:
    """Return how many buckets each circuit has: shares are whole buckets, so nothing is counted."""
    return {
        spi: round(share * BUCKETS) for spi, share in zip(split.spis, split.shares, strict=True)
    }


def held_shares(options: Candidates, held: Mapping[Pair, Counts]) -> Floats:
    """Return [P]: which share of its demand each path has now; 0 for demands that had none."""
    places = path_numbers(options)
    shares = np.zeros(len(options.paths))
    for counts in held.values():
        whole = sum(counts.values())
        for path, count in counts.items():
            number = places.get(path)
            if number is not None:
                shares[number] = count / whole
    return shares


@lru_cache(maxsize=4)
def path_numbers(options: Candidates) -> Mapping[Path, int]:
    """Return each path's number."""
    return {path: number for number, path in enumerate(options.paths)}


def in_buckets(
    options: Candidates,
    shares: Floats,
    held: Mapping[Pair, Counts],
    taken: Mapping[Pair, int] | None = None,
) -> dict[Pair, Counts]:
    """Round shares [P] to buckets; equal remainders go to the paths that have them already.

    ``taken``: buckets of a demand that are not to be had.
    """
    spread: dict[Pair, Counts] = {}
    if not options.pairs:
        return spread
    largest = np.maximum.reduceat(shares, options.first)
    used = shares >= np.minimum(SMALLEST, largest)[options.demand]
    for number, pair in enumerate(options.pairs):
        free = BUCKETS - (taken.get(pair, 0) if taken else 0)
        if not free:
            continue
        chosen = np.flatnonzero(used[options.first[number] : options.last[number]])
        numbers = [int(options.first[number] + position) for position in chosen]
        paths = [options.paths[position] for position in numbers]
        before = held.get(pair, {})
        counts = apportion(
            [float(shares[position]) for position in numbers],
            [before.get(path, 0) for path in paths],
            free,
        )
        spread[pair] = {path: count for path, count in zip(paths, counts, strict=True) if count}
    return spread


def loads(spread: Mapping[Pair, Mapping[Path, float]], edges: int, demands_bps: Matrix) -> Floats:
    """Return [E] in bit/s: what the spread demands load the edges with."""
    rates: list[float] = []
    paths: list[Path] = []
    by_source = (demands_bps / BUCKETS).tolist()
    for (source, target), counts in spread.items():
        rate = by_source[source][target]
        for path, count in counts.items():
            paths.append(path)
            rates.append(rate * count)
    hops = np.fromiter(map(len, paths), np.intp, len(paths))
    on = np.fromiter(chain.from_iterable(paths), np.intp, int(hops.sum()))
    return np.bincount(on, np.repeat(np.array(rates), hops), edges).astype(np.float64)


def moved(before: Counts, after: Counts) -> int:
    """Return how many buckets change their path."""
    return sum(max(0, count - before.get(path, 0)) for path, count in after.items())

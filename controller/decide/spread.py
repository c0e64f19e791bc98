"""Splits in whole buckets: how each demand is spread over paths, and what that loads the links."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from controller.decide.buckets import apportion
from controller.decide.candidates import Candidates, Floats
from controller.decide.graph import Graph, Path
from controller.state import BUCKETS, Matrix, Plan

Pair = tuple[int, int]
Counts = Mapping[Path, int]
"""Buckets per path; they add up to BUCKETS."""

SMALLEST = 1 / BUCKETS
"""Shares below one bucket are dropped: a path for less than that is not worth a circuit."""


def held_splits(plan: Plan | None, nodes: tuple[str, ...], graph: Graph) -> dict[Pair, Counts]:
    """Return the plan's splits as buckets per path, those that can stand on ``graph`` as they are.

    A demand is left out when a link of one of its paths is gone or when some of it was unsteered.
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
    held: dict[Pair, Counts] = {}
    for split in plan.splits:
        counts = Counter(split.buckets)
        known = split.src in index and split.dst in index
        if known and all(spi in paths for spi in counts):
            by_path = {paths[spi]: counts[spi] for spi in sorted(counts)}
            held[index[split.src], index[split.dst]] = by_path
    return held


def in_buckets(
    options: Candidates, shares: Floats, held: Mapping[Pair, Counts]
) -> dict[Pair, Counts]:
    """Round shares [P] to buckets; equal remainders go to the paths that have them already."""
    spread: dict[Pair, Counts] = {}
    if not options.pairs:
        return spread
    largest = np.maximum.reduceat(shares, options.first)
    used = shares >= np.minimum(SMALLEST, largest)[options.demand]
    for number, pair in enumerate(options.pairs):
        chosen = np.flatnonzero(used[options.first[number] : options.last[number]])
        numbers = [int(options.first[number] + position) for position in chosen]
        paths = [options.paths[position] for position in numbers]
        before = held.get(pair, {})
        counts = apportion(
            [float(shares[position]) for position in numbers],
            [before.get(path, 0) for path in paths],
        )
        spread[pair] = {path: count for path, count in zip(paths, counts, strict=True) if count}
    return spread


def loads(spread: Mapping[Pair, Counts], edges: int, demands_bps: Matrix) -> Floats:
    """Return [E] in bit/s: what the spread demands load the edges with."""
    load = [0.0] * edges
    for pair, counts in spread.items():
        rate = float(demands_bps[pair]) / BUCKETS
        for path, count in counts.items():
            for edge in path:
                load[edge] += rate * count
    return np.array(load)


def moved(before: Counts, after: Counts) -> int:
    """Return how many buckets change their path."""
    return sum(max(0, count - before.get(path, 0)) for path, count in after.items())

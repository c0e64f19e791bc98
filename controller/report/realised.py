"""What came of a plan, on the matrix that was really there."""

import numpy as np

from controller.decide.candidates import candidates, capacities
from controller.decide.graph import graph_of
from controller.decide.spread import counts_of
from controller.decide.te import place
from controller.journal.entry import Realised
from controller.report.fluid import Routing, carried, loads, plain_routing, routing_of_shares
from controller.report.optimum import optimal_utilisation
from controller.state import BUCKETS, LinkState, Matrix, Plan

LARGEST = 60
"""Locations up to which the optimum is computed for every decision: it takes milliseconds there."""

SLACK = 1.002


def realised(
    plan: Plan,
    nodes: tuple[str, ...],
    links: tuple[LinkState, ...],
    before_bps: Matrix,
    real_bps: Matrix,
    paths: int,
) -> Realised:
    """Return how a plan did on ``real_bps`` [N, N], beside the optimum and beside reacting.

    ``links``: as they were when it was decided. ``before_bps`` [N, N]: the last matrix known then.
    In networks of more than LARGEST locations optimum and reaction are not computed (0).

    Raises:
        SolveError: the solver found no answer for one of the two.
    """
    graph = graph_of(nodes, links)
    capacity = capacities(graph, links)
    if not len(capacity):
        return Realised(0.0, 0.0, 0.0, float(real_bps.sum()))
    index = {name: number for number, name in enumerate(nodes)}
    edges = {edge.name: number for number, edge in enumerate(graph.edges)}
    spread = {pair: dict(by) for pair, by in plain_routing(graph).shares.items()}
    by_number = {circuit.spi: circuit.links for circuit in plan.circuits}
    for split in plan.splits:
        shares: dict[tuple[int, ...], float] = {}
        for spi, count in counts_of(split).items():
            if all(name in edges for name in by_number.get(spi, ("",))):
                path = tuple(edges[name] for name in by_number[spi])
                shares[path] = shares.get(path, 0.0) + count / BUCKETS
        spread[index[split.src], index[split.dst]] = shares
    way = Routing(graph, spread)
    highest = float((loads(way, real_bps) / capacity).max(initial=0.0))
    lost = carried(way, capacity, real_bps)[1] if highest > 1.0 else 0.0
    if len(nodes) > LARGEST:
        return Realised(highest, 0.0, 0.0, lost)
    options = candidates(graph, paths)
    shares_reacting = place(options, capacity, np.nan_to_num(before_bps), SLACK).shares
    reacting = routing_of_shares(options, shares_reacting)
    return Realised(
        highest,
        optimal_utilisation(graph, capacity, real_bps),
        float((loads(reacting, real_bps) / capacity).max(initial=0.0)),
        lost,
    )

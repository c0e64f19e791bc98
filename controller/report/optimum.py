"""The optimum that methods are measured against: the least maximum utilisation of any routing.

The multicommodity flow problem as a linear program over edges, flows to one destination taken
together, so that nothing depends on a choice of candidate paths.
"""

import numpy as np

from controller.decide.candidates import Ints
from controller.decide.graph import Graph, distances
from controller.decide.lp import INFINITY, Floats, Program, Solver
from controller.state import Matrix


def optimal_utilisation(graph: Graph, capacity_bps: Floats, demands_bps: Matrix) -> float:
    """Return the least possible maximum utilisation for ``demands_bps`` [N, N] on ``graph``.

    ``capacity_bps``: [E]. Demands that have no way through the graph are left out.

    Raises:
        SolveError: the solver found no optimum.
    """
    demands = np.array(demands_bps, dtype=np.float64)
    np.fill_diagonal(demands, 0.0)
    for target, row in enumerate(distances(graph)):
        demands[[node for node, cost in enumerate(row) if cost is None], target] = 0.0
    scale = float(demands.sum())
    if scale <= 0.0:
        return 0.0
    unit = float(capacity_bps.mean())
    targets = np.flatnonzero(demands.sum(axis=0) > 0)
    program = _program(graph, capacity_bps / unit, demands / scale, targets)
    return Solver(program).solve().objective * scale / unit


def _program(graph: Graph, capacity: Floats, demands: Matrix, targets: Ints) -> Program:
    """Build it: columns are flow to a target on an edge, then u; rows nodes per target, then edges.

    The row of a target in its own block says what arrives, which the others imply; it is kept free.
    """
    size, edges, blocks = graph.size, len(graph.edges), len(targets)
    source = np.array([edge.src for edge in graph.edges])
    end = np.array([edge.dst for edge in graph.edges])
    block = np.repeat(np.arange(blocks), edges)
    flow_rows = np.stack(
        (
            block * size + np.tile(source, blocks),
            block * size + np.tile(end, blocks),
            blocks * size + np.tile(np.arange(edges), blocks),
        ),
        axis=1,
    )
    flow_values = np.tile([1.0, -1.0, 1.0], (blocks * edges, 1))
    wanted = demands[:, targets].T.copy()
    lower, upper = wanted.ravel(), wanted.ravel().copy()
    at_target = np.arange(blocks) * size + targets
    lower[at_target], upper[at_target] = -INFINITY, INFINITY
    columns = blocks * edges
    starts = np.append(np.arange(columns + 1) * 3, columns * 3 + edges)
    return Program(
        np.append(np.zeros(columns), 1.0),
        np.zeros(columns + 1),
        np.full(columns + 1, INFINITY),
        np.append(lower, np.full(edges, -INFINITY)),
        np.append(upper, np.zeros(edges)),
        starts.astype(np.int32),
        np.append(flow_rows.ravel(), blocks * size + np.arange(edges)).astype(np.int32),
        np.append(flow_values.ravel(), -capacity),
    )

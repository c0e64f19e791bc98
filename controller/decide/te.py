"""Traffic engineering: how to spread demands over paths, by linear programming.

Stage one finds the least maximum utilisation u*. It leaves a choice among many equal answers, so
stage two holds every link below slack x u* and minimises a convex piecewise-linear cost of
utilisation: links close to the bound are dear, so that slack is spread over all and a demand that
comes out larger than thought finds room. The shape of the cost is Fortz and Thorup's ("Internet
traffic engineering by optimizing OSPF weights", INFOCOM 2000), with shares of the bound instead
of shares of capacity, so that the load of the whole network does not matter, and finer at the top.
"""

from dataclasses import dataclass

import numpy as np

from controller.decide.candidates import Candidates, Floats
from controller.decide.errors import SolveError
from controller.decide.lp import INFINITY, ITERATIONS, Program, Solution, Solver
from controller.state import Matrix

STEPS = np.array([0.02, 0.03, 0.05, 0.10, 0.134, 0.333, 0.333])
"""Widths of the cost's pieces as shares of the bound, from the bound downwards."""

SLOPES = np.array([1000.0, 300.0, 70.0, 10.0, 3.0, 1.0, 0.5])
"""The cost of a unit of utilisation in each of them (chosen on Abilene, 1 to 10 March)."""

NEGLIGIBLE = 1e-8
"""Demands below this share of the worst link's load keep their shortest path: too small to see."""


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Shares [P] of the demands on their candidate paths, each demand's adding up to 1.

    ``max_utilisation``: the highest of all links under these demands, as a share of capacity;
    ``bound``: the least possible over these paths. ``stages``: 2 where the convex cost was
    minimised too, 1 where it was not asked for or not reached, 0 where there was nothing to place.
    """

    shares: Floats
    max_utilisation: float
    bound: float
    stages: int
    iterations: int


def place(
    options: Candidates,
    capacity_bps: Floats,
    demands_bps: Matrix,
    slack: float | None = None,
    iterations: int = ITERATIONS,
) -> Placement:
    """Spread ``demands_bps`` [N, N] over ``options`` on edges of ``capacity_bps`` [E].

    ``slack`` (1 or more) asks for the second stage; without it the answer is any that has the
    least maximum utilisation. If only the second stage runs out of ``iterations``, the first
    one's answer is returned.

    Raises:
        SolveError: the solver found no optimum of the first stage.
    """
    if not np.isfinite(demands_bps).all():
        raise SolveError("demands are not finite")
    shares = options.shortest()
    plain = options.loads(shares, demands_bps) / capacity_bps
    scale = float(plain.max(initial=0.0))
    if scale <= 0.0:
        return Placement(shares, 0.0, 0.0, 0, 0)
    worst = int(plain.argmax())
    rates = options.rates(demands_bps)
    narrowest = _narrowest(options, capacity_bps)
    counted = rates > NEGLIGIBLE * scale * narrowest
    columns = np.flatnonzero(counted[options.demand])
    program, first = _program(options, capacity_bps * scale, rates, counted, columns)
    solver = Solver(program, iterations)
    demands = int(counted.sum())
    solver.start_from(
        np.append(first, len(columns)).astype(np.int32),
        np.arange(demands, dtype=np.int32),
        demands + worst,
    )
    solution = solver.solve()
    bound, spent, stages = solution.objective, solution.iterations, 1
    if slack is not None:
        try:
            solution = _second(solver, len(columns), demands, len(capacity_bps), bound * slack)
            stages = 2
        except SolveError as error:
            spent += error.iterations
        else:
            spent += solution.iterations
    shares[columns] = np.maximum(solution.columns[: len(columns)], 0.0)
    shares /= np.add.reduceat(shares, options.first)[options.demand]
    utilisation = options.loads(shares, demands_bps) / capacity_bps
    return Placement(shares, float(utilisation.max()), bound * scale, stages, spent)


def _narrowest(options: Candidates, capacity_bps: Floats) -> Floats:
    starts = np.cumsum(options.hops) - options.hops
    of_paths = np.minimum.reduceat(capacity_bps[options.edges], starts)
    narrowest: Floats = np.minimum.reduceat(of_paths, options.first)
    return narrowest


def _program(
    options: Candidates,
    capacity: Floats,
    rates: Floats,
    counted: np.ndarray[tuple[int], np.dtype[np.bool_]],
    columns: np.ndarray[tuple[int], np.dtype[np.intp]],
) -> tuple[Program, np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """Build stage one: rows are demands, then links; columns are paths, then u.

    Also returns which columns are the counted demands' shortest paths.
    """
    demand_row = np.cumsum(counted) - 1
    demands, links, paths = int(counted.sum()), len(capacity), len(columns)
    hops = options.hops[columns]
    lengths = np.append(hops + 1, links)
    starts = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    rows = np.empty(starts[-1], dtype=np.int32)
    values = np.empty(starts[-1])
    heads = starts[:paths]
    is_head = np.zeros(starts[-1], dtype=np.bool_)
    is_head[heads] = True
    body = np.flatnonzero(~is_head[: starts[paths]])
    of_edges = np.repeat(counted[options.demand], options.hops)
    edges = options.edges[of_edges]
    rows[heads] = demand_row[options.demand[columns]]
    values[heads] = 1.0
    rows[body] = demands + edges
    values[body] = np.repeat(rates[options.demand[columns]], hops) / capacity[edges]
    rows[starts[paths] :] = demands + np.arange(links)
    values[starts[paths] :] = -1.0
    program = Program(
        np.append(np.zeros(paths), 1.0),
        np.zeros(paths + 1),
        np.full(paths + 1, INFINITY),
        np.append(np.ones(demands), np.full(links, -INFINITY)),
        np.append(np.ones(demands), np.zeros(links)),
        starts,
        rows,
        values,
    )
    first = np.searchsorted(columns, options.first[counted])
    return program, first


def _second(solver: Solver, u: int, demands: int, links: int, bound: float) -> Solution:
    """Reward room below the bound, most where it is nearest: the convex cost, seen from above."""
    solver.fix(u, bound)
    solver.add_columns(
        np.tile(-SLOPES, links),
        np.tile(STEPS * bound, links),
        np.repeat(demands + np.arange(links, dtype=np.int32), len(STEPS)),
    )
    return solver.solve()


def congestion_cost(utilisation: Floats, bound: float) -> float:
    """Return the second stage's cost of link utilisations [E], relative to ``bound`` (above 0).

    Above the bound the steepest slope goes on.
    """
    room = np.maximum(1.0 - utilisation / bound, 0.0)
    over = np.maximum(utilisation / bound - 1.0, 0.0)
    upper = np.cumsum(STEPS)
    taken = np.clip(room[:, None] - (upper - STEPS), 0.0, STEPS)
    return float((SLOPES * (STEPS - taken)).sum() + SLOPES[0] * over.sum())

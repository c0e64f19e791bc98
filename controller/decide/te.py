"""Traffic engineering: how to spread demands over paths, by linear programming.

Stage one finds the least maximum utilisation u*. It leaves a choice among many equal answers, so
stage two holds every link below slack x u* and minimises a convex piecewise-linear cost of
utilisation: links close to the bound are dear, so that slack is spread over all and a demand that
comes out larger than thought finds room. The shape of the cost is Fortz and Thorup's ("Internet
traffic engineering by optimizing OSPF weights", INFOCOM 2000), with shares of the bound instead
of shares of capacity, so that the load of the whole network does not matter, and finer at the top.

What else must fit (a burst of any one demand, other matrices) is in ``hedge.py``: its rows are
added as they turn out to matter. What moving traffic and longer paths cost is part of stage two.
"""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.decide.candidates import Candidates, Floats
from controller.decide.errors import SolveError
from controller.decide.hedge import Guard
from controller.decide.lp import INFINITY, ITERATIONS, Program, Solution, Solver
from controller.state import Matrix

STEPS = np.array([0.02, 0.03, 0.05, 0.10, 0.134, 0.333, 0.333])
"""Widths of the cost's pieces as shares of the bound, from the bound downwards."""

SLOPES = np.array([1000.0, 300.0, 70.0, 10.0, 3.0, 1.0, 0.5])
"""The cost of a unit of utilisation in each of them (chosen on Abilene, 1 to 10 March)."""

NEGLIGIBLE = 1e-8
"""Demands below this share of the worst link's load keep their shortest path: too small to see."""

ROUNDS = 60
"""Times that rows are added in one stage."""

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Shares [P] of the demands on their candidate paths, each demand's adding up to 1.

    ``max_utilisation``: the highest of all links under these demands, as a share of capacity;
    ``bound``: the least possible over these paths for all that has to fit. ``stages``: 2 where
    the convex cost was minimised too, 1 where it was not asked for or not reached, 0 where there
    was nothing to place.
    """

    shares: Floats
    max_utilisation: float
    bound: float
    stages: int
    iterations: int


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """What a placement takes into account beside the demands; without any it is the plain one.

    ``bursts`` [D] in bit/s: what any single demand may come out higher by. ``scenarios``: matrices
    [N, N] that must fit under the same bound. ``background_bps`` [E]: loads that are there anyway.
    ``usable`` [P]: paths that may be used (a demand without one keeps its shortest). ``held`` [P]:
    the shares in force, NaN for demands that had none. ``churn_price``: what moving all traffic
    costs. ``path_price`` [P]: what putting all traffic on a path costs.
    """

    bursts: Floats | None = None
    scenarios: tuple[Matrix, ...] = ()
    background_bps: Floats | None = None
    usable: Bools | None = None
    held: Floats | None = None
    churn_price: float = 0.0
    path_price: Floats | None = None


PLAIN = Terms()


class _Problem:
    """The program of one placement: rows are demands, then links; columns paths, then u.

    A path that has some of its demand now has two columns, the second one for what it may keep.
    ``paths``: each column's path.
    """

    def __init__(
        self,
        options: Candidates,
        capacity: Floats,
        rates: Floats,
        counted: Bools,
        usable: Bools,
        held: Floats | None,
    ) -> None:
        fresh = np.flatnonzero(counted[options.demand] & usable)
        kept = np.array([], dtype=np.intp)
        if held is not None:
            kept = np.flatnonzero(counted[options.demand] & usable & (np.nan_to_num(held) > 0.0))
        self.options, self.capacity, self.rates, self.held = options, capacity, rates, held
        self.counted, self.demands = counted, int(counted.sum())
        self.paths = np.concatenate((fresh, kept))
        self.u = len(self.paths)
        self.keeps = np.arange(len(self.paths)) >= len(fresh)
        self.weight = (rates / rates[counted].sum())[options.demand[self.paths]]

    def program(self, background: Floats) -> Program:
        """Build stage one."""
        options, links, paths = self.options, len(self.capacity), len(self.paths)
        demand_row = np.cumsum(self.counted) - 1
        hops = options.hops[self.paths]
        starts = np.concatenate(([0], np.cumsum(np.append(hops + 1, links)))).astype(np.int32)
        rows = np.empty(starts[-1], dtype=np.int32)
        values = np.empty(starts[-1])
        heads = starts[:paths]
        is_head = np.zeros(starts[-1], dtype=np.bool_)
        is_head[heads] = True
        body = np.flatnonzero(~is_head[: starts[paths]])
        within = np.arange(len(body)) - np.repeat(np.cumsum(hops) - hops, hops)
        edges = options.edges[np.repeat(options.starts[self.paths], hops) + within]
        rows[heads] = demand_row[options.demand[self.paths]]
        values[heads] = 1.0
        rows[body] = self.demands + edges
        values[body] = np.repeat(self.rates[options.demand[self.paths]], hops)
        values[body] /= self.capacity[edges]
        rows[starts[paths] :] = self.demands + np.arange(links)
        values[starts[paths] :] = -1.0
        return Program(
            np.append(np.zeros(paths), 1.0),
            np.zeros(paths + 1),
            self._upper(),
            np.append(np.ones(self.demands), np.full(links, -INFINITY)),
            np.append(np.ones(self.demands), -background / self.capacity),
            starts,
            rows,
            values,
        )

    def _upper(self) -> Floats:
        """Return the columns' upper ends: what may be kept is what is held; u comes last."""
        upper = np.full(self.u + 1, INFINITY)
        if self.held is not None:
            upper[:-1][self.keeps] = self.held[self.paths[self.keeps]]
        return upper

    def shares(self, columns: Floats) -> Floats:
        """Return [P]: the shares that a solution's columns mean."""
        total: Floats = np.zeros(len(self.options.paths))
        np.add.at(total, self.paths, np.maximum(columns[: self.u], 0.0))
        return total


def place(
    options: Candidates,
    capacity_bps: Floats,
    demands_bps: Matrix,
    slack: float | None = None,
    iterations: int = ITERATIONS,
    terms: Terms = PLAIN,
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
    usable = _usable(options, terms.usable)
    shares = _first_shares(options, usable, terms.held)
    background = np.zeros(len(capacity_bps))
    if terms.background_bps is not None:
        background = terms.background_bps
    plain = (options.loads(shares, demands_bps) + background) / capacity_bps
    scale = float(plain.max(initial=0.0))
    still = _kept(options, shares, usable, terms.held)
    if scale <= 0.0 or not options.pairs:
        return Placement(still, scale, scale, 0, 0)
    rates = options.rates(demands_bps)
    counted = rates > NEGLIGIBLE * scale * _narrowest(options, capacity_bps)
    if not counted.any():
        return Placement(still, scale, scale, 0, 0)
    problem = _Problem(options, capacity_bps * scale, rates, counted, usable, terms.held)
    guard = Guard(
        options, problem.capacity, problem.paths, demands_bps, background, terms.bursts,
        terms.scenarios,
    )  # fmt: skip
    solver = Solver(problem.program(background), iterations)
    begin = np.flatnonzero((shares[problem.paths] > 0) & ~problem.keeps)
    solver.start_from(
        np.append(begin, problem.u).astype(np.int32),
        np.arange(problem.demands, dtype=np.int32),
        problem.demands + int(plain.argmax()),
    )
    solution, bound = _guarded(solver, guard, problem, solver.solve(), None)
    stages = 1
    if slack is not None:
        with suppress(SolveError):
            solution = _second(solver, problem, guard, bound * slack, terms)
            stages = 2
    placed = problem.shares(solution.columns)
    moving = counted[options.demand]
    shares[moving] = placed[moving]
    shares = _kept(options, shares, usable & ~moving, terms.held)
    shares /= np.add.reduceat(shares, options.first)[options.demand]
    utilisation = (options.loads(shares, demands_bps) + background) / capacity_bps
    return Placement(shares, float(utilisation.max()), bound * scale, stages, solver.spent)


def _usable(options: Candidates, wanted: Bools | None) -> Bools:
    """Return [P]: the usable paths; where a demand has none, its first."""
    if wanted is None or not options.pairs:
        return np.ones(len(options.paths), dtype=np.bool_)
    usable = wanted.copy()
    without = ~np.logical_or.reduceat(wanted, options.first)
    usable[options.first[without]] = True
    return usable


def _first_shares(options: Candidates, usable: Bools, held: Floats | None) -> Floats:
    """Return [P]: every demand whole on the path that has most of it, else on its first usable."""
    shares = np.zeros(len(options.paths))
    if not options.pairs:
        return shares
    order = np.where(usable, -np.arange(len(options.paths), dtype=np.float64), -np.inf)
    if held is not None:
        known = np.where(usable, np.nan_to_num(held), 0.0)
        order = np.where(known > 0.0, 1.0 + known, order)
    best = np.maximum.reduceat(order, options.first)
    chosen = np.flatnonzero(order == best[options.demand])
    _, where = np.unique(options.demand[chosen], return_index=True)
    shares[chosen[where]] = 1.0
    return shares


def _kept(options: Candidates, shares: Floats, stays: Bools, held: Floats | None) -> Floats:
    """Return the shares [P] with those in force for demands that are too small to be placed.

    ``stays`` [P]: usable paths of such demands.
    """
    if held is None or not options.pairs:
        return shares
    known = np.where(stays, np.nan_to_num(held), 0.0)
    whole = np.abs(np.add.reduceat(known, options.first) - 1.0) < NEGLIGIBLE
    kept: Floats = np.where(whole[options.demand], known, shares)
    return kept


def _guarded(
    solver: Solver, guard: Guard, problem: _Problem, solution: Solution, bound: float | None
) -> tuple[Solution, float]:
    """Add what does not fit under u (or ``bound``) until all fits; return the level that holds."""
    for turn in range(ROUNDS + 1):
        level = float(solution.columns[problem.u]) if bound is None else bound
        shares = problem.shares(solution.columns)
        if turn == ROUNDS or not guard.add(solver, shares, level):
            break
        solution = solver.solve(dual=True)
    return solution, max(level, guard.highest(shares))


def _second(
    solver: Solver, problem: _Problem, guard: Guard, bound: float, terms: Terms
) -> Solution:
    """Reward room below the bound, most where it is nearest: the convex cost, seen from above."""
    links = len(problem.capacity)
    solver.fix(problem.u, bound)
    price = np.zeros(len(problem.paths))
    if terms.path_price is not None:
        price += terms.path_price[problem.paths] * problem.weight
    price -= terms.churn_price * problem.weight * problem.keeps
    solver.price(price)
    solver.add_columns(
        np.tile(-SLOPES, links),
        np.tile(STEPS * bound, links),
        np.repeat(problem.demands + np.arange(links, dtype=np.int32), len(STEPS)),
    )
    return _guarded(solver, guard, problem, solver.solve(), bound)[0]


def _narrowest(options: Candidates, capacity_bps: Floats) -> Floats:
    of_paths = np.minimum.reduceat(capacity_bps[options.edges], options.starts)
    narrowest: Floats = np.minimum.reduceat(of_paths, options.first)
    return narrowest


def congestion_cost(utilisation: Floats, bound: float) -> float:
    """Return the second stage's cost of link utilisations [E], relative to ``bound`` (above 0).

    Above the bound the steepest slope goes on.
    """
    room = np.maximum(1.0 - utilisation / bound, 0.0)
    over = np.maximum(utilisation / bound - 1.0, 0.0)
    upper = np.cumsum(STEPS)
    taken = np.clip(room[:, None] - (upper - STEPS), 0.0, STEPS)
    return float((SLOPES * (STEPS - taken)).sum() + SLOPES[0] * over.sum())

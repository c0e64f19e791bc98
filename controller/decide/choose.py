"""Which splits: the linear program's answer within what may move, else what is in force."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from controller.decide.buckets import apportion
from controller.decide.candidates import Candidates, Floats
from controller.decide.costs import allowed, path_costs, path_terms
from controller.decide.demands import Expected
from controller.decide.errors import SolveError
from controller.decide.requests import Grants
from controller.decide.situation import Situation
from controller.decide.spread import Counts, Pair, held_shares, in_buckets
from controller.decide.te import Bools, Placement, Terms, place
from controller.state import BUCKETS, Matrix, Policies, Snapshot

LEAST_MOVE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Which splits, how they were found, at what cost, and what is to be said about it."""

    spread: Mapping[Pair, Counts]
    method: str
    iterations: int
    notes: tuple[str, ...] = ()
    failed: bool = False


def choose(
    snapshot: Snapshot,
    situation: Situation,
    options: Candidates,
    wanted: Expected,
    grants: Grants,
    held: Mapping[Pair, Counts],
    background_bps: Floats,
    policies: Policies,
) -> Choice:
    """Return the splits of all demands of ``options``; premium ones are placed first.

    ``background_bps`` [E]: what is on the links besides them and the granted circuits.
    """
    taken = grants.taken()
    notes: tuple[str, ...] = ()
    if policies.frozen and held:
        spread = _standing(options, held, taken)
        return Choice(spread, "frozen", 0, ("frozen by an operator",))
    usable, without = _usable(snapshot, situation, options, background_bps, policies)
    notes += without
    shares_held = held_shares(options, held)
    try:
        placement = _place(
            situation, options, wanted, grants, background_bps, usable, shares_held, policies
        )
    except SolveError as error:
        method = "previous" if held else "igp"
        spread = _standing(options, held, taken)
        return Choice(spread, method, error.iterations, (*notes, str(error)), True)
    if placement.stages == 1:
        notes += ("the second stage ran out of iterations",)
    shares = placement.shares
    staying = shares_held if usable is None else np.where(usable, shares_held, 0.0)
    moved, limited = _limit(options, staying, shares, wanted.demands_bps, policies.move_limit)
    if limited is not None:
        shares = limited
        notes += (
            f"{100 * moved:.0f} % of the traffic would move; {100 * policies.move_limit:.0f} % may",
        )
    spread = in_buckets(options, shares, held, taken)
    method = "robust" if wanted.robust else "two-stage"
    if wanted.robust:
        notes += (f"planned for more than the forecast: {wanted.why}",)
    if held and spread == held:
        method = "previous"
    return Choice(spread, method, placement.iterations, notes)


def _standing(
    options: Candidates, held: Mapping[Pair, Counts], taken: Mapping[Pair, int]
) -> dict[Pair, Counts]:
    """Return the splits in force, others on their shortest path.

    Where operators' circuits take more or fewer buckets than before, the rest is scaled.
    """
    spread = in_buckets(options, options.shortest(), {}, taken)
    for pair in held.keys() & spread.keys():
        free, counts = BUCKETS - taken.get(pair, 0), held[pair]
        if sum(counts.values()) != free:
            scaled = apportion(list(counts.values()), None, free)
            counts = {path: n for path, n in zip(counts, scaled, strict=True) if n}
        spread[pair] = counts
    return spread


def _usable(
    snapshot: Snapshot,
    situation: Situation,
    options: Candidates,
    background_bps: Floats,
    policies: Policies,
) -> tuple[Bools | None, tuple[str, ...]]:
    """Return [P], which paths may be used (None: all), and which demands have none left."""
    refused = {(one.src, one.dst, one.links) for one in snapshot.refused}
    if policies.constraints == type(policies.constraints)() and not refused:
        return None, ()
    terms = path_terms(options, situation.terms(background_bps / situation.capacity))
    good = allowed(options, situation.links, terms, situation.regions, policies.constraints)
    edges, nodes = situation.graph.edges, situation.nodes
    if refused:
        for number, path in enumerate(options.paths):
            names = tuple(edges[edge].name for edge in path)
            ends = nodes[edges[path[0]].src], nodes[edges[path[-1]].dst]
            good[number] &= (*ends, names) not in refused
    without = np.flatnonzero(~np.logical_or.reduceat(good, options.first))
    notes = tuple(
        f"no path of {nodes[a]}→{nodes[b]} keeps the constraints or is taken by the switches:"
        " it goes the shortest way"
        for a, b in (options.pairs[number] for number in without[:3])
    )
    more = (f"and {len(without) - 3} more demands likewise",) * (len(without) > 3)
    return good, notes + more


def _place(
    situation: Situation,
    options: Candidates,
    wanted: Expected,
    grants: Grants,
    background_bps: Floats,
    usable: Bools | None,
    held: Floats,
    policies: Policies,
) -> Placement:
    """Place premium demands, then the others around them."""
    capacity = situation.capacity
    rest = grants.rest(wanted.demands_bps)
    price = None
    if policies.path_price > 0.0:
        load = options.loads(options.shortest(), rest) + background_bps
        terms = path_terms(options, situation.terms(load / capacity))
        cost = path_costs(terms, policies.weights)
        price = policies.path_price * (
            cost - np.minimum.reduceat(cost, options.first)[options.demand]
        )
    on_links = grants.background_bps + background_bps
    terms_of_all = Terms(
        options.rates(wanted.bursts_bps) if wanted.bursts_bps.any() else None,
        tuple(grants.rest(matrix) for matrix in wanted.scenarios),
        on_links,
        usable,
        held,
        policies.churn_price,
        price,
    )
    premium = _premium(options, situation.nodes, policies)
    if not premium.any():
        return place(options, capacity, rest, policies.slack, policies.iterations, terms_of_all)
    first_rates = np.zeros_like(rest)
    mask = np.zeros(rest.shape, dtype=np.bool_)
    mask[options.sources[premium], options.targets[premium]] = True
    first_rates[mask] = rest[mask]
    first = place(
        options, capacity, first_rates, policies.slack, policies.iterations,
        replace(terms_of_all, scenarios=()),
    )  # fmt: skip
    others = np.where(mask, 0.0, rest)
    on_links = on_links + options.loads(first.shares, first_rates)
    second = place(
        options, capacity, others, policies.slack, policies.iterations,
        replace(terms_of_all, background_bps=on_links,
                scenarios=tuple(np.where(mask, 0.0, m) for m in terms_of_all.scenarios)),
    )  # fmt: skip
    shares = np.where(premium[options.demand], first.shares, second.shares)
    return replace(
        second, shares=shares, stages=min(first.stages or 2, second.stages),
        iterations=first.iterations + second.iterations,
    )  # fmt: skip


def _premium(options: Candidates, nodes: tuple[str, ...], policies: Policies) -> Bools:
    """Return [D]: which demands are premium."""
    named = set(policies.premium)
    return np.array([(nodes[a], nodes[b]) in named for a, b in options.pairs], dtype=np.bool_)


def _limit(
    options: Candidates, held: Floats, shares: Floats, demands_bps: Matrix, limit: float
) -> tuple[float, Floats | None]:
    """Return which share of the traffic would move, and shares with fewer moves if too much would.

    All demands that had a split go the same part of their way: utilisation is convex, so half way
    is never worse than both ends. Demands whose split cannot stand are not counted: they must move.
    ``held`` [P]: on paths that may still be used.
    """
    if limit >= 1.0 or not options.pairs:
        return 0.0, None
    had = np.add.reduceat(held, options.first) > 1.0 - 0.5 / BUCKETS
    rates = options.rates(demands_bps)
    gains = np.add.reduceat(np.maximum(shares - held, 0.0), options.first)
    total = float(rates.sum())
    moved = float((rates * gains)[had].sum()) / total if total > 0 else 0.0
    if moved <= limit or moved < LEAST_MOVE:
        return moved, None
    part = np.where(had, limit / moved, 1.0)[options.demand]
    return moved, held + part * (shares - held)

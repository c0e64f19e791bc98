"""What can be said of one demand in one decision, made again from what the journal keeps."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from controller.decide.candidates import Candidates, Floats
from controller.decide.costs import TERMS, path_costs, path_terms
from controller.decide.demands import HIGH, LOW, Expected, expected
from controller.decide.graph import Path, shortest_paths
from controller.decide.plan import options_for
from controller.decide.situation import Situation, situation_of
from controller.decide.spread import Counts, Pair, held_splits
from controller.explain.errors import ExplainError
from controller.explain.history import Made
from controller.state import BUCKETS, Plan, Skill


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """A decision's inputs as the decision saw them, and its plan by edge number."""

    made: Made
    wanted: Expected
    situation: Situation
    options: Candidates
    held: dict[Pair, Counts]
    utilisation: Floats

    def names(self, path: Path) -> list[str]:
        return [self.situation.graph.edges[edge].name for edge in path]


def _view(made: Made) -> _View:
    wanted = expected(made.snapshot, made.forecast, made.policies)
    situation = situation_of(made.snapshot, made.policies.weights)
    held = held_splits(made.previous, made.snapshot.nodes, situation.graph)
    options = options_for(situation, wanted, made.policies, held)
    planned = made.decided.utilisation
    utilisation = np.array([planned.get(edge.name, 0.0) for edge in situation.graph.edges])
    return _View(made, wanted, situation, options, held, utilisation)


def demand_facts(made: Made, src: str, dst: str) -> dict[str, Any]:
    """Return what is known of a demand in a decision: forecast, alternatives, moves, effect.

    Rates in bit/s, utilisations and shares from 0 to 1, costs in units of the policies' weights.

    Raises:
        ExplainError: there is no such demand.
    """
    nodes = made.snapshot.nodes
    if src not in nodes or dst not in nodes or src == dst:
        raise ExplainError(f"{src}>{dst} is no demand; locations are {', '.join(nodes)}")
    view = _view(made)
    pair = nodes.index(src), nodes.index(dst)
    policies, forecast = made.policies, made.forecast
    horizon = policies.horizon_steps
    low, middle, high = (float(forecast.quantile(horizon, q)[pair]) for q in (LOW, 0.5, HIGH))
    shares = shares_of(made.decided, src, dst)
    before = shares_of(made.previous, src, dst) if made.previous is not None else {}
    return {
        "demand": f"{src}>{dst}",
        "decision": made.entry.number,
        "horizon_steps": horizon,
        "last_bps": float(made.snapshot.demands_bps[pair]),
        "forecast_bps": {"median": middle, "low": low, "high": high},
        "planned_quantile": policies.quantile,
        "planned_bps": float(view.wanted.demands_bps[pair]),
        "surge": (src, dst) in made.snapshot.surges,
        "skill": skill_facts(forecast.skill, horizon),
        "optimised": pair in view.options.pairs,
        "alternatives": _alternatives(view, pair, shares),
        "moved": _moved(shares, before),
        "first": made.previous is None,
        "reason": made.decided.reason,
        "robust": view.wanted.why,
    }


def skill_facts(skill: tuple[Skill, ...], horizon: int) -> dict[str, Any] | None:
    """Return which forecaster was believed most at a horizon and what its loss is to EWMA's."""
    for one in skill:
        if one.horizon_steps == horizon:
            loss, ewma = one.loss.get("mix", one.loss.get(one.used)), one.loss.get("ewma")
            ratio = loss / ewma if loss is not None and ewma else None
            return {
                "used": one.used,
                "loss": loss,
                "ewma_loss": ewma,
                "over_ewma": ratio,
                "scored": one.scored,
                "drift": one.drift.alarm,
            }
    return None


def shares_of(plan: Plan, src: str, dst: str) -> dict[tuple[str, ...], float]:
    """Return the shares of a demand by path (names of links); empty where it is not steered."""
    paths = {circuit.spi: circuit.links for circuit in plan.circuits}
    found: dict[tuple[str, ...], float] = {}
    for split in plan.splits:
        if (split.src, split.dst) == (src, dst):
            for spi, share in zip(split.spis, split.shares, strict=True):
                if spi in paths:
                    found[paths[spi]] = found.get(paths[spi], 0.0) + share
    return found


def _alternatives(
    view: _View, pair: Pair, shares: dict[tuple[str, ...], float]
) -> list[dict[str, Any]]:
    """Return every candidate path with its cost by term at the planned loads, as planned and alone.

    ``worst_link`` and ``worst_utilisation``: as planned; ``alone_utilisation``: the highest on the
    path if the whole demand took it and all others stayed.
    """
    options, situation = view.options, view.situation
    if pair in options.pairs:
        number = options.pairs.index(pair)
        numbers = list(range(int(options.first[number]), int(options.last[number])))
        paths = [options.paths[at] for at in numbers]
        terms = path_terms(options, situation.terms(view.utilisation))
        costs = path_costs(terms, situation.weights)
        rows = [({t: float(terms[t][at]) for t in TERMS}, float(costs[at])) for at in numbers]
    else:
        plain = shortest_paths(situation.graph).get(pair)
        paths = [plain] if plain else []
        rows = [({}, 0.0)] * len(paths)
    rate = float(view.wanted.demands_bps[pair])
    own = np.zeros(len(view.utilisation))
    places = {edge.name: at for at, edge in enumerate(situation.graph.edges)}
    for names, share in shares.items():
        own[[places[name] for name in names if name in places]] += share * rate
    if not shares and paths:
        own[list(paths[0])] += rate
    others = view.utilisation * situation.capacity - own
    found = []
    for path, (terms_of_path, cost) in zip(paths, rows, strict=True):
        edges = list(path)
        names = tuple(view.names(path))
        worst = max(edges, key=lambda edge: view.utilisation[edge])
        alone = (others[edges] + rate) / situation.capacity[edges]
        held = view.held.get(pair, {})
        weights = situation.weights
        found.append(
            {
                "links": list(names),
                "share": shares.get(names, 0.0),
                "held_share": held.get(path, 0) / BUCKETS,
                "cost": cost,
                "terms": terms_of_path,
                "weighted": {t: getattr(weights, t) * v for t, v in terms_of_path.items()},
                "worst_link": situation.graph.edges[worst].name,
                "worst_utilisation": float(view.utilisation[worst]),
                "alone_link": situation.graph.edges[edges[int(alone.argmax())]].name,
                "alone_utilisation": float(alone.max()),
            }
        )
    return found


def _moved(
    shares: dict[tuple[str, ...], float], before: dict[tuple[str, ...], float]
) -> list[dict[str, Any]]:
    changes = {path: shares.get(path, 0.0) - before.get(path, 0.0) for path in {*shares, *before}}
    return [
        {"links": list(path), "change": change}
        for path, change in sorted(changes.items(), key=lambda one: (-one[1], one[0]))
        if abs(change) > 1e-9
    ]

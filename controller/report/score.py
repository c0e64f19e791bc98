"""Scores: how well a run used its network, beside what others would have done with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from controller.decide.candidates import Floats, candidates, capacities
from controller.decide.graph import Graph, graph_of
from controller.decide.te import place
from controller.report.fluid import (
    Ecmp,
    Routing,
    Way,
    carried,
    loads,
    plain_routing,
    routing_of_shares,
)
from controller.report.optimum import optimal_utilisation
from controller.report.run import Run, Splits
from controller.state import Matrix

METHODS = ("predictive", "predictive_measured", "reactive", "reactive2", "ospf")
PATHS = 8
SLACK = 1.002
LOADED = 0.05
"""Links below this share of their rate are left out of the comparison with the model."""


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """One method over the intervals.

    ``utilisation``: [T], the maximum over all links, NaN where it is not known; ``ratio``: [T],
    that over the optimum of the same matrix. ``lost``: the share of the volume sent that the
    fluid model loses; None where only counters were read.
    """

    utilisation: Floats
    ratio: Floats
    lost: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return mean and 95th percentile of both."""
        return {"ratio": _summary(self.ratio), "max_utilisation": _summary(self.utilisation)}


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """A scored run: ``optimum`` [T] and the methods by name, links' utilisation [T, L].

    ``modelled`` and ``measured`` are in the order of ``run.links``.
    """

    run: Run
    optimum: Floats
    methods: Mapping[str, Method]
    modelled: Floats
    measured: Floats
    delivered_ratio: float | None
    steered_ratio: float | None
    link_load_error: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return what report.json holds; what could not be measured is None."""
        run = self.run
        return {
            "data": {"name": run.name, "synthetic": run.synthetic},
            "ticks": run.ticks,
            "loop": {
                "skipped_ticks": run.skipped_ticks,
                "decide_ms": {"p50": _quantile(run.decide_ms, 0.5),
                              "p99": _quantile(run.decide_ms, 0.99)},
                "rule_errors": run.rule_errors,
            },
            "traffic": {
                "sent_packets": int(run.sent_packets.sum()),
                "delivered_ratio": self.delivered_ratio,
                "steered_ratio": self.steered_ratio,
            },
            "methods": {name: self.methods[name].to_dict() for name in METHODS},
            "measured_vs_model": {"link_load_error": self.link_load_error},
        }  # fmt: skip


def _quantile(values: Any, level: float) -> float | None:
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    return float(np.quantile(known, level)) if len(known) else None


def _summary(values: Floats) -> dict[str, float | None]:
    known = values[np.isfinite(values)]
    return {"mean": float(known.mean()) if len(known) else None, "p95": _quantile(known, 0.95)}


def _fraction(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def score_run(run: Run) -> Score:
    """Score a run: every method on the matrices that were sent, by the same fluid model.

    Interval t is decided by the reactive methods from the matrix of interval t-1, with k=8 paths
    and exact shares. Where that is not known (the first interval without ``before_bps``), and
    where nothing was sent, no method is scored.

    Raises:
        ValueError: splits in force pass a link that the topology does not have.
        SolveError: the solver failed on one of the matrices.
    """
    links = tuple(replace(link, up=True) for link in run.links)
    graph = graph_of(run.nodes, links)
    capacity = capacities(graph, links)
    place_of = {edge.name: number for number, edge in enumerate(graph.edges)}
    order = np.array([place_of[link.name] for link in run.links], dtype=np.intp)
    optimum = np.array([optimal_utilisation(graph, capacity, sent) for sent in run.sent_bps])
    before = [run.before_bps, *run.sent_bps[:-1]]
    counted = np.array([past is not None for past in before], dtype=np.bool_) & (optimum > 0)
    scored = np.where(counted, optimum, np.nan)
    in_force = [_routing(splits, run.nodes, graph) for splits in run.in_force]
    ways: dict[str, Sequence[Way | None]] = {
        "predictive": in_force,
        "reactive": _reactive(graph, capacity, before, None),
        "reactive2": _reactive(graph, capacity, before, SLACK),
        "ospf": [Ecmp(graph)] * len(before),
    }
    arriving = [
        carried(way, capacity, sent)[0] for way, sent in zip(in_force, run.sent_bps, strict=True)
    ]
    passed = np.minimum(np.array(arriving).reshape(len(arriving), -1), capacity)[:, order]
    measured = run.link_rates_bps / capacity[order]
    methods = {
        name: _modelled(by_interval, capacity, scored, run.sent_bps)
        for name, by_interval in ways.items()
    }
    methods["predictive_measured"] = _measured(measured, passed / capacity[order], scored)
    fits = optimum <= 1
    delivered, sent = run.delivered_packets, run.sent_packets
    return Score(
        run,
        optimum,
        methods,
        passed / capacity[order],
        measured,
        _fraction(int(delivered[fits].sum()), int(sent[fits].sum())),
        _fraction(int(run.steered_packets.sum()), int(delivered.sum())),
        _load_error(run.link_rates_bps, passed, capacity[order]),
    )


def _routing(splits: Splits, nodes: tuple[str, ...], graph: Graph) -> Routing:
    index = {name: number for number, name in enumerate(nodes)}
    edges = {edge.name: number for number, edge in enumerate(graph.edges)}
    try:
        steered = {
            (index[src], index[dst]): {
                tuple(edges[name] for name in path): share for path, share in paths.items()
            }
            for (src, dst), paths in splits.items()
            if paths
        }
    except KeyError as error:
        raise ValueError(
            f"splits in force name {error}, which the topology does not have"
        ) from error
    return Routing(graph, {**plain_routing(graph).shares, **steered})


def _reactive(
    graph: Graph, capacity: Floats, before: Sequence[Matrix | None], slack: float | None
) -> list[Way | None]:
    """Return the routing of each interval, decided on the matrix before it; None without one."""
    options = candidates(graph, PATHS)
    return [
        None
        if past is None
        else routing_of_shares(options, place(options, capacity, past, slack).shares)
        for past in before
    ]


def _modelled(
    ways: Sequence[Way | None], capacity: Floats, optimum: Floats, sent_bps: Matrix
) -> Method:
    """Return a method's figures; intervals without an optimum [T] are not known."""
    highest = np.full(len(ways), np.nan)
    volume = lost = 0.0
    for t, way in enumerate(ways):
        if way is None or not np.isfinite(optimum[t]):
            continue
        highest[t] = (loads(way, sent_bps[t]) / capacity).max()
        volume += float(sent_bps[t].sum())
        if highest[t] > 1:
            lost += carried(way, capacity, sent_bps[t])[1]
    return Method(highest, highest / optimum, lost / volume if volume else 0.0)


def _measured(measured: Floats, expected: Floats, optimum: Floats) -> Method:
    """Return what counters say of the run.

    Unknown rates matter only where the model puts such a link above all that were measured: then
    the interval's maximum is not known.
    """
    known = np.isfinite(measured)
    highest = np.where(known, measured, -np.inf).max(axis=1)
    unseen = np.where(known, -np.inf, expected).max(axis=1)
    certain = np.isfinite(highest) & (highest >= unseen) & np.isfinite(optimum)
    highest = np.where(certain, highest, np.nan)
    return Method(highest, highest / optimum, None)


def _load_error(rates_bps: Floats, carried_bps: Floats, capacity_bps: Floats) -> float | None:
    """Return the median of |measured - model| / model over loaded links in all intervals."""
    counted = np.isfinite(rates_bps) & (carried_bps > LOADED * capacity_bps)
    if not counted.any():
        return None
    return float(np.median(np.abs(rates_bps - carried_bps)[counted] / carried_bps[counted]))

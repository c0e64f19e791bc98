"""What if: the same function over the same traffic, with something else asked of it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from controller.backtest.methods import MOST_RECENT, moved_share, routing_of_plan
from controller.backtest.network import TestNetwork
from controller.backtest.run import lazy_forecasts
from controller.decide import plan
from controller.decide.candidates import Floats, capacities
from controller.decide.disjoint import opposite
from controller.decide.graph import graph_of
from controller.explain.errors import ExplainError
from controller.explain.history import Made
from controller.journal import as_kept
from controller.report.fluid import carried, loads
from controller.state import Forecast, LinkState, Matrix, Plan, Policies, Snapshot

FULL = 1.0 + 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What one decision is made from, and the traffic [N, N] that it met (None: not known)."""

    snapshot: Snapshot
    forecast: Forecast
    policies: Policies
    truth_bps: Matrix | None


@dataclass(frozen=True, slots=True)
class Change:
    """What is asked instead: policies by dotted key, links that fail, traffic, other links."""

    settings: tuple[tuple[str, str], ...] = ()
    failed: tuple[str, ...] = ()
    scale: float = 1.0
    links: tuple[LinkState, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Ran:
    """What came of it: [T] each; ``utilisation``: of the worst link, NaN where it is not known."""

    plans: tuple[Plan, ...]
    utilisation: Floats
    overloaded_minutes: Floats
    lost_bytes: Floats
    moved: Floats

    def to_dict(self) -> dict[str, Any]:
        """Return the figures."""
        known = self.utilisation[np.isfinite(self.utilisation)]
        return {
            "decisions": len(self.plans),
            "max_utilisation": {
                "mean": float(known.mean()) if len(known) else None,
                "p95": float(np.quantile(known, 0.95)) if len(known) else None,
            },
            "overloaded_link_minutes": float(self.overloaded_minutes.sum()),
            "lost_bytes": float(self.lost_bytes.sum()),
            "moved_share": float(self.moved.mean()) if len(self.moved) else 0.0,
        }


def questions_of_journal(made: Sequence[Made]) -> Iterator[Question]:
    """Yield what a journal's ticks asked; what each met is the traffic of a later one."""
    ticks = [one for one in made if not one.entry.event]
    for at, one in enumerate(ticks):
        later = at + one.policies.horizon_steps
        truth = ticks[later].snapshot if later < len(ticks) else None
        same = truth is not None and truth.nodes == one.snapshot.nodes
        yield Question(
            one.snapshot, one.forecast, one.policies,
            truth.demands_bps if truth is not None and same else None,
        )  # fmt: skip


def questions_of_matrices(
    network: TestNetwork, policies: Policies, start: int, stop: int
) -> Iterator[Question]:
    """Yield what decisions for the intervals ``start`` up to ``stop`` would have asked.

    Raises:
        ForecastError: there is not enough past.
    """
    horizon = policies.horizon_steps
    forecasts = lazy_forecasts(network, horizon, start, stop)()
    for target in range(start, stop):
        t = target - horizon
        past = network.tm_bps[max(0, t + 1 - MOST_RECENT) : t + 1]
        snapshot = Snapshot(
            t, t * network.step_s, network.step_s, network.step_s, network.nodes, network.links,
            past[-1], past,
        )  # fmt: skip
        yield Question(*as_kept(snapshot, forecasts.at(t)), policies, network.tm_bps[target])


def changed_policies(policies: Policies, settings: Iterable[tuple[str, str]]) -> Policies:
    """Return policies with settings like ``("weights.latency", "2")``.

    Raises:
        ExplainError: there is no such setting, or it cannot have that value.
    """
    for key, text in settings:
        policies = _with(policies, key, key.split("."), text)
    return policies


def _with(values: Any, key: str, parts: list[str], text: str) -> Any:
    known = {field.name for field in fields(values)}
    if parts[0] not in known:
        raise ExplainError(f"there is no setting {key!r}; there are {', '.join(sorted(known))}")
    inner = getattr(values, parts[0])
    if len(parts) > 1:
        if not is_dataclass(inner):
            raise ExplainError(f"there is no setting {key!r}: {parts[0]} has no parts")
        return replace(values, **{parts[0]: _with(inner, key, parts[1:], text)})
    if is_dataclass(inner) or isinstance(inner, tuple):
        raise ExplainError(f"{key!r} cannot be set like this: name one of its parts")
    try:
        value = TypeAdapter(type(inner)).validate_python(text)
    except ValidationError as error:
        raise ExplainError(f"{key!r} cannot be {text!r}: {error.errors()[0]['msg']}") from error
    return replace(values, **{parts[0]: value})


def changed(question: Question, change: Change) -> Question:
    """Return the question with the change.

    Raises:
        ExplainError: a link or setting is not there, or other links join unknown locations.
    """
    snapshot, forecast = question.snapshot, question.forecast
    links = change.links or snapshot.links
    odd = {end for x in links for end in (x.src, x.dst)} - set(snapshot.nodes)
    if odd:
        raise ExplainError(f"the topology has a location that the traffic lacks: {min(odd)}")
    names = {link.name for link in links}
    missing = [name for name in change.failed if name not in names]
    if missing:
        raise ExplainError(f"there is no link {missing[0]}; there are {', '.join(sorted(names))}")
    dead = {name for one in change.failed for name in (one, opposite(one))}
    links = tuple(replace(x, up=x.up and x.name not in dead) for x in links)
    factor = change.scale
    truth = question.truth_bps
    return Question(
        replace(
            snapshot, links=links, demands_bps=snapshot.demands_bps * factor,
            history_bps=snapshot.history_bps * factor,
            surges={pair: value * factor for pair, value in snapshot.surges.items()},
        ),
        replace(forecast, demands_bps=forecast.demands_bps * factor),
        changed_policies(question.policies, change.settings),
        truth * factor if truth is not None else None,
    )  # fmt: skip


def run(questions: Iterable[Question], previous: Plan | None = None) -> Ran:
    """Decide on every question, each with the plan before as previous, and score by the model.

    Overloaded link-minutes and lost bytes count the data's own time (``data_step_s``).

    Raises:
        DecideError: a forecast does not fit its snapshot.
    """
    plans: list[Plan] = []
    rows: list[tuple[float, float, float]] = []
    moved: list[float] = []
    before = None
    for question in questions:
        snapshot = question.snapshot
        previous = plan(snapshot, question.forecast, question.policies, previous)
        plans.append(previous)
        graph = graph_of(snapshot.nodes, snapshot.links)
        way = routing_of_plan(previous, snapshot.nodes, graph)
        spread = {pair: {_names(way.graph, path): share for path, share in by.items()}
                  for pair, by in way.shares.items()}  # fmt: skip
        if before is not None:
            moved.append(moved_share(before, spread, snapshot.demands_bps))
        before = spread
        truth = question.truth_bps
        if truth is None or not graph.edges:
            rows.append((np.nan, 0.0, 0.0))
            continue
        capacity = capacities(graph, snapshot.links)
        arriving, lost = carried(way, capacity, truth)
        over = int((arriving > capacity * FULL).sum())
        worst = float((loads(way, truth) / capacity).max())
        lost = lost if lost > 1e-9 * float(truth.sum()) else 0.0
        rows.append((worst, over * snapshot.data_step_s / 60, lost * snapshot.data_step_s / 8))
    table = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    return Ran(tuple(plans), table[0], table[1], table[2], np.array(moved))


def _names(graph: Any, path: tuple[int, ...]) -> Any:
    return tuple(graph.edges[edge].name for edge in path)


def differing(one: Ran, other: Ran) -> int:
    """Return how many decisions put some demand on other paths or in other shares."""
    return sum(
        _routing(a) != _routing(b) for a, b in zip(one.plans, other.plans, strict=True)
    )  # fmt: skip


def _routing(made: Plan) -> dict[tuple[str, str], dict[tuple[str, ...], float]]:
    paths = {circuit.spi: circuit.links for circuit in made.circuits}
    return {
        (split.src, split.dst): {
            paths[spi]: share for spi, share in zip(split.spis, split.shares, strict=True)
        }
        for split in made.splits
    }

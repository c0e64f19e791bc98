"""What the API says, as plain values for JSON; rates in bit/s, utilisation as a share of capacity.

Numbers that are not finite are given as null.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from controller.api.view import Round, View
from controller.state import BUCKETS, LinkState
from headers.prefixes import network_of

HISTORY = 60


def _rate(value: float) -> int | None:
    return round(value) if math.isfinite(value) else None


def _share(value: float | None) -> float | None:
    return round(value, 5) if value is not None and math.isfinite(value) else None


def _rates(array: Any) -> Any:
    if isinstance(array, np.ndarray) and array.ndim > 1:
        return [_rates(row) for row in array]
    return [_rate(float(value)) for value in array]


def _observed(link: LinkState) -> float | None:
    return link.rate_bps / link.capacity_bps if link.up and link.capacity_bps > 0 else None


def status(view: View) -> dict[str, Any]:
    """Return how the brain is, and what data it works on."""
    now, last, label = view.status(), view.last(), view.label()
    return {
        "instance": now.instance,
        "mode": now.mode,
        "ready": now.ready,
        "tick": last.number if last else None,
        "time_s": last.snapshot.time_s if last else None,
        "step_s": last.snapshot.step_s if last else None,
        "skipped_ticks": now.skipped_ticks,
        "rule_errors": now.rule_errors,
        "components": dict(now.components),
        "data": {"name": label.name, "synthetic": label.synthetic} if label else None,
        "details": dict(now.details),
    }


def exits(last: Round) -> list[dict[str, Any]]:
    """Return where traffic to prefixes outside leaves, and what neighbours say of them."""
    found: list[dict[str, Any]] = [
        {
            "prefixes": list(one.prefixes),
            "location": one.location,
            "gateways": dict(one.gateways),
            "sources": dict(one.sources),
            "announced": [],
        }
        for one in last.plan.exits
    ]
    places = {prefix: at for at, one in enumerate(last.plan.exits) for prefix in one.prefixes}
    for path in last.snapshot.external:
        outer = network_of(path.prefix)
        # adjacent prefixes were joined: it is there itself, or a shorter one is
        while str(outer) not in places and outer.prefixlen:
            outer = outer.supernet()
        if str(outer) in places:
            found[places[str(outer)]]["announced"].append(
                {name: getattr(path, name) for name in path.__slots__}
            )
    return found


def links(last: Round | None) -> list[dict[str, Any]]:
    """Return every link as last seen, and what the plan in force expects of it."""
    if last is None:
        return []
    return [
        {
            "name": link.name,
            "src": link.src,
            "dst": link.dst,
            "capacity_bps": _rate(link.capacity_bps),
            "metric": link.metric,
            "delay_ms": link.delay_ms,
            "up": link.up,
            "rate_bps": _rate(link.rate_bps),
            "observed": _share(_observed(link)),
            "forecast": _share(last.plan.utilisation.get(link.name)),
        }
        for link in last.snapshot.links
    ]


def topology(view: View) -> dict[str, Any]:
    """Return locations with coordinates (null where unknown) and links with utilisation."""
    last = view.last()
    return {
        "tick": last.number if last else None,
        "nodes": [{"name": p.name, "lat": p.lat, "lon": p.lon} for p in view.places()],
        "links": links(last),
    }


def demands(last: Round) -> dict[str, Any]:
    """Return the demand matrix [source][destination] as observed and its median forecast."""
    horizon = last.forecast.horizons_steps[0]
    return {
        "tick": last.number,
        "nodes": list(last.snapshot.nodes),
        "observed_bps": _rates(last.snapshot.demands_bps),
        "forecast_bps": _rates(last.forecast.quantile(horizon, 0.5)),
        "horizon_steps": horizon,
        "step_s": last.snapshot.step_s,
    }


def fan(last: Round, src: int, dst: int) -> dict[str, Any]:
    """Return one demand's recent past and its quantiles [horizon][level] to come."""
    forecast, snapshot = last.forecast, last.snapshot
    return {
        "tick": last.number,
        "src": snapshot.nodes[src],
        "dst": snapshot.nodes[dst],
        "step_s": snapshot.step_s,
        "data_step_s": snapshot.data_step_s,
        "history_bps": _rates(snapshot.history_bps[-HISTORY:, src, dst]),
        "horizons_steps": list(forecast.horizons_steps),
        "levels": list(forecast.levels),
        "quantiles_bps": _rates(forecast.demands_bps[:, :, src, dst]),
        "model": forecast.model,
        "skill": [
            {
                "horizon_steps": skill.horizon_steps,
                "used": skill.used,
                "loss": {name: _share(loss) for name, loss in skill.loss.items()},
                "scored": skill.scored,
                "weights": {name: round(weight, 4) for name, weight in skill.weights.items()},
                "drift": {
                    "alarm": skill.drift.alarm,
                    "ratio": round(skill.drift.ratio, 3),
                    "severity": round(skill.drift.severity, 2),
                },
            }
            for skill in forecast.skill
        ],
    }


def circuits(last: Round, src: str | None, dst: str | None) -> dict[str, Any]:
    """Return the circuits, each with the buckets and the share of its demand that it carries."""
    buckets: dict[int, int] = defaultdict(int)
    for split in last.plan.splits:
        for spi, share in zip(split.spis, split.shares, strict=True):
            buckets[spi] += round(share * BUCKETS)
    return {
        "tick": last.number,
        "plan": last.plan.number,
        "circuits": [
            {
                "spi": circuit.spi,
                "src": circuit.src,
                "dst": circuit.dst,
                "links": list(circuit.links),
                "backup": list(circuit.backup),
                "name": circuit.name,
                "reserved_bps": _rate(circuit.reserved_bps),
                "generation": circuit.generation,
                "buckets": buckets[circuit.spi],
                "share": _share(buckets[circuit.spi] / BUCKETS),
            }
            for circuit in last.plan.circuits
            if src in (None, circuit.src) and dst in (None, circuit.dst)
        ],
    }


def decision(tick: Round, number: int | None = None) -> dict[str, Any]:
    """Return one tick's decision, with the highest utilisation seen and expected.

    ``number``: the journal's, by which it is explained.
    """
    made, plan = tick.decision, tick.plan
    seen = [value for link in tick.snapshot.links if (value := _observed(link)) is not None]
    return {
        "number": number,
        "tick": tick.number,
        "event": tick.event,
        "time_s": made.time_s,
        "plan": made.plan,
        "method": plan.method,
        "reason": made.reason,
        "notes": list(plan.notes),
        "rules": [
            *(rule.words for rule in plan.ruling.active),
            *(rule.words for rule in plan.ruling.refused),
        ],
        "moved_buckets": plan.moved_buckets,
        "circuits": len(plan.circuits),
        "observed_max": _share(max(seen, default=0.0)),
        "forecast_max": _share(plan.max_utilisation),
        "observe_ms": round(made.observe_ms, 2),
        "predict_ms": round(made.predict_ms, 2),
        "decide_ms": round(made.decide_ms, 2),
        "act_ms": round(made.outcome.act_ms, 2),
        "rule_errors": made.outcome.rule_errors,
        "errors": list(made.outcome.errors),
    }


def splits(last: Round, src: str | None, dst: str | None) -> list[dict[str, Any]]:
    """Return how demands are spread: circuits, their shares, and what was seen and is expected."""
    snapshot = last.snapshot
    place = {name: at for at, name in enumerate(snapshot.nodes)}
    expected = last.forecast.quantile(last.forecast.horizons_steps[0], 0.5)
    links = {circuit.spi: list(circuit.links) for circuit in last.plan.circuits}
    return [
        {
            "src": split.src,
            "dst": split.dst,
            "observed_bps": _rate(float(snapshot.demands_bps[place[split.src], place[split.dst]])),
            "forecast_bps": _rate(float(expected[place[split.src], place[split.dst]])),
            "parts": [
                {"spi": spi, "share": _share(share), "links": links.get(spi, [])}
                for spi, share in zip(split.spis, split.shares, strict=True)
            ],
        }
        for split in last.plan.splits
        if src in (None, split.src) and dst in (None, split.dst)
    ]


def engines(last: Round) -> list[dict[str, Any]]:
    """Return the engines, and the circuits that begin and end at each."""
    starts = Counter(circuit.src for circuit in last.plan.circuits)
    ends = Counter(circuit.dst for circuit in last.plan.circuits)
    return [
        {
            "name": engine.name,
            "location": engine.location,
            "alive": engine.alive,
            "circuits_from": starts[engine.location],
            "circuits_to": ends[engine.location],
        }
        for engine in last.snapshot.engines
    ]


def finite(value: Any) -> Any:
    """Return plain values with null for numbers that are not finite, and text for keys."""
    if isinstance(value, Mapping):
        return {str(key): finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def update(view: View, tick: Round) -> dict[str, Any]:
    """Return what a ``tick`` event carries: status, links and the decision."""
    return {
        "status": {**status(view), "tick": tick.number, "time_s": tick.snapshot.time_s,
                   "step_s": tick.snapshot.step_s},
        "links": links(tick),
        "decision": decision(tick, view.journaled(tick.plan.number)),
    }  # fmt: skip

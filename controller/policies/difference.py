"""What differs between two plans, as operators read it: rules, circuits, shares."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from controller.layers import Ruling
from controller.state import Plan, ServiceSplit, Split

SMALLEST = 1 / 1000
"""Shares that differ by less are told as the same."""
MOST = 500
"""Differences of a kind that are listed; the counts are of all."""


def difference(before: Plan | None, after: Plan) -> dict[str, Any]:
    """Return what becomes other from one plan to the other, as plain values.

    ``counts`` are of all; the lists hold the first MOST.
    """
    old = before.ruling if before is not None else Ruling()
    began, ended, changed = _rules(old, after.ruling)
    refused = [asdict(one) for one in after.ruling.refused]
    made, gone = _circuits(before, after)
    services = _services(before.services if before else (), after)
    demands = _demands(before, after)
    listed = {
        "rules_began": began,
        "rules_ended": ended,
        "rules_changed": changed,
        "rules_refused": refused,
        "circuits_made": made,
        "circuits_gone": gone,
        "services": services,
        "demands": demands,
    }
    return {
        "counts": {name: len(rows) for name, rows in listed.items()},
        **{name: rows[:MOST] for name, rows in listed.items()},
        "max_utilisation": [before.max_utilisation if before else None, after.max_utilisation],
        "notes": list(after.notes),
    }


def _rules(old: Ruling, new: Ruling) -> tuple[list[Any], list[Any], list[Any]]:
    before = {(one.name, one.location): one for one in old.active}
    after = {(one.name, one.location): one for one in new.active}
    return (
        [asdict(one) for key, one in after.items() if key not in before],
        [asdict(one) for key, one in before.items() if key not in after],
        [
            asdict(one)
            for key, one in after.items()
            if key in before
            and (one.action, one.share, one.targets)
            != (before[key].action, before[key].share, before[key].targets)
        ],
    )


def _circuits(before: Plan | None, after: Plan) -> tuple[list[Any], list[Any]]:
    old = {(c.src, c.dst, c.links, c.name): c for c in (before.circuits if before else ())}
    new = {(c.src, c.dst, c.links, c.name): c for c in after.circuits}
    return (
        [_circuit(*key) for key in new if key not in old],
        [_circuit(*key) for key in old if key not in new],
    )


def _circuit(src: str, dst: str, links: tuple[str, ...], name: str) -> dict[str, Any]:
    return {"source": src, "destination": dst, "links": list(links), "name": name}


def _services(before: tuple[ServiceSplit, ...], after: Plan) -> list[Any]:
    old = {(one.service, one.src): one for one in before}
    new = {(one.service, one.src): one for one in after.services}
    found = []
    for key in sorted(old.keys() | new.keys()):
        was, will = _shares(old.get(key)), _shares(new.get(key))
        if _differ(was, will):
            found.append({
                "service": key[0], "source": key[1], "before": was, "after": will,
                "reason": new[key].reason if key in new else "the service is withdrawn",
            })  # fmt: skip
    return found


def _shares(split: ServiceSplit | None) -> dict[str, float]:
    return dict(zip(split.instances, split.shares, strict=True)) if split else {}


def _demands(before: Plan | None, after: Plan) -> list[Any]:
    found = []
    old = {} if before is None else {(s.src, s.dst): _paths(before, s) for s in before.splits}
    new = {(s.src, s.dst): _paths(after, s) for s in after.splits}
    for key in sorted(old.keys() | new.keys()):
        was, will = old.get(key, {}), new.get(key, {})
        if _differ(was, will):
            found.append(
                {"source": key[0], "destination": key[1], "before": was, "after": will}
            )  # fmt: skip
    return found


def _paths(plan: Plan, split: Split) -> dict[str, float]:
    circuits = {one.spi: one for one in plan.circuits}
    shares: dict[str, float] = {}
    for spi, share in zip(split.spis, split.shares, strict=True):
        name = " ".join(circuits[spi].links) if spi in circuits else "unsteered"
        shares[name] = shares.get(name, 0.0) + share
    return shares


def _differ(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    keys = one.keys() | other.keys()
    return any(abs(one.get(key, 0.0) - other.get(key, 0.0)) >= SMALLEST for key in keys)

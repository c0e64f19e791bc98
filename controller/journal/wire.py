"""Plans and decisions as plain values for msgpack, and back."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from controller.layers import Ruling
from controller.state import (
    Circuit,
    CircuitFilter,
    Decision,
    Exit,
    FirewallRule,
    Outcome,
    Plan,
    Refused,
    ServiceSplit,
    Split,
)

_RULING = TypeAdapter(Ruling)


def _numbers(table: tuple[int, ...]) -> bytes:
    return np.array(table, "<u4").tobytes()


def _from_numbers(packed: bytes) -> tuple[int, ...]:
    return tuple(int(x) for x in np.frombuffer(packed, "<u4"))


def _circuit(spi: int, src: str, dst: str, links: list[str], *rest: Any) -> Circuit:
    """Build a circuit; one of an older journal lacks what came later."""
    later: list[Any] = [tuple(x) if isinstance(x, list) else x for x in rest]
    return Circuit(spi, src, dst, tuple(links), *later)


def plan_to_wire(plan: Plan) -> dict[str, Any]:
    """Return a plan as plain values for msgpack."""
    body = {key: getattr(plan, key) for key in plan.__slots__}
    body["circuits"] = [[getattr(c, key) for key in c.__slots__] for c in plan.circuits]
    body["splits"] = [
        [s.src, s.dst, s.spis, s.shares, _numbers(s.buckets), _numbers(s.backups)]
        for s in plan.splits
    ]
    body["filters"] = [
        [f.spi, [asdict(rule) for rule in f.rules], f.allow_rest, f.generation]
        for f in plan.filters
    ]
    body["services"] = [
        [s.service, s.src, s.instances, s.shares, _numbers(s.buckets), s.reason]
        for s in plan.services
    ]
    body["ruling"] = _RULING.dump_python(plan.ruling)
    body["exits"] = [
        [one.prefixes, dict(one.gateways), dict(one.sources), one.location] for one in plan.exits
    ]
    body["routes"] = {node: dict(routes) for node, routes in plan.routes.items()}
    body["utilisation"] = dict(plan.utilisation)
    return body


def plan_from_wire(body: Mapping[str, Any]) -> Plan:
    """Return the plan that plan_to_wire packed."""
    fields = dict(body)
    fields["circuits"] = tuple(_circuit(*row) for row in body["circuits"])
    fields["splits"] = tuple(
        Split(src, dst, tuple(spis), tuple(shares), *map(_from_numbers, tables))
        for src, dst, spis, shares, *tables in body["splits"]
    )
    fields["filters"] = tuple(
        CircuitFilter(spi, tuple(FirewallRule(**rule) for rule in rules), *rest)
        for spi, rules, *rest in body.get("filters", ())
    )
    fields["services"] = tuple(
        ServiceSplit(name, src, tuple(instances), tuple(shares), _from_numbers(table), *rest)
        for name, src, instances, shares, table, *rest in body.get("services", ())
    )
    fields["ruling"] = _RULING.validate_python(body.get("ruling", Ruling()))
    fields["exits"] = tuple(
        Exit(tuple(prefixes), gateways, sources, location)
        for prefixes, gateways, sources, location in body.get("exits", ())
    )
    fields["notes"] = tuple(body["notes"])
    return Plan(**fields)


def decision_from_wire(body: Mapping[str, Any]) -> Decision:
    """Return the decision whose fields these are; one of an older journal lacks what came later."""
    outcome = body["outcome"]
    refused = tuple(
        Refused(**{**one, "links": tuple(one["links"])}) for one in outcome.get("refused", ())
    )
    made = Outcome(**{**outcome, "errors": tuple(outcome["errors"]), "refused": refused})
    return Decision(**{**body, "outcome": made})

"""Firewall rules of operators' circuits: checked against each other, changed all at once."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, replace

from controller.act.circuits import Circuits
from controller.errors import RequestError
from controller.state import FirewallRule

MOST = 256
"""Rules of one circuit."""

PRIORITIES = 1000
PORTED = (6, 17, 132)
"""TCP, UDP, SCTP: protocols that have ports."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Two rules that do not go together: ``rule`` never matters because of ``other``.

    ``what``: ``shadowed`` (all that it matches is decided by the other before), ``redundant``
    (likewise, with the same answer), or ``conflict`` (both match some packets, with different
    answers; the one of higher priority decides).
    """

    what: str
    rule: str
    other: str


class Firewall:
    """The rules of operators' circuits."""

    def __init__(self, circuits: Circuits) -> None:
        self._circuits = circuits

    async def update_firewall_rule(self, circuit: str, rule: FirewallRule) -> tuple[Finding, ...]:
        """Add a rule to a circuit, or change the one of that name; return what is odd now.

        The switches at both ends go over to the new rules in one step.

        Raises:
            RequestError: there is no such circuit, the rule is malformed, another one has its
                priority, or the switches do not take it; then the rules are as they were.
        """
        check(rule)
        request = self._circuits.find(circuit)
        others = tuple(one for one in request.rules if one.name != rule.name)
        same = next((one for one in others if one.priority == rule.priority), None)
        if same is not None:
            raise RequestError(
                f"rule {same.name!r} has priority {rule.priority} already: choose another"
            )
        if len(others) >= MOST:
            raise RequestError(f"circuit {circuit} has {MOST} rules: no more are possible")
        rules = ordered((*others, rule))
        await self._circuits.put(
            replace(request, rules=rules), f"rule {rule.name} of circuit {circuit} is changed"
        )
        return findings(rules)

    async def delete_firewall_rule(self, circuit: str, name: str) -> tuple[Finding, ...]:
        """Take a rule away; return what is odd among those that stay.

        Raises:
            RequestError: there is no such circuit or rule, or the switches do not take it.
        """
        request = self._circuits.find(circuit)
        rules = tuple(one for one in request.rules if one.name != name)
        if len(rules) == len(request.rules):
            raise RequestError(f"circuit {circuit} has no rule {name!r}", missing=True)
        await self._circuits.put(
            replace(request, rules=rules), f"rule {name} of circuit {circuit} is deleted"
        )
        return findings(rules)


def ordered(rules: Sequence[FirewallRule]) -> tuple[FirewallRule, ...]:
    """Return rules as switches ask them: the highest priority first."""
    return tuple(sorted(rules, key=lambda rule: (-rule.priority, rule.name)))


def check(rule: FirewallRule) -> None:
    """Refuse what no switch could hold.

    Raises:
        RequestError: a field is malformed, or ports are given for a protocol that has none.
    """
    if not rule.name or len(rule.name) > 64 or not rule.name.isprintable():
        raise RequestError("a rule's name has 1 to 64 printable characters")
    if not 0 <= rule.priority < PRIORITIES:
        raise RequestError(f"priority {rule.priority} is not between 0 and {PRIORITIES - 1}")
    if rule.direction not in {"forward", "reverse", "both"}:
        raise RequestError(f"direction {rule.direction!r} is not forward, reverse or both")
    for prefix in (rule.source, rule.destination):
        if prefix:
            try:
                ipaddress.IPv4Network(prefix)
            except ValueError as error:
                raise RequestError(f"{prefix!r} is no IPv4 prefix: {error}") from error
    if not 0 <= rule.protocol <= 255:
        raise RequestError(f"protocol {rule.protocol} is not between 0 and 255")
    for port in (rule.source_port, rule.destination_port):
        if not 0 <= port <= 65_535:
            raise RequestError(f"port {port} is not between 0 and 65535")
        if port and rule.protocol not in PORTED:
            raise RequestError(f"ports need protocol 6, 17 or 132, not {rule.protocol}")


def findings(rules: Sequence[FirewallRule]) -> tuple[Finding, ...]:
    """Return what is odd among rules, for each rule with the first that it meets."""
    found = []
    inorder = ordered(rules)
    for at, rule in enumerate(inorder):
        for earlier in inorder[:at]:
            if not _meet(earlier, rule):
                continue
            if _covers(earlier, rule):
                what = "redundant" if earlier.allow == rule.allow else "shadowed"
                found.append(Finding(what, rule.name, earlier.name))
                break
            if earlier.allow != rule.allow:
                found.append(Finding("conflict", rule.name, earlier.name))
    return tuple(found)


def _network(prefix: str) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network(prefix or "0.0.0.0/0")


def _directions(rule: FirewallRule) -> set[str]:
    return {"forward", "reverse"} if rule.direction == "both" else {rule.direction}


def _covers(one: FirewallRule, other: FirewallRule) -> bool:
    """Whether the first rule matches all that the second does."""
    return (
        _directions(one) >= _directions(other)
        and _network(other.source).subnet_of(_network(one.source))
        and _network(other.destination).subnet_of(_network(one.destination))
        and one.protocol in {0, other.protocol}
        and one.source_port in {0, other.source_port}
        and one.destination_port in {0, other.destination_port}
    )


def _meet(one: FirewallRule, other: FirewallRule) -> bool:
    """Whether some packet matches both."""
    return (
        bool(_directions(one) & _directions(other))
        and _network(one.source).overlaps(_network(other.source))
        and _network(one.destination).overlaps(_network(other.destination))
        and (0 in {one.protocol, other.protocol} or one.protocol == other.protocol)
        and (0 in {one.source_port, other.source_port} or one.source_port == other.source_port)
        and (
            0 in {one.destination_port, other.destination_port}
            or one.destination_port == other.destination_port
        )
    )

"""From splits to what is programmed: circuits with numbers and backups, tables, filters."""

from collections.abc import Mapping
from dataclasses import dataclass

from controller.decide.buckets import apportion, rebalance
from controller.decide.circuits import Wish, allocate, key_of
from controller.decide.disjoint import protector
from controller.decide.graph import Path
from controller.decide.requests import Granted, Grants
from controller.decide.situation import Situation
from controller.decide.spread import Counts, Pair, counts_of
from controller.state import (
    BUCKETS,
    Circuit,
    CircuitFilter,
    FirewallRule,
    Matrix,
    Plan,
    Policies,
    Split,
)

STANDBY = -1.0
"""As a circuit's rate: it carries nothing until another's engine fails."""


@dataclass(frozen=True, slots=True, eq=False)
class Realised:
    """Circuits, tables and filters, and the spread that came of them."""

    circuits: tuple[Circuit, ...]
    splits: tuple[Split, ...]
    filters: tuple[CircuitFilter, ...]
    spread: Mapping[Pair, Counts]


class _Wishes:
    """Collects what circuits are wanted, by pair and path; operators' by name as well."""

    def __init__(self, situation: Situation, policies: Policies) -> None:
        self._nodes = situation.nodes
        self._protector = protector(situation.graph, situation.risks)
        self._protect = policies.protect
        self.wishes: dict[tuple[Pair, Path, str], Wish] = {}

    def names(self, path: Path) -> tuple[str, ...]:
        return self._protector.names(path)

    def backup(self, path: Path) -> Path:
        return self._protector.backup(path) if self._protect else ()

    def shared(self, path: Path, other: Path) -> int:
        return self._protector.shared(path, other)

    def want(
        self, pair: Pair, path: Path, rate_bps: float, name: str = "", reserved_bps: float = 0.0
    ) -> None:
        ends = self._nodes[pair[0]], self._nodes[pair[1]]
        # what only stands by is not protected in turn, nor what has one way out only: the switch at
        # the source sends packets on to the backup
        second = self.backup(path) if rate_bps >= 0.0 else ()
        backup = self.names(second) if second[:1] != path[:1] else ()
        self.wishes[pair, path, name] = Wish(
            *ends, self.names(path), rate_bps, name, backup, reserved_bps
        )


def realise(
    situation: Situation,
    spread: Mapping[Pair, Counts],
    grants: Grants,
    demands_bps: Matrix,
    previous: Plan | None,
    policies: Policies,
    limit: int,
) -> Realised:
    """Give paths their circuits and demands their tables.

    Where circuit numbers run short, a demand makes do with the circuits it has.
    """
    wishes = _Wishes(situation, policies)
    claims: dict[Pair, dict[tuple[Path, str], int]] = {}
    for pair, counts in spread.items():
        rate = float(demands_bps[pair]) / BUCKETS
        claims[pair] = {(path, ""): count for path, count in counts.items()}
        for path, count in counts.items():
            wishes.want(pair, path, rate * count)
    for one in grants.granted:
        rate = float(demands_bps[one.pair]) / BUCKETS * one.buckets
        request = one.request
        wishes.want(one.pair, one.path, rate, request.name, request.reserved_bps)
        if one.buckets:
            claims.setdefault(one.pair, {})[one.path, request.name] = one.buckets
    for pair, wanted in list(claims.items()):
        if policies.protect and len(wanted) == 1:
            ((path, _),) = wanted
            if (backup := wishes.backup(path)) and (pair, backup, "") not in wishes.wishes:
                wishes.want(pair, backup, STANDBY)
    number = previous.number + 1 if previous else 1
    circuits = allocate(
        previous.circuits if previous else (), list(wishes.wishes.values()), number, limit
    )
    spis = {key_of(circuit): circuit.spi for circuit in circuits}
    there = {claim: spis[wish.key] for claim, wish in wishes.wishes.items() if wish.key in spis}
    splits, realised = _tables(situation.nodes, claims, there, wishes, previous)
    return Realised(
        circuits, splits, _filters(grants.granted, circuits, previous, number), realised
    )


def _tables(
    nodes: tuple[str, ...],
    claims: Mapping[Pair, Mapping[tuple[Path, str], int]],
    there: Mapping[tuple[Pair, Path, str], int],
    wishes: _Wishes,
    previous: Plan | None,
) -> tuple[tuple[Split, ...], dict[Pair, Counts]]:
    before = {(s.src, s.dst): s for s in previous.splits} if previous else {}
    others: dict[Pair, list[tuple[Path, int]]] = {}
    for (pair, path, name), spi in there.items():
        if not name:
            others.setdefault(pair, []).append((path, spi))
    splits: list[Split] = []
    realised: dict[Pair, Counts] = {}
    for pair, wanted in claims.items():
        has = {there[pair, *claim]: claim for claim in wanted if (pair, *claim) in there}
        if not has:
            continue
        ends = nodes[pair[0]], nodes[pair[1]]
        counts = _counts(wanted, has)
        numbers = tuple(sorted(counts))
        second = {spi: _second(has[spi][0], others.get(pair, ()), wishes, spi) for spi in numbers}
        old = before.get(ends)
        if old is not None and counts_of(old) == counts and set(old.buckets) == set(counts):
            table = old.buckets
        else:
            table = rebalance(old.buckets if old is not None else None, counts)
        backups: tuple[int, ...] = ()
        if any(second.values()):
            backups = tuple(map(second.__getitem__, table))
        shares = tuple(counts[spi] / BUCKETS for spi in numbers)
        splits.append(Split(*ends, numbers, shares, table, backups))
        merged: dict[Path, int] = {}
        for spi in numbers:
            path = has[spi][0]
            merged[path] = merged.get(path, 0) + counts[spi]
        realised[pair] = merged
    return tuple(splits), realised


def _counts(
    wanted: Mapping[tuple[Path, str], int], has: Mapping[int, tuple[Path, str]]
) -> dict[int, int]:
    """Return whole buckets by circuit; those of circuits that could not be had go to the others."""
    counts = {spi: wanted[claim] for spi, claim in sorted(has.items())}
    if sum(counts.values()) == BUCKETS:
        return counts
    spread = apportion(list(counts.values()))
    return {spi: count for spi, count in zip(counts, spread, strict=True) if count}


def _second(
    path: Path, others: list[tuple[Path, int]] | tuple[()], wishes: _Wishes, own: int
) -> int:
    """Return the circuit of the same demand that shares the fewest cables with a path; 0: none."""
    choices = [
        (wishes.shared(path, other), spi) for other, spi in others if spi != own and other != path
    ]
    return min(choices, default=(0, 0))[1]


def _filters(
    granted: tuple[Granted, ...],
    circuits: tuple[Circuit, ...],
    previous: Plan | None,
    number: int,
) -> tuple[CircuitFilter, ...]:
    """Return the filters of operators' circuits; those that did not change keep their generation.

    A rule for the way back goes to the operator's circuits between the same ends the other way.
    """
    spis = {circuit.name: circuit.spi for circuit in circuits if circuit.name}
    before = {one.spi: one for one in previous.filters} if previous else {}
    rules: dict[str, list[FirewallRule]] = {}
    for one in granted:
        mine = rules.setdefault(one.request.name, [])
        mine += [rule for rule in one.request.rules if rule.direction in {"forward", "both"}]
        for other in granted:
            if other.pair == one.pair[::-1]:
                mine += [_turned(r) for r in other.request.rules if r.direction != "forward"]
    found = []
    for one in granted:
        name, spi = one.request.name, spis.get(one.request.name)
        mine = sorted(rules[name], key=lambda rule: (-rule.priority, rule.name))
        if spi is None or (not mine and one.request.allow_rest):
            continue
        fresh = CircuitFilter(spi, tuple(mine), one.request.allow_rest, number)
        old = before.get(spi)
        same = old is not None and (old.rules, old.allow_rest) == (fresh.rules, fresh.allow_rest)
        found.append(old if same and old is not None else fresh)
    return tuple(sorted(found, key=lambda one: one.spi))


def _turned(rule: FirewallRule) -> FirewallRule:
    """Return a rule of the way back as one of the way there."""
    return FirewallRule(
        rule.name, rule.allow, rule.priority, rule.destination, rule.source, rule.protocol,
        rule.destination_port, rule.source_port,
    )  # fmt: skip

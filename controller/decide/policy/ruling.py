"""The ruling: what the layers of policies come to, now.

``begin`` says which rules are in force and which circuits they ask for, before paths are chosen;
``rule`` spreads the services' connections, after, over the paths that were chosen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from controller.decide.buckets import apportion, rebalance
from controller.decide.policy.active import InForce, in_force, loop_rules
from controller.decide.policy.match import Matcher
from controller.decide.policy.outlook import Outlook, facts_of, outlook_of
from controller.decide.policy.shares import Room, Shares, order, shares_of
from controller.decide.policy.standing import Standing, standing_of
from controller.decide.policy.ways import Ways
from controller.decide.situation import Situation
from controller.layers import DROP, LOOP, PIN, ActiveRule, Layers, RefusedRule, Ruling
from controller.state import (
    BUCKETS,
    CircuitRequest,
    Forecast,
    Matrix,
    Plan,
    ServiceSplit,
    Snapshot,
)

MOST_REFUSED = 1000
"""Refused rules that a ruling names."""
MOST_NOTES = 20

GONE = BUCKETS
"""In a table of buckets: an instance that is no longer there."""


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """What holds before paths are chosen; ``requests``: circuits that rules ask for, by rule."""

    outlook: Outlook
    rules: tuple[InForce, ...]
    refused: tuple[RefusedRule, ...]
    requests: Mapping[str, CircuitRequest]


def begin(
    layers: Layers,
    snapshot: Snapshot,
    forecast: Forecast,
    situation: Situation,
    planned_bps: Matrix,
    previous: Plan | None,
    *,
    frozen: bool = False,
) -> Begun:
    """Return which rules are in force; ``planned_bps`` [N, N]: what traffic is planned for."""
    general, before = layers.general, previous.ruling if previous else Ruling()
    outlook = outlook_of(snapshot, forecast, situation, general, planned_bps)
    written: list[InForce] = []
    refused: list[RefusedRule] = []
    if layers.rules:
        facts = facts_of(snapshot, outlook, previous)
        written, refused = in_force(
            layers.rules, facts, snapshot.nodes, before, snapshot.time_s
        )  # fmt: skip
    own = loop_rules(
        general, outlook, _movable(layers, snapshot), before, snapshot.time_s, frozen=frozen
    )
    rules = tuple(sorted((*written, *own), key=order))
    return Begun(outlook, rules, tuple(refused), _requests(rules))


def _movable(layers: Layers, snapshot: Snapshot) -> list[bool]:
    """Return [L]: whether a service has instances there and elsewhere, and may be diverted."""
    places: set[str] = set()
    over = Matcher(
        (policy for policy in layers.services if policy.over_granular), lambda one: one.match
    )
    for service in snapshot.services:
        hosts = {one.location for one in service.instances if one.healthy}
        if len(hosts) > 1 and not over.about(service):
            places |= hosts
    return [name in places for name in snapshot.nodes]


def _requests(rules: Sequence[InForce]) -> dict[str, CircuitRequest]:
    """Return the circuits that pin or drop whole demands, each pair's once."""
    found: dict[str, CircuitRequest] = {}
    for one in rules:
        rule = one.rule
        for src, dst in rule.demands:
            if not rule.at and dst != one.told.location:
                continue
            name = f"policy {rule.name} {src}>{dst}"
            if rule.action == DROP:
                found[name] = CircuitRequest(
                    name, src, dst, priority=rule.priority, allow_rest=False
                )
            elif rule.action == PIN:
                found[name] = CircuitRequest(
                    name, src, dst, rule.path, rule.share, priority=rule.priority
                )
    return found


def rule(
    layers: Layers,
    snapshot: Snapshot,
    begun: Begun,
    regions: Sequence[str],
    ways: Ways,
    circuits_refused: Mapping[str, str],
    previous: Plan | None,
    *,
    frozen: bool = False,
) -> tuple[Ruling, tuple[ServiceSplit, ...]]:
    """Return the ruling, and how each location's connections to each service are spread.

    ``circuits_refused``: by name, why.
    """
    desk = _Desk(layers, begun, ways, previous, frozen)
    splits: list[ServiceSplit] = []
    policies = Matcher(layers.services, lambda one: one.match)
    for service in sorted(snapshot.services, key=lambda one: one.name):
        standing = standing_of(service, policies, layers.general, snapshot.nodes, regions, ways)
        splits += desk.splits(standing)
    refused = [
        *begun.refused,
        *desk.refused(),
        *(
            RefusedRule(name.removeprefix("policy ").rpartition(" ")[0], "", "", f"{name}: {why}")
            for name, why in circuits_refused.items()
            if name in begun.requests
        ),
    ]
    notes = desk.notes
    if len(notes) > MOST_NOTES:
        notes = [*notes[:MOST_NOTES], f"and {len(notes) - MOST_NOTES} more"]
    return Ruling(
        layers.version,
        desk.active(),
        tuple(sorted(set(refused), key=lambda x: (x.name, x.location, x.service, x.why)))[
            :MOST_REFUSED
        ],
        tuple(notes),
    ), tuple(splits)


class _Desk:
    """Makes the splits of all services, and collects what is told of the rules."""

    def __init__(
        self,
        layers: Layers,
        begun: Begun,
        ways: Ways,
        previous: Plan | None,
        frozen: bool,
    ) -> None:
        self._rules, self._ways = begun.rules, ways
        self._about = Matcher(
            (one for one in begun.rules if not one.rule.demands), lambda one: one.rule.match
        )
        self._frozen = frozen
        self._room = _room(layers, begun)
        self._before = {
            (one.service, one.src): one for one in (previous.services if previous else ())
        }
        self._tables: dict[tuple[object, ...], tuple[int, ...]] = {}
        self._refused: dict[RefusedRule, None] = {}
        self._targets: dict[tuple[str, str], set[str]] = {}
        self._applied: dict[tuple[str, str], float] = {}
        self.notes: list[str] = []

    def splits(self, standing: Standing) -> list[ServiceSplit]:
        """Return a service's splits, one for each location of clients."""
        service, nodes = standing.service, standing.nodes
        about = self._about.about(service)
        found: list[ServiceSplit] = []
        alone: list[str] = []
        known: dict[tuple[object, ...], Shares] = {}
        for source, name in enumerate(nodes):
            before = self._before.get((service.name, name))
            mine = tuple(one for one in about if not one.rule.sources or name in one.rule.sources)
            hosts = list(standing.hosts)
            near = self._ways.near[source, hosts], self._ways.hops[source, hosts]
            key = (
                standing.allowed[source].tobytes(), standing.roomy[source].tobytes(),
                *(part.tobytes() for part in near if standing.nearest), tuple(map(id, mine)),
            )  # fmt: skip
            made = known.get(key)
            if made is None:
                made = known[key] = shares_of(standing, source, self._ways, mine, self._room)
                self._note(standing, made)
            if self._frozen and before is not None and _stands(standing, source, before):
                found.append(before)
                continue
            if not made.shares.any() and not made.dropped:
                alone.append(name)
            found.append(self._split(standing, source, made, before))
        if alone:
            source = nodes.index(alone[0])
            why = next(
                filter(None, (standing.why_not(source, h, self._ways) for h in standing.hosts)),
                "it has no healthy instance",
            )
            more = f" and {len(alone) - 1} more" if len(alone) > 1 else ""
            self.notes.append(f"nobody serves {service.name} to {alone[0]}{more}: {why}")
        return found

    def _note(self, standing: Standing, made: Shares) -> None:
        for (name, location), why in made.refused.items():
            self._refused[RefusedRule(name, location, standing.service.name, why)] = None
        for key, names in made.targets.items():
            self._targets.setdefault(key, set()).update(names)
        for key, share in made.applied.items():
            self._applied[key] = max(self._applied.get(key, 0.0), share)

    def _split(
        self, standing: Standing, source: int, made: Shares, before: ServiceSplit | None
    ) -> ServiceSplit:
        service, src = standing.service.name, standing.nodes[source]
        reason = "; ".join(made.told) or "no location may be used"
        shares = {
            one.name: float(share) * one.capacity / float(whole)
            for share, whole, instances in zip(
                made.shares, standing.capacity, standing.instances, strict=True
            )
            for one in instances
            if share > 0
        }
        if not shares:
            return ServiceSplit(service, src, (), (), (), reason)
        names = tuple(sorted(shares))
        wanted = tuple(shares[name] for name in names)
        table = self._table(names, wanted, before)
        counts = np.bincount(table, minlength=len(names)) / BUCKETS
        if before is not None and (before.instances, before.buckets) == (names, table):
            return replace(before, reason=reason) if before.reason != reason else before
        return ServiceSplit(service, src, names, tuple(counts.tolist()), table, reason)

    def _table(
        self, names: tuple[str, ...], shares: tuple[float, ...], before: ServiceSplit | None
    ) -> tuple[int, ...]:
        held = (before.instances, before.buckets) if before and before.buckets else None
        key = (names, shares, held)
        if key not in self._tables:
            places = {name: at for at, name in enumerate(names)}
            old = None
            if held is not None:
                new = [places.get(name, GONE) for name in held[0]]
                old = tuple(new[at] for at in held[1])
            counts = apportion(shares, [old.count(at) for at in range(len(names))] if old else None)
            self._tables[key] = rebalance(
                old, {at: float(count) for at, count in enumerate(counts) if count}
            )
        return self._tables[key]

    def active(self) -> tuple[ActiveRule, ...]:
        """Return the rules in force as they came to be; the loop's only where they do something."""
        found = []
        for one in self._rules:
            key = one.rule.name, one.told.location
            told = replace(one.told, targets=tuple(sorted(self._targets.get(key, ()))))
            if one.rule.written_by == LOOP:
                share = self._applied.get(key, 0.0)
                if not share:
                    continue
                if share < told.share:
                    # it was to grow and could not: it may try again at the next decision
                    told = replace(told, share=share, changed_s=told.since_s)
            found.append(told)
        return tuple(found)

    def refused(self) -> tuple[RefusedRule, ...]:
        """Return what rules could not do, and why."""
        return tuple(self._refused)


def _room(layers: Layers, begun: Begun) -> Room:
    """Return how full locations will be, and what growing diverts of the loop may add to one."""
    outlook = begun.outlook
    moved = 0.0
    for one in begun.rules:
        if one.rule.written_by == LOOP:
            at = outlook.nodes.index(one.told.location)
            more = max(0.0, one.told.share - one.held) / max(1.0 - one.held, 1e-9)
            moved += more * float(outlook.predicted_bps[at])
    high = layers.general.high
    return Room(
        outlook.predicted,
        moved / outlook.capacity_bps,
        high.utilisation if high else np.inf,
    )


def _stands(standing: Standing, source: int, split: ServiceSplit) -> bool:
    """Whether a split can stay as it is: all its instances are healthy, and may be used."""
    usable = {
        one.name
        for at, instances in enumerate(standing.instances)
        if standing.allowed[source, at]
        for one in instances
    }
    return bool(split.instances) and set(split.instances) <= usable

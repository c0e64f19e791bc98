"""From a service's standing and the rules in force to the shares of its locations.

Rules are applied in one order, whatever order they were written in: by priority, then drop, pin,
limit, divert, attract, then operators' before the loop's, then by name and location. Hard
constraints were applied before: no rule can reach what they exclude.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from controller.decide.candidates import Floats
from controller.decide.policy.active import LEAST, InForce
from controller.decide.policy.standing import Bools, Standing
from controller.decide.policy.ways import Ways
from controller.decide.reasons import percent
from controller.layers import ATTRACT, DIVERT, DROP, LIMIT, LOOP, PIN

APPLIED = (DROP, PIN, LIMIT, DIVERT, ATTRACT)
"""The order of actions among rules of one priority: what bounds comes before what moves."""


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """How full locations are thought to become: ``predicted`` [L]; NaN is the fullest.

    ``added`` [L]: what the loop's diverts would add to a location if all came there, as shares of
    its capacity. ``high``: up to where the loop may fill one (infinite: no bound).
    """

    predicted: Floats
    added: Floats
    high: float = np.inf


@dataclass(slots=True)
class Shares:
    """One source's shares [K] of a service's hosts as they come about; ``told``: why, in words.

    ``refused``: rule and location to why it has no effect here; ``targets``: where rules lead;
    ``applied``: the share that diverts came to.
    """

    shares: Floats
    told: list[str] = field(default_factory=list)
    refused: dict[tuple[str, str], str] = field(default_factory=dict)
    targets: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    applied: dict[tuple[str, str], float] = field(default_factory=dict)
    dropped: bool = False


def order(one: InForce) -> tuple[int, int, bool, str, str]:
    """Return the key that rules are applied by."""
    return (
        -one.rule.priority,
        APPLIED.index(one.rule.action),
        one.rule.written_by == LOOP,
        one.rule.name,
        one.told.location,
    )


def shares_of(
    standing: Standing, source: int, ways: Ways, rules: Sequence[InForce], room: Room
) -> Shares:
    """Return how a source's connections are spread over the service's hosts; all 0: not at all.

    ``rules``: those about this service and source, in ``order``.
    """
    work = _Work(standing, source, ways, room)
    for one in rules:
        if standing.over:
            work.refuse(
                one,
                f"refused by service policy {standing.over}: it stands over granular rules",
            )
            continue
        work.apply(one)
    return work.made


class _Work:
    """Applies rules one after the other."""

    def __init__(self, standing: Standing, source: int, ways: Ways, room: Room) -> None:
        self._standing, self._source, self._ways, self._room = standing, source, ways, room
        self._names = [standing.nodes[host] for host in standing.hosts]
        allowed = standing.allowed[source]
        wished = _narrowed(allowed, standing.roomy[source])
        self._usable: Bools = _narrowed(allowed, standing.pinned)
        self._pins: Bools = np.ones(len(self._names), dtype=np.bool_)
        self._pinned_by = ""
        self._left: dict[int, str] = {}
        self._caps = np.ones(len(self._names))
        self._capped: dict[int, str] = {}
        self._base = _narrowed(wished, standing.pinned)
        self.made = Shares(np.zeros(0))
        self._begin()

    def _begin(self) -> None:
        """Set the shares before any rule: the nearest location, or all by capacity."""
        standing = self._standing
        may = self._base & self._pins if (self._base & self._pins).any() else self._usable
        shares = np.zeros(len(self._names))
        if not may.any():
            self.made.shares = shares
            return
        if standing.nearest:
            best = min(np.flatnonzero(may).tolist(), key=self._nearness)
            shares[best] = 1.0
            near = self._ways.near[self._source, standing.hosts[best]]
            far = f", {near:.1f} ms away" if near else ""
            self.made.told = [f"nearest: {self._names[best]}{far}"]
        else:
            shares = np.where(may, standing.capacity, 0.0)
            shares = shares / shares.sum()
            self.made.told = ["spread by capacity"]
        self.made.shares = shares

    def _nearness(self, at: int) -> tuple[float, float, str]:
        pair = self._source, self._standing.hosts[at]
        return float(self._ways.near[pair]), float(self._ways.hops[pair]), self._names[at]

    def refuse(self, one: InForce, why: str) -> None:
        self.made.refused[one.rule.name, one.told.location] = why

    def apply(self, one: InForce) -> None:
        if self.made.dropped or not len(self._names):
            return
        action: Mapping[str, Callable[[InForce], None]] = {
            DROP: self._drop, PIN: self._pin, LIMIT: self._limit, DIVERT: self._divert,
            ATTRACT: self._attract,
        }  # fmt: skip
        action[one.rule.action](one)

    def _drop(self, one: InForce) -> None:
        self.made.dropped = True
        self.made.shares = np.zeros(len(self._names))
        self.made.told = [f"dropped by {one.rule.name}"]

    def _pin(self, one: InForce) -> None:
        wanted = one.rule.to or (one.told.location,)
        pins = np.array([name in wanted for name in self._names], dtype=np.bool_)
        may = pins & self._standing.allowed[self._source]
        if not may.any():
            self.refuse(one, self._why_none(wanted))
            return
        if not (may & self._pins).any():
            self.refuse(one, f"contradicts {self._pinned_by}, which pins elsewhere")
            return
        self._pins = self._pins & may
        self._pinned_by = one.rule.name
        self._usable = self._standing.allowed[self._source] & self._pins
        told = (
            f"pinned to {', '.join(n for n, p in zip(self._names, self._pins, strict=True) if p)}"
        )
        self._begin()
        self.made.told.append(f"{told} by {one.rule.name}")
        self._aim(one, np.flatnonzero(self._pins).tolist())

    def _limit(self, one: InForce) -> None:
        at = self._place(one.told.location)
        if at is None:
            return
        cap = min(float(self._caps[at]), one.rule.share)
        excess = float(self.made.shares[at]) - cap
        if excess > LEAST:
            others = self._candidates(one, {at})
            if not others:
                self.refuse(one, self._why_no_other(one))
                return
            self._move(one, at, others[0], excess)
            self.made.told.append(f"{self._names[at]} limited to {percent(cap)} by {one.rule.name}")
        self._caps[at] = cap
        self._capped.setdefault(at, one.rule.name)

    def _divert(self, one: InForce) -> None:
        at = self._place(one.told.location)
        if at is None or self.made.shares[at] <= LEAST:
            if at is not None:
                self._left.setdefault(at, one.rule.name)
            return
        share, others = one.told.share, self._candidates(one, {at, *self._left})
        if not others:
            self.refuse(one, self._why_no_other(one))
            others, share = self._as_before(one, at), min(one.held, share)
            if not others or share <= LEAST:
                return
        amount = float(self.made.shares[at]) * share
        self.made.applied[one.rule.name, one.told.location] = share
        self._left.setdefault(at, one.rule.name)
        self._move(one, at, others[0], amount)
        self.made.told.append(
            f"{percent(amount)} diverted from {self._names[at]} to {self._names[others[0]]}"
            f" by {one.rule.name}"
        )

    def _as_before(self, one: InForce, at: int) -> list[int]:
        """Return where the loop diverted to so far, unless it is fuller than what it relieves."""
        if one.rule.written_by != LOOP:
            return []
        full = self._room.predicted
        hosts = self._standing.hosts
        return [
            to
            for to, name in enumerate(self._names)
            if name in one.told.targets
            and self._usable[to]
            and to not in {at, *self._left}
            and full[hosts[to]] <= full[hosts[at]]
        ]

    def _attract(self, one: InForce) -> None:
        at = self._place(one.told.location)
        if at is None:
            return
        if at in self._left:
            self.refuse(one, f"contradicts {self._left[at]}, which diverts from there")
            return
        if not self._usable[at]:
            self.refuse(one, self._why_none((one.told.location,)))
            return
        shares = self.made.shares
        amount = min((1.0 - shares[at]) * one.told.share, self._caps[at] - shares[at])
        if amount <= LEAST:
            return
        rest = 1.0 - shares[at]
        kept = float(shares[at]) + float(amount)
        shares *= (rest - amount) / rest
        shares[at] = kept
        self.made.told.append(
            f"{percent(float(amount))} attracted to {self._names[at]} by {one.rule.name}"
        )
        self._aim(one, [at])

    def _move(self, one: InForce, at: int, to: int, amount: float) -> None:
        amount = min(amount, float(self._caps[to] - self.made.shares[to]))
        self.made.shares[at] -= amount
        self.made.shares[to] += amount
        self._aim(one, [to])

    def _aim(self, one: InForce, hosts: list[int]) -> None:
        aims = self.made.targets.setdefault((one.rule.name, one.told.location), set())
        aims.update(self._names[at] for at in hosts)

    def _place(self, location: str) -> int | None:
        return self._names.index(location) if location in self._names else None

    def _candidates(self, one: InForce, without: set[int]) -> list[int]:
        """Return where a rule may lead, the best first: where it led, then the least loaded."""
        to = one.rule.to

        def fits(at: int) -> bool:
            return (
                bool(self._usable[at])
                and at not in without
                and (not to or self._names[at] in to)
                and self._free(at)
                and (one.rule.written_by != LOOP or self._has_room(at))
            )

        def key(at: int) -> tuple[bool, float, str]:
            full = float(np.nan_to_num(self._room.predicted[self._standing.hosts[at]], nan=np.inf))
            return self._names[at] not in one.told.targets, full, self._names[at]

        return sorted((at for at in range(len(self._names)) if fits(at)), key=key)

    def _free(self, at: int) -> bool:
        """Whether a location's limit leaves something."""
        return bool(self._caps[at] - self.made.shares[at] > LEAST)

    def _has_room(self, at: int) -> bool:
        host = self._standing.hosts[at]
        full = float(self._room.predicted[host] + self._room.added[host])
        return full <= self._room.high

    def _why_none(self, wanted: Sequence[str]) -> str:
        """Return why none of the locations wanted can be had."""
        for name in wanted:
            at = self._place(name)
            if at is None:
                continue
            why = self._standing.why_not(self._source, self._standing.hosts[at], self._ways)
            if why:
                return why
            if not self._usable[at]:
                who = self._pinned_by or next(p.name for p in self._standing.policies if p.pin)
                return f"refused by {who}: it pins elsewhere"
        return f"no healthy instance of {self._standing.service.name} is at {' or '.join(wanted)}"

    def _why_no_other(self, one: InForce) -> str:
        """Return why there is no location to go to."""
        others = one.rule.to or tuple(n for n in self._names if n != one.told.location)
        for name in others:
            at = self._place(name)
            if at is None:
                continue
            if at in self._left:
                return f"contradicts {self._left[at]}, which diverts from {name}"
            if self._usable[at] and at in self._capped and not self._free(at):
                return f"{name} is limited to {percent(self._caps[at])} by {self._capped[at]}"
            if self._usable[at] and one.rule.written_by == LOOP and not self._has_room(at):
                host = self._standing.hosts[at]
                full = float(self._room.predicted[host] + self._room.added[host])
                return f"no allowed location has room: {name} would reach {percent(full)}"
        if not others:
            return f"{self._standing.service.name} has no instance elsewhere"
        return self._why_none(others)


def _narrowed(may: Bools, wished: Bools) -> Bools:
    """Return what is wished for of what may be; where that is nothing, all that may be."""
    both = may & wished
    return both if both.any() else may.copy()

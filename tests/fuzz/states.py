"""Desired states to fuzz with: all that a state can hold, some of it there and some of it not."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from headers.messages import (
    ApplicationClass,
    ApplyEngines,
    Backend,
    EdgeCircuit,
    EngineDemand,
    EngineDesired,
    FlowRule,
    Grant,
    Hop,
    InstanceHere,
    Neighbour,
    Service,
)

ROUTER_MAC = "02:f0:00:00:00:01"
CUSTOMER = 9
UNLIMITED = 1 << 31
ALIKE = 1029
"""Shares with circuit 5 the place that the beginning of its tags is kept in."""

_VERSION = 1 << 28
_FIRST = (5, 6, 7, 9, ALIKE)
_BACKUP = (8, 5, 0)
_BACKENDS = (1, 2, 3, 4, 7)
_Thing = TypeVar("_Thing")

_CIRCUITS = (
    EdgeCircuit(5, 2 << 16, _VERSION, 1),
    EdgeCircuit(ALIKE, 2 << 16, _VERSION, 1),
    EdgeCircuit(6, 3 << 16 | 4, _VERSION | 3 << 24 | 7 << 8, 2),
    EdgeCircuit(7, 4 << 16, _VERSION | 255 << 8, 1),
    EdgeCircuit(8, 3 << 16, _VERSION, 1),
    EdgeCircuit(9, 4 << 16, _VERSION | 254 << 8 | 4, 3),
    EdgeCircuit(10, 2 << 16, _VERSION | 15 << 24, 1),
)
_CIRCUITS_2 = (
    EdgeCircuit(22, 1 << 16, _VERSION, 1),
    EdgeCircuit(23, 3 << 16, _VERSION | 256 << 8, 2),
    EdgeCircuit(16383, 1 << 16, _VERSION, 1),
)
_HOPS_2 = (
    Hop(5, 1, deliver=True),
    Hop(ALIKE, 1, deliver=True),
    Hop(6, 2, deliver=False, next_mac="02:00:00:00:00:99"),
    Hop(10, 1, deliver=True),
    Hop(10, 3, deliver=False, next_mac="02:00:00:00:00:98"),
    Hop(16383, 1, deliver=True),
    Hop(16383, 3, deliver=True),
)
_HOPS_3 = (
    Hop(25, 1, deliver=True),
    Hop(8, 1, deliver=True),
    Hop(8, 2, deliver=False),
)
_LONGER = ("10.2.0.0/20", "10.2.0.0/28", "10.2.0.1/32", "10.2.0.2/31", "200.1.1.0/25")
_SHORTER = ("10.2.0.0/15", "10.0.0.0/8", "128.0.0.0/1", "0.0.0.0/0")
_PREFIXES6 = ("fd02:0:3:1::/64", "::/0", "fd02::1/128", "fd00::/8")


@dataclass(frozen=True, slots=True)
class Moment:
    """What a state is made for: its number, key epoch, forecast, and rate of new connections."""

    generation: int
    epoch: int = 0
    forecast: int = 77
    insert_rate: int = UNLIMITED


class States:
    """Draws states from a seed."""

    def __init__(self, pick: random.Random) -> None:
        self._random = pick

    def whole(self, moment: Moment) -> ApplyEngines:
        """Return a state in which everything may be different from the one before."""
        pick = self._random
        classed = pick.random() < 0.8
        return ApplyEngines(
            1,
            moment.generation,
            moment.epoch,
            moment.forecast,
            ROUTER_MAC,
            (self._one(), self._two(), self._three()),
            backends=tuple(self._backends()),
            classes=tuple(self._classes()) if classed else (),
            rules=self._most(self._rules(), 0.7) if classed else (),
            grants=self._most(
                (
                    Grant(CUSTOMER, 70, 5, pick.choice((4, 0, 15))),
                    Grant(CUSTOMER, 71, 99, 4),
                    Grant(CUSTOMER, 72, 6, 15),
                    Grant(CUSTOMER, 73, pick.choice((22, 9)), 7),
                    Grant(CUSTOMER + 1, 74, 5, 15),
                )
            ),
            insert_rate=moment.insert_rate,
        )

    def reweighed(self, wanted: ApplyEngines) -> ApplyEngines:
        """Return the same state with other weights, and nothing else changed."""
        return replace(
            wanted,
            generation=wanted.generation + 1,
            engines=tuple(
                replace(
                    engine,
                    demands=tuple(
                        replace(each, buckets=self._buckets(each.buckets))
                        for each in engine.demands
                    ),
                    services=tuple(
                        replace(each, buckets=self._buckets(each.buckets))
                        for each in engine.services
                    ),
                )
                for engine in wanted.engines
            ),
            backends=tuple(
                replace(each, buckets=self._buckets(each.buckets)) if each.buckets else each
                for each in wanted.backends
            ),
        )

    def at(self, wanted: ApplyEngines, moment: Moment) -> ApplyEngines:
        """Return the same state at another moment."""
        return replace(
            wanted,
            generation=moment.generation,
            epoch=moment.epoch,
            forecast=moment.forecast,
            insert_rate=moment.insert_rate,
        )

    def rebacked(self, wanted: ApplyEngines) -> ApplyEngines:
        """Return the same state with other backends there."""
        known = {each.number: each for each in wanted.backends}
        backends = tuple(known.get(each.number, each) for each in self._backends())
        return replace(wanted, generation=wanted.generation + 1, backends=backends)

    def _most(self, things: Sequence[_Thing], share: float = 0.93) -> tuple[_Thing, ...]:
        return tuple(thing for thing in things if self._random.random() < share)

    def _buckets(self, numbers: Sequence[int]) -> tuple[int, ...]:
        """Return a bucket table of some of the numbers, with weights of their own."""
        pick = self._random
        some = [pick.choice(numbers) for _ in range(pick.randrange(1, 8))]
        return tuple(pick.choices(some, k=256))

    def _demand(
        self, prefix: str, numbers: Sequence[int], number: int = 0, more: tuple[str, ...] = ()
    ) -> EngineDemand:
        backups = self._buckets(_BACKUP) if self._random.random() < 0.6 else ()
        return EngineDemand(prefix, self._buckets(numbers), backups, number, more)

    def _demands(self, prefixes: Sequence[str]) -> list[EngineDemand]:
        pick = self._random
        found = []
        # some go the way of another one
        lent = {prefix for prefix in prefixes if prefix in _LONGER and pick.random() < 0.3}
        lent &= set(prefixes[1:])
        own = [prefix for prefix in prefixes if prefix not in lent]
        for prefix in own:
            numbers: Sequence[int] = (*_FIRST, *_FIRST, 0, 99, 22)
            if prefix == "10.3.0.0/16":
                numbers = (0,)
            elif prefix == "10.4.0.0/16":
                numbers = (99,)
            more = tuple(sorted(lent)) if prefix == own[0] else ()
            found.append(self._demand(prefix, numbers, more=more))
            if pick.random() < 0.5:
                some = self._most((1, 2, 3), 0.5)
                found += [self._demand(prefix, (10, 6), number) for number in some]
        return found

    def _one(self) -> EngineDesired:
        pick = self._random
        prefixes = list(self._most(("10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16"), 0.97))
        prefixes += self._most(("fd02::/32", "fd02:0:3::/48"), 0.97)
        prefixes += self._most(_PREFIXES6, 0.25)
        if pick.random() < 0.4:
            # more lengths than are looked up one by one
            prefixes += self._most((*_LONGER, *_SHORTER, "10.2.3.0/24"), 0.6)
        else:
            prefixes += self._most((pick.choice((*_LONGER, "10.2.3.0/24")),), 0.7)
            prefixes += self._most((pick.choice(_SHORTER),), 0.5)
        return EngineDesired(
            1,
            demands=tuple(self._demands(prefixes)),
            circuits=self._most(_CIRCUITS, 0.95),
            hops=(Hop(21, 1, deliver=True),),
            neighbours=(Neighbour("10.1.0.9", "02:00:00:00:00:19"),),
            services=self._services(),
            instances=self._most(
                (InstanceHere(7, "02:00:00:00:01:07"), InstanceHere(8, "02:00:00:00:01:08", 12))
            ),
        )

    def _services(self) -> tuple[Service, ...]:
        pick = self._random
        found = [
            Service(address, protocol, port, self._buckets(_BACKENDS), second, number)
            for address, protocol, port in (
                ("10.9.0.1", 6, 80),
                ("10.9.0.1", 17, 53),
                ("fd09::1", 6, 80),
                ("10.9.0.4", 6, 80),
            )
            for second in [self._buckets(_BACKENDS) if pick.random() < 0.9 else ()]
            for number in [pick.choice((0, 0, 1, 2, 3))]
        ]
        found += [
            Service("10.9.0.2", 6, 443, self._buckets((40,))),
            Service("10.9.0.3", 17, 9, self._buckets((3, 4, 5))),
            Service("10.9.0.5", 6, 80, self._buckets((6, 8))),
        ]
        return self._most(found, 0.96)

    def _two(self) -> EngineDesired:
        return EngineDesired(
            2,
            (
                self._demand("10.2.0.0/16", (22, 23, 5)),
                self._demand("fd02::/32", (22, 16383)),
            ),
            self._most(_CIRCUITS_2),
            self._most(_HOPS_2, 0.97),
            self._most(
                (
                    Neighbour("10.2.0.1", "02:00:00:00:00:21"),
                    Neighbour("10.2.0.2", "02:00:00:00:00:22", 7),
                    Neighbour("fd02::1", "02:00:00:00:00:61"),
                )
            ),
            services=(Service("10.9.0.1", 6, 80, self._buckets(_BACKENDS)),),
            instances=self._most(
                (InstanceHere(3, "02:00:00:00:02:03"), InstanceHere(4, "02:00:00:00:02:04", 5))
            ),
        )

    def _three(self) -> EngineDesired:
        return EngineDesired(
            3, (), (), _HOPS_3, self._most((Neighbour("10.2.0.1", "02:00:00:00:00:31"),))
        )

    def _backends(self) -> list[Backend]:
        usual = (5, 6, 8, 10, ALIKE)
        found = [
            Backend(1, 2, 3, self._buckets(usual), self._buckets((8, 22))),
            Backend(2, 2, 4, self._buckets(usual)),
            Backend(3, 1, 7, self._buckets((22, 16383))),
            Backend(4, 1, 8),
            Backend(5, 1, 99),
            Backend(6, 4, 1, self._buckets((98,))),
            Backend(7, 3, 2, self._buckets(usual)),
            Backend(8, 3, 2),
        ]
        there = set(self._random.sample(_BACKENDS, self._random.choice((1, 2, 3, 3, 4)))) | {
            5,
            6,
            8,
        }
        return [each for each in found if each.number in there]

    def _classes(self) -> list[ApplicationClass]:
        pick = self._random
        by_port, by_dscp = pick.random() < 0.8, pick.random() < 0.8
        return [
            ApplicationClass(
                1,
                300,
                5,
                ports=((6, 80),) if by_port else (),
                dscp=(46,) if by_dscp else (),
            ),
            ApplicationClass(
                2,
                2,
                9,
                ports=((17, 5000), (17, 0)) if by_port else (),
                source_ports=((6, 22), (6, 0)) if by_port else (),
                dscp=(10, 0) if by_dscp and pick.random() < 0.3 else (),
            ),
            ApplicationClass(3, 3, pick.randrange(16)),
        ]

    def _rules(self) -> tuple[FlowRule, ...]:
        return (
            FlowRule(1, "10.1.0.9", "10.2.0.1", 17, 1000, 1001, 3),
            FlowRule(1, "10.1.0.1", "10.2.0.1", 17, 1000, 5000, 1),
            FlowRule(1, "fd01::9", "fd02::1", 17, 1000, 1001, 3),
            FlowRule(1, "10.1.0.9", "10.2.0.2", 1, 0, 0, 3),
        )

"""What a machine's engines remember from packet to packet: counters, connections, events."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from dataplane.maps import EVENT, MAX_CLASSES
from dataplane.twin.tables import Port, Tables

DROP, PASS, TX, REDIRECT = 1, 2, 3, 4
_RING_HEADER = 8


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a packet: the verdict, the frame as it leaves, where to, and why.

    ``slot``: the redirect slot of a port; ``ifindex``: the interface that routing names.
    ``reasons``: in the order in which they were counted.
    """

    verdict: int
    frame: bytes
    reasons: tuple[str, ...] = ()
    slot: int | None = None
    ifindex: int | None = None


@dataclass(slots=True)
class Connection:
    """An entered connection; times in nanoseconds."""

    backend: int
    state: int
    last_ns: int
    opened_ns: int
    packets: int = 0
    bytes: int = 0


class Event(NamedTuple):
    """What the ring tells the agent; of an echo, ``packets`` is when it was sent.

    ``sequence``: of an opened connection, how long its handshake took in microseconds (0: unknown).
    """

    kind: int
    engine: int
    flow: bytes
    backend: int
    sequence: int
    packets: int
    bytes: int
    time_ns: int


@dataclass
class Memory:
    """The tables that the agent fills, and what the programs keep themselves.

    Counters hold packets and bytes by (engine, reason), demand slot, circuit and application.
    ``fresh``: a flow's first packet, by its hash: (hash, backend, when seen).
    """

    tables: Tables
    reasons: Counter[tuple[int, str]] = field(default_factory=Counter)
    reason_bytes: Counter[tuple[int, str]] = field(default_factory=Counter)
    demands: Counter[int] = field(default_factory=Counter)
    demand_bytes: Counter[int] = field(default_factory=Counter)
    circuits: Counter[int] = field(default_factory=Counter)
    circuit_bytes: Counter[int] = field(default_factory=Counter)
    applications: Counter[int] = field(default_factory=Counter)
    application_bytes: Counter[int] = field(default_factory=Counter)
    connections: dict[bytes, Connection] = field(default_factory=dict)
    fresh: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    budget_ns: int = 0
    tokens: int = 0

    def count_demand(self, slot: int, size: int) -> None:
        """Count a packet of a demand or a service."""
        self.demands[slot] += 1
        self.demand_bytes[slot] += size

    def count_circuit(self, circuit: int, size: int) -> None:
        """Count a packet that came on a circuit."""
        self.circuits[circuit] += 1
        self.circuit_bytes[circuit] += size

    def count_application(self, application: int, size: int) -> None:
        """Count a packet of an application type; the last counter is for all beyond it."""
        number = min(application, MAX_CLASSES - 1)
        self.applications[number] += 1
        self.application_bytes[number] += size


@dataclass(slots=True)
class Arrival:
    """One packet at one port, and what was counted of it so far."""

    memory: Memory
    port: Port
    ifindex: int
    frame: bytes
    now_ns: int
    reasons: list[str] = field(default_factory=list)

    @property
    def tables(self) -> Tables:
        """Return what the agent wrote."""
        return self.memory.tables

    def count(self, reason: str, size: int | None = None) -> None:
        """Count a reason at this engine, with the frame's length unless told otherwise."""
        bytes_ = len(self.frame) if size is None else size
        self.reasons.append(reason)
        self.memory.reasons[self.port.engine, reason] += 1
        self.memory.reason_bytes[self.port.engine, reason] += bytes_

    def passed(self, reason: str) -> Outcome:
        """Count why, and leave the frame to the kernel as it came."""
        self.count(reason)
        return Outcome(PASS, self.frame)

    def tell(self, event: Event) -> None:
        """Put an event into the ring, or count it as lost when the ring is full."""
        room = (self.tables.ring_bytes - 1) // (EVENT.size + _RING_HEADER)
        if len(self.memory.events) >= room:
            self.count("event_lost", 0)
        else:
            self.memory.events.append(event)

"""A primary and its shadow on a simulated network, with faults drawn from a seed."""

import random
from collections.abc import Callable

import numpy as np

from bus.simulated import Faults, SimulatedNetwork, Simulation
from dataplane.maps import flow_key
from dataplane.shadow.flows import KEY_DTYPE
from dataplane.shadow.replica import Replica
from dataplane.shadow.replicator import Replicator
from dataplane.shadow.table import ConnectionTable
from headers.replication.record import BACKEND, FIELDS, LAST_SEEN, STATE, THROUGHPUT

SECRET = bytes(range(32))
PRIMARY, SHADOW = 1, 2
Value = tuple[int, int, int, int]


def key_of(number: int, engine: int = PRIMARY) -> bytes:
    """Return the key of a made-up connection; every eighth is IPv6."""
    if number % 8 == 7:
        source = ((0x20010DB8 << 96) + number).to_bytes(16, "big")
        destination = ((0x20010DB8 << 96) + 0x990000).to_bytes(16, "big")
    else:
        source = (0x0A000000 + number * 7919 % (1 << 24)).to_bytes(4, "big")
        destination = bytes((10, 99, 0, 1))
    return flow_key(source, destination, 1024 + number % 60000, 443, 6, engine)


def keys_array(keys: list[bytes]) -> np.ndarray:
    return np.array(keys, KEY_DTYPE) if keys else np.empty(0, KEY_DTYPE)


def values_array(values: list[Value]) -> np.ndarray:
    """Return rows of backend, state, throughput code and last seen."""
    rows = np.zeros((len(values), FIELDS), np.uint32)
    for place, field in enumerate((BACKEND, STATE, THROUGHPUT, LAST_SEEN)):
        rows[:, field] = [value[place] for value in values]
    return rows


def put(table: ConnectionTable, connections: dict[bytes, Value], now_us: int) -> None:
    """Have connections in a table."""
    happened = np.full(len(connections), now_us, np.int64)
    table.put(
        keys_array(list(connections)), values_array(list(connections.values())), happened, now_us
    )


def content(rows: np.ndarray) -> dict[tuple[int, ...], tuple[int, ...]]:
    """Return rows as what they say: identity to the rest."""
    return {tuple(row[:BACKEND]): tuple(row[BACKEND:]) for row in rows.tolist()}


def held_by(table: ConnectionTable) -> dict[tuple[int, ...], tuple[int, ...]]:
    return content(table.rows[table.live])


class Node:
    """A replicator that is polled when it is due, on a clock of its own."""

    def __init__(
        self,
        simulation: Simulation,
        network: SimulatedNetwork,
        address: str,
        build: Callable[[Callable[[int], bytes]], Replicator],
        offset_s: float = 0.0,
        rate: float = 1.0,
    ) -> None:
        self.simulation, self.network, self.address = simulation, network, address
        self.offset_s, self.rate = offset_s, rate
        self._build = build
        self._wake = 0
        self.replicator = build(simulation.random.randbytes)
        network.bind(address, self._receive)

    def restart(self) -> None:
        """Lose all that is remembered."""
        self.replicator = self._build(self.simulation.random.randbytes)

    def now_us(self) -> int:
        return int((self.offset_s + self.simulation.now_s * self.rate) * 1e6)

    def _receive(self, datagram: bytes, source: object) -> None:
        self.replicator.receive(datagram, source, self.now_us())
        self.poll()

    def poll(self) -> None:
        """Send what is to be sent, and come back when the next thing is due."""
        now = self.now_us()
        for address, datagram in self.replicator.poll(now):
            self.network.send(self.address, address, datagram)
        due = self.replicator.due_us(now)
        self._wake += 1
        if due is None:
            return
        mine = self._wake
        wait_s = max(due - now, 500) / 1e6 / self.rate
        self.simulation.after(wait_s, lambda: self.poll() if mine == self._wake else None)


class World:
    """One engine with connections that come and go, and one shadow."""

    def __init__(
        self,
        seed: int,
        *,
        slots: int = 256,
        replica: type[Replica] = Replica,
        faults: Faults | None = None,
    ) -> None:
        self.simulation = Simulation(seed)
        self.random = random.Random(seed + 1)
        self.network = SimulatedNetwork(self.simulation, faults)
        self.slots = slots
        self._replica = replica
        self.connections: dict[bytes, Value] = {}
        self._number = 0
        self.generation = 1
        self.primary = Node(
            self.simulation, self.network, "p", self._build_primary, offset_s=1000 + seed
        )
        self.shadow = Node(
            self.simulation, self.network, "s", self._build_shadow, offset_s=50, rate=1.0001
        )

    def _build_primary(self, randbytes: Callable[[int], bytes]) -> Replicator:
        replicator = Replicator(SECRET, random=randbytes)
        table = replicator.serve(PRIMARY, self.slots)
        put(table, self.connections, 0)
        replicator.send_to(PRIMARY, {SHADOW: "s"}, self.generation)
        return replicator

    def _build_shadow(self, randbytes: Callable[[int], bytes]) -> Replicator:
        replicator = Replicator(SECRET, random=randbytes)
        receiver = replicator.hold(PRIMARY, SHADOW, self.slots)
        receiver.replica = self._replica(PRIMARY, self.slots)
        return replicator

    @property
    def table(self) -> ConnectionTable:
        return self.primary.replicator.tables[PRIMARY]

    @property
    def sender(self):
        return self.primary.replicator.senders[PRIMARY, SHADOW]

    @property
    def receiver(self):
        return self.shadow.replicator.receivers[PRIMARY, SHADOW]

    def open(self, count: int) -> None:
        """Have new connections."""
        now = self.primary.now_us()
        room = self.slots - len(self.connections)
        new = {}
        for _ in range(min(count, room)):
            self._number += 1
            new[key_of(self._number)] = (self.random.randrange(1, 60), 1, 0, now // 1_000_000)
        self.connections |= new
        put(self.table, new, now)
        self.primary.poll()

    def change(self, count: int) -> None:
        """Change some: their state, their backend, or what they carry."""
        now = self.primary.now_us()
        known = list(self.connections)
        changed = {}
        for key in self.random.sample(known, min(count, len(known))):
            backend, state, throughput, seen = self.connections[key]
            what = self.random.randrange(4)
            if what == 0:
                state = 3 - state
            elif what == 1:
                backend = self.random.randrange(1, 60)
            else:
                throughput, seen = self.random.randrange(256), now // 1_000_000
            changed[key] = (backend, state, throughput, seen)
        self.connections |= changed
        put(self.table, changed, now)
        self.primary.poll()

    def close(self, count: int) -> None:
        """End some."""
        known = list(self.connections)
        gone = self.random.sample(known, min(count, len(known)))
        for key in gone:
            del self.connections[key]
        self.table.remove(keys_array(gone), self.primary.now_us())
        self.primary.poll()

    def equal(self) -> bool:
        """Return whether the shadow holds exactly what the primary does."""
        return content(self.receiver.replica.rows()) == held_by(self.table)

    def start(self) -> None:
        self.primary.poll()
        self.shadow.poll()

    def run_until(self, condition: Callable[[], bool], seconds: float = 20.0) -> bool:
        """Let time pass until a condition holds; return whether it came to hold."""
        end = self.simulation.now_s + seconds
        while self.simulation.now_s < end:
            if condition():
                return True
            self.simulation.run(self.simulation.now_s + 0.05)
        return condition()

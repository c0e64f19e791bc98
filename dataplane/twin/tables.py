"""What the agent writes into the maps, as Python values."""

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

import numpy as np

from dataplane import maps as layout
from dataplane.desired import (
    BACKEND_DTYPE,
    CLASS_DTYPE,
    DOMAIN_DTYPE,
    EDGE_DTYPE,
    HOP_DTYPE,
    prefix_of,
    service_of,
)
from dataplane.maps import Maps, mapped


class Port(NamedTuple):
    """A port of an engine, by the interface number that packets come in at."""

    engine: int
    out_slot: int
    max_frame: int
    fallback: int
    router_mac: bytes
    customer: int
    sample: int = 0


class Domain(NamedTuple):
    """What all programs share: the flow hash's seed, C3 (epoch and forecast), limits, flags."""

    hash_seed: int
    c3: int
    insert_rate: int
    flags: int


class EdgeCircuit(NamedTuple):
    """A circuit at its first engine."""

    engine: int
    c1: int
    c2: int
    si: int


class Hop(NamedTuple):
    """A circuit at an engine that receives it."""

    action: int
    engine: int
    out_slot: int
    dst_mac: bytes
    src_mac: bytes


class Neighbour(NamedTuple):
    """Whom to hand a packet to: MAC address, VLAN (0: untagged), redirect slot."""

    mac: bytes
    vlan: int
    out_slot: int


class Service(NamedTuple):
    """A virtual address's port: its bucket table and its application class."""

    slot: int
    number: int


class Backend(NamedTuple):
    """Where a service's connections may go: the bucket table of its circuits, and C1."""

    slot: int
    c1: int


class Route(NamedTuple):
    """What the kernel's routing says: the interface out, and the frame's new addresses."""

    ifindex: int
    smac: bytes
    dmac: bytes


Fib = Callable[[int, bytes, bytes, int, int], Route | None]
"""The kernel's routing: family (4 or 6), source, destination, length, interface in."""


def no_route(_family: int, _src: bytes, _dst: bytes, _length: int, _ifindex: int) -> Route | None:
    """Find no route, ever."""
    return None


@dataclass
class Tables:
    """The maps that programs read. Keys and values are those of dataplane/bpf/maps.h.

    ``prefixes``: per engine and family, (network as integer, length) to (slot, virtual, classes).
    ``buckets``: uint64 [slots, 256]. ``classes``: by the program's own key. ``flows`` are keyed by
    packed flow keys.
    """

    domain: Domain = field(default_factory=lambda: Domain(0, 0, 0, 0))
    ports: dict[int, Port] = field(default_factory=dict)
    prefixes: dict[tuple[int, int], dict[tuple[int, int], int]] = field(default_factory=dict)
    classes: dict[int, int] = field(default_factory=dict)
    rules: dict[bytes, int] = field(default_factory=dict)
    class_table: dict[int, tuple[int, int]] = field(default_factory=dict)
    class_demands: dict[tuple[int, int], int] = field(default_factory=dict)
    buckets: Any = None
    edges: dict[int, EdgeCircuit] = field(default_factory=dict)
    hops: dict[tuple[int, int], Hop] = field(default_factory=dict)
    down: set[int] = field(default_factory=set)
    keys: dict[int, bytes] = field(default_factory=dict)
    customers: dict[tuple[int, int], bytes] = field(default_factory=dict)
    grants: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    neighbours: dict[tuple[int, bytes], Neighbour] = field(default_factory=dict)
    instances: dict[tuple[int, int], Neighbour] = field(default_factory=dict)
    services: dict[tuple[int, bytes, int, int], Service] = field(default_factory=dict)
    backends: dict[int, Backend] = field(default_factory=dict)
    replicas: dict[bytes, int] = field(default_factory=dict)
    capacity: int = layout.CONNECTIONS
    ring_bytes: int = layout.EVENT_PAGES * 4096
    fib: Fib = no_route

    def demand(self, engine: int, destination: bytes) -> int | None:
        """Return the value of the longest prefix that holds the destination."""
        bits = 8 * len(destination)
        number = int.from_bytes(destination, "big")
        held = self.prefixes.get((engine, 4 if bits == 32 else 6), {})
        for length in range(bits, -1, -1):
            found = held.get((number >> bits - length << bits - length, length))
            if found is not None:
                return found
        return None

    def bucket(self, slot: int, position: int) -> tuple[int, int]:
        """Return a bucket's first choice and its backup."""
        if self.buckets is None or not 0 <= slot < len(self.buckets):
            return 0, 0
        word = int(self.buckets[slot][position])
        return word & 0xFFFFFFFF, word >> 32

    @classmethod
    def from_maps(cls, maps: Maps, fib: Fib = no_route) -> "Tables":
        """Read the maps of a running data plane.

        Raises:
            BpfError: a map cannot be read.
        """
        tables = cls(fib=fib, capacity=maps.connections.entries, ring_bytes=maps.events.entries)
        domain = mapped(maps.domain, DOMAIN_DTYPE)[0]
        tables.domain = Domain(
            *(int(domain[name]) for name in ("hash_seed", "c3", "insert_rate", "flags"))
        )
        ports = mapped(maps.ports, layout.PORT_DTYPE)
        for number in np.nonzero(ports["engine"])[0]:
            tables.ports[int(number)] = Port(*layout.PORT.unpack(ports[number].tobytes()))
        for name in ("prefixes", "prefixes6"):
            for key, value in getattr(maps, name).items().items():
                engine, prefix = prefix_of(key)
                network = ip_network(prefix)
                place = int(network.network_address), network.prefixlen
                of = tables.prefixes.setdefault((engine, network.version), {})
                of[place] = _number(value)
        tables.classes = {_number(k): _number(v) for k, v in maps.classes.items().items()}
        tables.rules = {k: _number(v) for k, v in maps.rules.items().items()}
        for each, row in enumerate(mapped(maps.class_table, CLASS_DTYPE)):
            tables.class_table[each] = int(row["application"]), int(row["priority"])
        for key, value in maps.class_demands.items().items():
            demand, number = layout.CLASS_DEMAND_KEY.unpack(key)
            tables.class_demands[demand, number] = _number(value)
        tables.buckets = mapped(maps.buckets, np.dtype("<u8")).copy().reshape(-1, layout.BUCKETS)
        _read_circuits(tables, maps)
        _read_hosts(tables, maps)
        for key, value in maps.keys.items().items():
            if (words := layout.KEY_SLOT.unpack(value))[2]:
                tables.keys[_number(key)] = _key(words)
        for key, value in maps.customers.items().items():
            if (words := layout.KEY_SLOT.unpack(value))[2]:
                tables.customers[layout.CUSTOMER_KEY.unpack(key)] = _key(words)
        for key, value in maps.grants.items().items():
            tables.grants[layout.GRANT_KEY.unpack(key)] = layout.GRANT.unpack(value)
        for key, value in maps.replicas.items().items():
            tables.replicas[key] = layout.REPLICA.unpack(value)[0]
        return tables


def _number(word: bytes) -> int:
    return int.from_bytes(word, "little")


def _key(words: tuple[int, ...]) -> bytes:
    return words[0].to_bytes(8, "little") + words[1].to_bytes(8, "little")


def _read_circuits(tables: Tables, maps: Maps) -> None:
    edges = mapped(maps.edge_circuits, EDGE_DTYPE)
    for spi in np.nonzero(edges["active"])[0]:
        row = edges[spi]
        tables.edges[int(spi)] = EdgeCircuit(
            int(row["engine"]), int(row["c1"]), int(row["c2"]), int(row["si"]) & 0xFF
        )
    hops = mapped(maps.hops, HOP_DTYPE)
    for at in np.nonzero(hops["action"])[0]:
        row = hops[at]
        tables.hops[divmod(int(at), layout.MAX_HOPS)] = Hop(
            int(row["action"]),
            int(row["engine"]),
            int(row["out_slot"]),
            row["dst_mac"].tobytes(),
            row["src_mac"].tobytes(),
        )
    tables.down = {int(n) for n in np.nonzero(mapped(maps.down, np.dtype("<u4")))[0]}
    backends = mapped(maps.backends, BACKEND_DTYPE)
    for number in np.nonzero(backends["active"])[0]:
        row = backends[number]
        tables.backends[int(number)] = Backend(int(row["slot"]), int(row["c1"]))


def _neighbour(value: bytes) -> Neighbour:
    mac, vlan, out_slot = layout.NEIGHBOUR.unpack(value)
    return Neighbour(mac, int.from_bytes(vlan, "big"), out_slot)


def _read_hosts(tables: Tables, maps: Maps) -> None:
    for key, value in maps.neighbours.items().items():
        engine, family, address = layout.NEIGHBOUR_KEY.unpack(key)
        tables.neighbours[engine, address[:4] if family == 4 else address] = _neighbour(value)
    for key, value in maps.instances.items().items():
        tables.instances[layout.INSTANCE_KEY.unpack(key)] = _neighbour(value)
    for key, value in maps.services.items().items():
        engine, address, protocol, port = service_of(key)
        tables.services[engine, ip_address(address).packed, protocol, port] = Service(
            *layout.SERVICE.unpack(value)
        )

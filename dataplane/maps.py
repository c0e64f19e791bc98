"""The maps' layouts in Python, and typed access to them through their pins.

``dataplane/bpf/maps.h`` and ``reasons.h`` hold the same in C; a test compares names and sizes.
"""

import mmap
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataplane import syscall
from dataplane.errors import LoadError

LAYOUT = 6
MAX_PORTS = 65536
MAX_ENGINES = 256
MAX_CIRCUITS = 16384
MAX_HOPS = 4
MAX_DEMANDS = 1024
MAX_BACKENDS = 4096
MAX_CLASSES = 256
BUCKETS = 256
REASON_SLOTS = 64
FLOW_SETS = 32768
TAG_SETS = 32768
TAG_STARTS = 1024
FRESH = 65536
CONNECTIONS = 131072
"""How many connections the table holds, unless the agent is told otherwise."""
EVENT_PAGES = 256
"""The event ring's size in pages, a power of two."""
MAX_CACHE_CPUS = 64
SAMPLE_BYTES = 256
SAMPLE_CAME_IN = 0xFFFFFFFF

REASONS = (
    "marked",
    "delivered",
    "forwarded",
    "plain",
    "no_demand",
    "unsteered",
    "no_circuit",
    "ip_ttl",
    "too_long",
    "foreign_nsh",
    "malformed",
    "nsh_ttl",
    "version",
    "unknown_circuit",
    "epoch",
    "tag",
    "no_neighbour",
    "routed",
    "returned",
    "dropped",
    "no_key",
    "nested",
    "truncated",
    "not_granted",
    "on_backup",
    "balanced",
    "no_service",
    "fragment",
    "no_backend",
    "opened",
    "closed",
    "unheld",
    "table_full",
    "promoted",
    "reassigned",
    "echo_reflected",
    "echo_received",
    "event_lost",
    "sample_lost",
)

FALLBACK_PASS, FALLBACK_RETURN, FALLBACK_DROP = 0, 1, 2
HOP_NONE, HOP_DELIVER, HOP_FORWARD = 0, 1, 2
DOMAIN_RULES, DOMAIN_REPLICAS, DOMAIN_PORT_CLASSES, DOMAIN_DSCP_CLASSES = 1, 2, 4, 8
LENGTHS_MANY, LENGTHS_MOST = 0xFFFFFFFF, 4
DEMAND_SLOT, DEMAND_VIRTUAL, DEMAND_CLASSES = 0xFFFFFF, 0x80000000, 0x40000000
DEMAND_MORE = 0x20000000
CONNECTION_OPEN, CONNECTION_CLOSING = 1, 2
EVENT_OPENED, EVENT_CLOSED, EVENT_ECHO = 1, 2, 3
CLASS_BY_DESTINATION_PORT, CLASS_BY_SOURCE_PORT, CLASS_BY_DSCP = 0, 1 << 24, 2 << 24

PORT = struct.Struct("<IIII6sHI")
PREFIX_KEY = struct.Struct("<II4s")
LENGTH_KEY = struct.Struct("<I4sI")
PREFIX6_KEY = struct.Struct("<II16s")
CLASS_DEMAND_KEY = struct.Struct("<II")
CLASS_INFO = struct.Struct("<HH")
FLOW_KEY = struct.Struct("<16s16sHHBBH")
"""Source, destination, source port and destination port (network order: use ``flow_key``)."""
EDGE_CIRCUIT = struct.Struct("<IIIIB3x")
HOP = struct.Struct("<III6s6s")
KEY_SLOT = struct.Struct("<QQII")
CUSTOMER_KEY = struct.Struct("<II")
GRANT_KEY = struct.Struct("<II")
GRANT = struct.Struct("<II")
DOMAIN = struct.Struct("<QIIIIII")
NEIGHBOUR_KEY = struct.Struct("<II16s")
INSTANCE_KEY = struct.Struct("<II")
NEIGHBOUR = struct.Struct("<6s2sI")
SERVICE_KEY = struct.Struct("<I2sBB16s")
SERVICE = struct.Struct("<II")
BACKEND = struct.Struct("<IIII")
CONNECTION = struct.Struct("<QQQQIIIIIIII")
REPLICA = struct.Struct("<II")
FRESH_FLOW = struct.Struct("<QII")
BUDGET = struct.Struct("<QQ")
FLOW_SET = struct.Struct("<32I")
FLOW_NAMES = struct.Struct("<II")
TAG_SET = struct.Struct("<16I")
TAG_START = struct.Struct("<6I5Q")
EVENT = struct.Struct("<IIQ40sIIQQ")
SAMPLE = struct.Struct(f"<QIIII{SAMPLE_BYTES}s")
U32 = struct.Struct("<I")

SIZES = {
    "ports": (4, PORT.size),
    "domain": (4, DOMAIN.size),
    "prefixes": (PREFIX_KEY.size, 4),
    "prefixes_by_length": (LENGTH_KEY.size, 4),
    "prefixes6": (PREFIX6_KEY.size, 4),
    "classes": (4, 4),
    "rules": (FLOW_KEY.size, 4),
    "class_table": (4, CLASS_INFO.size),
    "class_demands": (CLASS_DEMAND_KEY.size, 4),
    "buckets": (4, 8),
    "edge_circuits": (4, EDGE_CIRCUIT.size),
    "hops": (4, HOP.size),
    "down": (4, 4),
    "keys": (4, KEY_SLOT.size),
    "customers": (CUSTOMER_KEY.size, KEY_SLOT.size),
    "grants": (GRANT_KEY.size, GRANT.size),
    "neighbours": (NEIGHBOUR_KEY.size, NEIGHBOUR.size),
    "instances": (INSTANCE_KEY.size, NEIGHBOUR.size),
    "services": (SERVICE_KEY.size, SERVICE.size),
    "backends": (4, BACKEND.size),
    "connections": (FLOW_KEY.size, CONNECTION.size),
    "replicas": (FLOW_KEY.size, REPLICA.size),
    "fresh_flows": (4, FRESH_FLOW.size),
    "budgets": (4, BUDGET.size),
    "flow_cache": (4, FLOW_SET.size),
    "flow_names": (4, FLOW_NAMES.size),
    "tag_cache": (4, TAG_SET.size),
    "tag_starts": (4, TAG_START.size),
    "tx_ports": (4, 4),
    "programs": (4, 4),
    "demand_counters": (4, 16),
    "circuit_counters": (4, 16),
    "class_counters": (4, 16),
    "reason_counters": (4, 16),
    "events": (0, 0),
    "samples": (0, 0),
}
MAP_NAMES = tuple(SIZES)


def processors() -> int:
    """Return how many processors the kernel keeps per-processor values for."""
    last = Path("/sys/devices/system/cpu/possible").read_text().strip().split(",")[-1]
    return int(last.split("-")[-1]) + 1


@dataclass(frozen=True, slots=True)
class Map:
    """An open map: raw bytes in and out."""

    name: str
    fd: int
    key_size: int
    value_size: int
    entries: int

    def get(self, key: bytes) -> bytes | None:
        """Return a key's value, or None."""
        return syscall.lookup(self.fd, key, self.value_size)

    def set(self, key: bytes, value: bytes) -> None:
        """Set a key's value."""
        syscall.update(self.fd, key, value)

    def remove(self, key: bytes) -> bool:
        """Remove a key; return whether it was there."""
        return syscall.delete(self.fd, key)

    def items(self) -> dict[bytes, bytes]:
        """Return all keys and values."""
        found = ((key, self.get(key)) for key in syscall.keys(self.fd, self.key_size))
        return {key: value for key, value in found if value is not None}

    def set_many(self, entries: Iterable[tuple[bytes, bytes]]) -> int:
        """Set many keys; return how many."""
        count = 0
        for key, value in entries:
            syscall.update(self.fd, key, value)
            count += 1
        return count


@dataclass(frozen=True, slots=True)
class Maps:
    """All maps of the data plane, opened from their pins."""

    ports: Map
    domain: Map
    prefixes: Map
    prefixes_by_length: Map
    prefixes6: Map
    classes: Map
    rules: Map
    class_table: Map
    class_demands: Map
    buckets: Map
    edge_circuits: Map
    hops: Map
    down: Map
    keys: Map
    customers: Map
    grants: Map
    neighbours: Map
    instances: Map
    services: Map
    backends: Map
    connections: Map
    replicas: Map
    fresh_flows: Map
    budgets: Map
    flow_cache: Map
    flow_names: Map
    tag_cache: Map
    tag_starts: Map
    tx_ports: Map
    programs: Map
    demand_counters: Map
    circuit_counters: Map
    class_counters: Map
    reason_counters: Map
    events: Map
    samples: Map

    def close(self) -> None:
        """Close the descriptors; the pins keep the maps."""
        for name in MAP_NAMES:
            os.close(getattr(self, name).fd)


def open_maps(pins: Path) -> Maps:
    """Open the maps pinned below ``pins``.

    Raises:
        BpfError: a pin is not there.
        LoadError: another version of the programs is pinned there.
    """
    found = {}
    for name in MAP_NAMES:
        fd = syscall.get(pins / "maps" / name)
        info = syscall.map_info(fd)
        if (info.key_size, info.value_size) != SIZES[name]:
            raise LoadError(
                f"the map {name} pinned below {pins} is of another version:"
                " take the old version off (foresteer detach) and start the agent again"
            )
        found[name] = Map(name, fd, info.key_size, info.value_size, info.max_entries)
    return Maps(**found)


def read_counters(counters: Map) -> NDArray[np.uint64]:
    """Read a per-processor counter map: uint64 [entries, 2], packets and bytes."""
    count_of = processors()
    _, values, count = syscall.lookup_batch(
        counters.fd, counters.entries, counters.key_size, counters.value_size * count_of
    )
    table = np.frombuffer(values, dtype="<u8").reshape(counters.entries, count_of, 2)
    total: NDArray[np.uint64] = table.sum(axis=1, dtype=np.uint64)
    total[count:] = 0
    return total


def mapped(array: Map, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Map an array into this process: [entries] of ``dtype``, what is written there is in force.

    The kernel keeps each value at a multiple of 8 bytes.
    """
    stride = -(-array.value_size // 8) * 8
    pages = -(-array.entries * stride // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(array.fd, pages)
    return np.ndarray((array.entries,), dtype, memory, 0, (stride,))


PORT_DTYPE = np.dtype(
    [
        ("engine", "<u4"),
        ("out_slot", "<u4"),
        ("max_frame", "<u4"),
        ("fallback", "<u4"),
        ("router_mac", "u1", 6),
        ("customer", "<u2"),
        ("sample", "<u4"),
    ]
)
FLOW_ENTRY_DTYPE = np.dtype(
    [
        ("saddr", "<u4"),
        ("daddr", "<u4"),
        ("ports", "<u4"),
        ("rest", "<u4"),
        ("revision", "<u4"),
        ("circuit", "<u4"),
        ("unused", "<u4"),
        ("demand", "<u2"),
        ("si", "u1"),
        ("unused_too", "u1"),
        ("c1", "<u4"),
        ("c2", "<u4"),
        ("c3", "<u4"),
        ("tag", "<u4"),
        ("packets", "<u4"),
        ("bytes", "<u4"),
        ("flushed", "<u4"),
        ("kind", "<u4"),
    ]
)
EVENT_DTYPE = np.dtype(
    [
        ("kind", "<u4"),
        ("engine", "<u4"),
        ("time_ns", "<u8"),
        ("flow", "V40"),
        ("backend", "<u4"),
        ("sequence", "<u4"),
        ("packets", "<u8"),
        ("bytes", "<u8"),
    ]
)
"""An event. Of an echo, ``backend`` is the engine that answered, ``packets`` when it was sent.

``sequence``: an echo's number; of an opened connection, how long its handshake took from the SYN to
the client's answer, in microseconds, 0 where it was not seen whole.
"""


def cache_processors() -> int:
    """Return how many processors have caches of their own: a power of two, 64 at most.

    Programs on processors beyond that work without.
    """
    return min(1 << (processors() - 1).bit_length(), MAX_CACHE_CPUS)


def padded(address: bytes) -> bytes:
    """Return 16 bytes for an address of 4 or 16, as keys hold it."""
    return address.ljust(16, b"\0")


def flow_key(
    source: bytes, destination: bytes, sport: int, dport: int, protocol: int, engine: int
) -> bytes:
    """Return the key of a flow; the addresses packed, 4 bytes (IPv4) or 16 (IPv6) long."""
    ports = struct.pack("!HH", sport, dport)
    return FLOW_KEY.pack(
        padded(source),
        padded(destination),
        *struct.unpack("<HH", ports),
        protocol,
        4 if len(source) == 4 else 6,
        engine,
    )

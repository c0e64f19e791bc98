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

MAX_ENGINES = 256
MAX_CIRCUITS = 16384
MAX_HOPS = 4
MAX_DEMANDS = 1024
BUCKETS = 256
REASON_SLOTS = 32

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
)

FALLBACK_PASS, FALLBACK_RETURN = 0, 1
HOP_NONE, HOP_DELIVER, HOP_FORWARD = 0, 1, 2

PORT = struct.Struct("<IIII6s2x")
PREFIX_KEY = struct.Struct("<II4s")
EDGE_CIRCUIT = struct.Struct("<IIIIB3x")
HOP = struct.Struct("<III6s6s")
KEY_SLOT = struct.Struct("<QQII")
DOMAIN = struct.Struct("<II")
NEIGHBOUR_KEY = struct.Struct("<I4s")
NEIGHBOUR = struct.Struct("<6s2xI")
U32 = struct.Struct("<I")

SIZES = {
    "ports": (4, PORT.size),
    "prefixes": (PREFIX_KEY.size, 4),
    "buckets": (4, 4),
    "edge_circuits": (4, EDGE_CIRCUIT.size),
    "hops": (4, HOP.size),
    "keys": (4, KEY_SLOT.size),
    "domain": (4, DOMAIN.size),
    "neighbours": (NEIGHBOUR_KEY.size, NEIGHBOUR.size),
    "tx_ports": (4, 4),
    "demand_counters": (4, 16),
    "circuit_counters": (4, 16),
    "reason_counters": (4, 16),
}
MAP_NAMES = tuple(SIZES)


def _processors() -> int:
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
    prefixes: Map
    buckets: Map
    edge_circuits: Map
    hops: Map
    keys: Map
    domain: Map
    neighbours: Map
    tx_ports: Map
    demand_counters: Map
    circuit_counters: Map
    reason_counters: Map

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
                " stop the agent, run `foresteer clean`, and start it again"
            )
        found[name] = Map(name, fd, info.key_size, info.value_size, info.max_entries)
    return Maps(**found)


def read_counters(counters: Map) -> NDArray[np.uint64]:
    """Read a per-processor counter map: uint64 [entries, 2], packets and bytes."""
    processors = _processors()
    _, values, count = syscall.lookup_batch(
        counters.fd, counters.entries, counters.key_size, counters.value_size * processors
    )
    table = np.frombuffer(values, dtype="<u8").reshape(counters.entries, processors, 2)
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

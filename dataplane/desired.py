"""Holding the maps to a desired state: by difference to what the kernel has, and read back."""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataplane.maps import (
    BUCKETS,
    DOMAIN,
    HOP_DELIVER,
    HOP_FORWARD,
    MAX_CIRCUITS,
    MAX_DEMANDS,
    MAX_HOPS,
    NEIGHBOUR,
    NEIGHBOUR_KEY,
    PREFIX_KEY,
    U32,
    Maps,
    mapped,
)
from dataplane.ports import Attached
from headers.messages import ApplyEngines, EngineDesired

EDGE_DTYPE = np.dtype(
    [("active", "<u4"), ("engine", "<u4"), ("c1", "<u4"), ("c2", "<u4"), ("si", "<u4")]
)
HOP_DTYPE = np.dtype(
    [
        ("action", "<u4"),
        ("engine", "<u4"),
        ("out_slot", "<u4"),
        ("dst_mac", "u1", 6),
        ("src_mac", "u1", 6),
    ]
)
_ADDRESS_BITS = 32

Table = NDArray[Any]


class RefusedError(ValueError):
    """A desired state that cannot be held; nothing of it was written."""


@dataclass(slots=True)
class Written:
    """What applying a state did."""

    written: int = 0
    removed: int = 0
    moved_buckets: int = 0
    mismatches: int = 0


@dataclass(slots=True)
class _Tables:
    """The content that the maps should have."""

    buckets: Table
    edges: Table
    hops: Table
    prefixes: dict[bytes, bytes] = field(default_factory=dict)
    neighbours: dict[bytes, bytes] = field(default_factory=dict)


def mac_bytes(mac: str) -> bytes:
    """Return six bytes for ``aa:bb:cc:dd:ee:ff``.

    Raises:
        RefusedError: it is no MAC address.
    """
    try:
        packed = bytes.fromhex(mac.replace(":", ""))
    except ValueError as error:
        raise RefusedError(f"{mac!r} is no MAC address") from error
    if len(packed) != 6:
        raise RefusedError(f"{mac!r} is no MAC address")
    return packed


def prefix_key(engine: int, prefix: str) -> bytes:
    """Return the key of a prefix of an engine.

    Raises:
        RefusedError: it is no IPv4 prefix.
    """
    try:
        network = ipaddress.IPv4Network(prefix)
    except ValueError as error:
        raise RefusedError(f"{prefix!r} is no IPv4 prefix") from error
    # the engine's number stands before the address, most significant byte first
    number = int.from_bytes(engine.to_bytes(4, "big"), "little")
    return PREFIX_KEY.pack(
        _ADDRESS_BITS + network.prefixlen, number, network.network_address.packed
    )


def prefix_of(key: bytes) -> tuple[int, str]:
    """Return the engine's number and the prefix of a key."""
    length, number, address = PREFIX_KEY.unpack(key)
    engine = int.from_bytes(number.to_bytes(4, "little"), "big")
    return engine, f"{ipaddress.IPv4Address(address)}/{length - _ADDRESS_BITS}"


def _differ(one: Table, other: Table) -> NDArray[np.bool_]:
    """Return where two tables differ; compared as words, much faster than field by field."""
    left = np.ascontiguousarray(one).view("<u4").reshape(len(one), -1)
    right = np.ascontiguousarray(other).view("<u4").reshape(len(other), -1)
    different: NDArray[np.bool_] = (left != right).any(axis=1)
    return different


def _circuit(spi: int) -> int:
    if not 0 < spi < MAX_CIRCUITS:
        raise RefusedError(f"circuit {spi} is not between 1 and {MAX_CIRCUITS - 1}")
    return spi


class State:
    """The desired state of all engines of this machine, and the maps that hold it."""

    def __init__(self, maps: Maps, engines: Mapping[int, Attached]) -> None:
        self._maps = maps
        self._engines = engines
        self._buckets = mapped(maps.buckets, np.dtype("<u4"))
        self._edges = mapped(maps.edge_circuits, EDGE_DTYPE)
        self._hops = mapped(maps.hops, HOP_DTYPE)
        self.term = 0
        self.generation = 0

    def slots(self) -> dict[bytes, int]:
        """Return the demand slot of every prefix that the kernel holds, by key."""
        return {key: U32.unpack(value)[0] for key, value in self._maps.prefixes.items().items()}

    def apply(self, wanted: ApplyEngines) -> Written:
        """Hold the maps to ``wanted``; whatever is right already is not touched.

        Circuits are there before buckets lead to them, and go after.

        Raises:
            RefusedError: an older term, or a state that cannot be held; nothing was written.
        """
        if wanted.term < self.term:
            raise RefusedError(f"term {wanted.term} is over; this is term {self.term}")
        slots = self.slots()
        tables = self._tables(wanted, slots)
        self.term, self.generation = wanted.term, wanted.generation
        maps = self._maps
        done = Written()
        maps.domain.set(U32.pack(0), DOMAIN.pack(wanted.epoch, wanted.forecast & 0xFFFFFF))
        self._neighbours(tables.neighbours, done)
        other_hops = _differ(tables.hops, self._hops)
        other_edges = _differ(tables.edges, self._edges)
        there = tables.hops["action"] != 0, tables.edges["active"] != 0
        done.written += _write(self._hops, tables.hops, other_hops & there[0])
        done.written += _write(self._edges, tables.edges, other_edges & there[1])
        moved = tables.buckets != self._buckets
        done.moved_buckets = _write(self._buckets, tables.buckets, moved)
        for key, value in tables.prefixes.items():
            if slots.get(key) != U32.unpack(value)[0]:
                maps.prefixes.set(key, value)
                done.written += 1
        for key in slots.keys() - tables.prefixes.keys():
            maps.prefixes.remove(key)
            done.removed += 1
        done.removed += _write(self._edges, tables.edges, other_edges & ~there[1])
        done.removed += _write(self._hops, tables.hops, other_hops & ~there[0])
        done.mismatches = self._differences(tables)
        return done

    def _tables(self, wanted: ApplyEngines, slots: Mapping[bytes, int]) -> _Tables:
        tables = _Tables(
            np.zeros(MAX_DEMANDS * BUCKETS, np.uint32),
            np.zeros(MAX_CIRCUITS, EDGE_DTYPE),
            np.zeros(MAX_CIRCUITS * MAX_HOPS, HOP_DTYPE),
        )
        router = mac_bytes(wanted.router_mac)
        free = iter(sorted(set(range(MAX_DEMANDS)) - set(slots.values())))
        for engine in wanted.engines:
            attached = self._engines.get(engine.number)
            if attached is None:
                raise RefusedError(f"engine number {engine.number} is not served by this agent")
            self._fill_demands(engine, tables, slots, free)
            self._fill_circuits(engine, attached, tables, router)
        return tables

    @staticmethod
    def _fill_demands(
        engine: EngineDesired, tables: _Tables, slots: Mapping[bytes, int], free: Iterable[int]
    ) -> None:
        for demand in engine.demands:
            key = prefix_key(engine.number, demand.prefix)
            slot = slots.get(key)
            if slot is None:
                slot = next(iter(free), None)
            if slot is None:
                raise RefusedError(f"more than {MAX_DEMANDS} demands on one machine")
            if len(demand.buckets) != BUCKETS:
                raise RefusedError(f"{demand.prefix}: {len(demand.buckets)} buckets, not {BUCKETS}")
            if not all(0 <= spi < MAX_CIRCUITS for spi in demand.buckets):
                raise RefusedError(f"{demand.prefix}: a bucket names a circuit that cannot be")
            tables.prefixes[key] = U32.pack(slot)
            tables.buckets[slot * BUCKETS : (slot + 1) * BUCKETS] = demand.buckets

    @staticmethod
    def _fill_circuits(
        engine: EngineDesired, attached: Attached, tables: _Tables, router: bytes
    ) -> None:
        for circuit in engine.circuits:
            if not 0 < circuit.si < MAX_HOPS:
                raise RefusedError(f"circuit {circuit.spi}: service index {circuit.si}")
            tables.edges[_circuit(circuit.spi)] = (
                1,
                engine.number,
                circuit.c1,
                circuit.c2,
                circuit.si,
            )
        for hop in engine.hops:
            if not 0 < hop.si < MAX_HOPS:
                raise RefusedError(f"circuit {hop.spi}: service index {hop.si}")
            tables.hops[_circuit(hop.spi) * MAX_HOPS + hop.si] = (
                HOP_DELIVER if hop.deliver else HOP_FORWARD,
                engine.number,
                attached.slot(0),
                list(mac_bytes(hop.next_mac)),
                list(router),
            )
        for neighbour in engine.neighbours:
            try:
                address = ipaddress.IPv4Address(neighbour.address).packed
            except ValueError as error:
                raise RefusedError(f"{neighbour.address!r} is no IPv4 address") from error
            tables.neighbours[NEIGHBOUR_KEY.pack(engine.number, address)] = NEIGHBOUR.pack(
                mac_bytes(neighbour.mac), attached.slot(1)
            )

    def _neighbours(self, wanted: Mapping[bytes, bytes], done: Written) -> None:
        actual = self._maps.neighbours.items()
        for key, value in wanted.items():
            if actual.get(key) != value:
                self._maps.neighbours.set(key, value)
                done.written += 1
        for key in actual.keys() - wanted.keys():
            self._maps.neighbours.remove(key)
            done.removed += 1

    def _differences(self, tables: _Tables) -> int:
        """Read everything back and count what is not as it should be."""
        return int(
            (tables.buckets != self._buckets).sum()
            + _differ(tables.edges, self._edges).sum()
            + _differ(tables.hops, self._hops).sum()
            + (tables.prefixes != self._maps.prefixes.items())
            + (tables.neighbours != self._maps.neighbours.items())
        )


def _write(array: Table, table: Table, where: NDArray[np.bool_]) -> int:
    """Set the entries that differ; return how many. A single word is set in one store."""
    array[where] = table[where]
    return int(where.sum())

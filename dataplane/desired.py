"""Holding the maps to a desired state: by difference to what the kernel has, and read back."""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataplane.maps import (
    BUCKETS,
    CLASS_BY_DESTINATION_PORT,
    CLASS_BY_DSCP,
    CLASS_BY_SOURCE_PORT,
    CLASS_DEMAND_KEY,
    DEMAND_CLASSES,
    DEMAND_MORE,
    DEMAND_SLOT,
    DEMAND_VIRTUAL,
    DOMAIN_DSCP_CLASSES,
    DOMAIN_PORT_CLASSES,
    DOMAIN_REPLICAS,
    DOMAIN_RULES,
    GRANT,
    GRANT_KEY,
    HOP_DELIVER,
    HOP_FORWARD,
    INSTANCE_KEY,
    LENGTH_KEY,
    LENGTHS_MANY,
    LENGTHS_MOST,
    MAX_BACKENDS,
    MAX_CIRCUITS,
    MAX_CLASSES,
    MAX_DEMANDS,
    MAX_ENGINES,
    MAX_HOPS,
    NEIGHBOUR,
    NEIGHBOUR_KEY,
    PREFIX6_KEY,
    PREFIX_KEY,
    SERVICE,
    SERVICE_KEY,
    U32,
    Map,
    Maps,
    flow_key,
    mapped,
    padded,
)
from dataplane.ports import Attached
from headers.messages import (
    ApplicationClass,
    ApplyEngines,
    Backend,
    EngineDesired,
    FlowRule,
    Grant,
    Service,
)

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
WAY_DTYPE = np.dtype([("backend", "<u4"), ("engine", "<u4"), ("instance", "<u4")])
BACKEND_DTYPE = np.dtype([("active", "<u4"), ("slot", "<u4"), ("c1", "<u4"), ("unused", "<u4")])
CLASS_DTYPE = np.dtype([("application", "<u2"), ("priority", "<u2")])
DOMAIN_DTYPE = np.dtype(
    [
        ("hash_seed", "<u8"),
        ("c3", "<u4"),
        ("revision", "<u4"),
        ("insert_rate", "<u4"),
        ("flags", "<u4"),
        ("lengths", "<u4"),
        ("unused", "<u4"),
    ]
)
_HASHES = (
    "instances",
    "neighbours",
    "classes",
    "rules",
    "class_demands",
    "grants",
    "services",
    "prefixes",
    "prefixes_by_length",
    "prefixes6",
)
"""The maps with keys, in the order in which they are written; they are removed in the other."""

Table = NDArray[Any]
Owner = tuple[str, Any]
"""What holds a bucket table: ("prefix", key), ("class", key), ("service", key), ("backend", n)."""


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
    backends: Table
    classes: Table
    hashes: dict[str, dict[bytes, bytes]] = field(
        default_factory=lambda: {name: {} for name in _HASHES}
    )


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


def address_bytes(address: str) -> bytes:
    """Return the 4 or 16 bytes of an address.

    Raises:
        RefusedError: it is none.
    """
    try:
        return ipaddress.ip_address(address).packed
    except ValueError as error:
        raise RefusedError(f"{address!r} is no IP address") from error


def prefix_key(engine: int, prefix: str) -> bytes:
    """Return the key of an engine's prefix: 12 bytes for IPv4, 24 for IPv6.

    Raises:
        RefusedError: it is no prefix.
    """
    try:
        network = ipaddress.ip_network(prefix)
    except ValueError as error:
        raise RefusedError(f"{prefix!r} is no IP prefix") from error
    # the engine's number stands before the address, most significant byte first
    number = int.from_bytes(engine.to_bytes(4, "big"), "little")
    layout = PREFIX_KEY if network.version == 4 else PREFIX6_KEY
    return layout.pack(32 + network.prefixlen, number, network.network_address.packed)


def prefix_of(key: bytes) -> tuple[int, str]:
    """Return the engine's number and the prefix of a key."""
    layout = PREFIX_KEY if len(key) == PREFIX_KEY.size else PREFIX6_KEY
    length, number, address = layout.unpack(key)
    engine = int.from_bytes(number.to_bytes(4, "little"), "big")
    return engine, f"{ipaddress.ip_address(address)}/{length - 32}"


def length_key(key: bytes) -> bytes:
    """Return the key of an IPv4 prefix among those of its length."""
    length, engine, address = PREFIX_KEY.unpack(key)
    return LENGTH_KEY.pack(engine, address, length - 32)


def lengths_word(prefixes: Iterable[bytes]) -> int:
    """Return the lengths of IPv4 prefixes (their keys) as one word: see dataplane/bpf/maps.h."""
    lengths = sorted({PREFIX_KEY.unpack(key)[0] - 32 for key in prefixes}, reverse=True)
    if len(lengths) > LENGTHS_MOST:
        return LENGTHS_MANY
    return sum(length + 1 << 8 * place for place, length in enumerate(lengths))


def vlan_bytes(vlan: int) -> bytes:
    """Return a VLAN's tag as it lies in the frame.

    Raises:
        RefusedError: not between 0 (none) and 4094.
    """
    if not 0 <= vlan < 4095:
        raise RefusedError(f"VLAN {vlan} is not between 0 and 4094")
    return vlan.to_bytes(2, "big")


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


def _pairs(
    what: str, first: tuple[int, ...], second: tuple[int, ...], limit: int
) -> NDArray[np.uint64]:
    """Return a bucket table's 256 words: what to use in the low half, its backup in the high."""
    for numbers in (first, second):
        if len(numbers) != BUCKETS and (numbers or numbers is first):
            raise RefusedError(f"{what}: {len(numbers)} buckets, not {BUCKETS}")
        if not all(0 <= number < limit for number in numbers):
            raise RefusedError(f"{what}: a bucket names what cannot be")
    low = np.array(first, np.uint64)
    high = np.array(second or (0,) * BUCKETS, np.uint64)
    pairs: NDArray[np.uint64] = low | high << np.uint64(32)
    return pairs


class _Slots:
    """Bucket tables by owner: who has one keeps it, and so its counters."""

    def __init__(self, held: Mapping[Owner, int]) -> None:
        self.held = dict(held)
        self._free = iter(sorted(set(range(MAX_DEMANDS)) - set(held.values())))

    def of(self, owner: Owner) -> int:
        slot = self.held.get(owner)
        if slot is None:
            slot = next(self._free, None)
            if slot is None:
                raise RefusedError(
                    f"more than {MAX_DEMANDS} demands, services and backends on one machine"
                )
            self.held[owner] = slot
        return slot


class State:
    """The desired state of all engines of this machine, and the maps that hold it."""

    def __init__(self, maps: Maps, engines: Mapping[int, Attached]) -> None:
        self._maps = maps
        self._engines = engines
        self._buckets = mapped(maps.buckets, np.dtype("<u8"))
        self._edges = mapped(maps.edge_circuits, EDGE_DTYPE)
        self._hops = mapped(maps.hops, HOP_DTYPE)
        self._backends = mapped(maps.backends, BACKEND_DTYPE)
        self._classes = mapped(maps.class_table, CLASS_DTYPE)
        self._domain = mapped(maps.domain, DOMAIN_DTYPE)
        self._down = mapped(maps.down, np.dtype("<u4"))
        self.term = 0
        self.generation = 0

    def slots(self) -> dict[Owner, int]:
        """Return every bucket table's owner and number, as the kernel has them."""
        found: dict[Owner, int] = {}
        for name in ("prefixes", "prefixes6"):
            for key, value in self._hash(name).items().items():
                if not U32.unpack(value)[0] & (DEMAND_VIRTUAL | DEMAND_MORE):
                    found["prefix", key] = U32.unpack(value)[0] & DEMAND_SLOT
        for key, value in self._maps.class_demands.items().items():
            found["class", key] = U32.unpack(value)[0]
        for key, value in self._maps.services.items().items():
            found["service", key] = SERVICE.unpack(value)[0]
        for number in np.nonzero(self._backends["active"])[0]:
            found["backend", int(number)] = int(self._backends["slot"][number])
        return found

    def _hash(self, name: str) -> Map:
        found: Map = getattr(self._maps, name)
        return found

    def ways(self) -> NDArray[np.void]:
        """Return what backends stand for, as the programs have it: WAY_DTYPE [n].

        ``engine``: at which engine a backend's circuits begin, or which one it is behind where it
        needs none; 0 where that is none of this machine's. ``instance``: the header's C1.
        """
        numbers = np.nonzero(self._backends["active"])[0]
        ways = np.zeros(len(numbers), WAY_DTYPE)
        ways["backend"], ways["instance"] = numbers, self._backends["c1"][numbers]
        first = self._buckets[self._backends["slot"][numbers].astype(np.int64) * BUCKETS]
        circuits = (first & 0xFFFFFFFF).astype(np.int64)
        begins = self._edges["engine"][circuits] * (self._edges["active"][circuits] != 0)
        ways["engine"] = np.where(circuits == 0, ways["instance"] >> 16, begins)
        return ways

    def set_seed(self, seed: int) -> None:
        """Set the flow hash's 64-bit seed: one in a domain, known to nobody else."""
        if int(self._domain["hash_seed"][0]) != seed:
            self._domain["hash_seed"][0] = seed
            self.renew()

    def renew(self) -> None:
        """Have the programs forget what they cached: something that it rests on has changed."""
        revision = int(self._domain["revision"][0])
        self._domain["revision"][0] = revision % 0xFFFFFFFF + 1

    def mark_down(self, engine: int, *, down: bool) -> None:
        """Say that an engine's data plane is down, or up: edges use their backups, or do not."""
        if 0 <= engine < MAX_ENGINES and self.is_down(engine) != down:
            self._down[engine] = int(down)
            self.renew()

    def is_down(self, engine: int) -> bool:
        """Return what was last said of an engine."""
        return 0 <= engine < MAX_ENGINES and bool(self._down[engine])

    def use_replicas(self, *, used: bool) -> None:
        """Have balance look at replicated connections, or not."""
        flags = int(self._domain["flags"][0])
        wanted = flags & ~DOMAIN_REPLICAS | (DOMAIN_REPLICAS if used else 0)
        if wanted != flags:
            self._domain["flags"][0] = wanted
            self.renew()

    def epoch(self) -> int:
        """Return the key epoch that packets are marked with."""
        return int(self._domain["c3"][0]) >> 24

    def check(self, wanted: ApplyEngines) -> None:
        """Refuse what is out of date, before anything is done for it.

        Raises:
            RefusedError: an older term, or a rate that cannot be.
        """
        if wanted.term < self.term:
            raise RefusedError(f"term {wanted.term} is over; this is term {self.term}")
        if not 0 <= wanted.insert_rate < 1 << 32:
            raise RefusedError(f"insert_rate {wanted.insert_rate} does not fit 32 bits")

    def apply(self, wanted: ApplyEngines) -> Written:
        """Hold the maps to ``wanted``; whatever is right already is not touched.

        What packets are led to is there before they are led, and goes after.

        Raises:
            RefusedError: an older term, or a state that cannot be held; nothing was written.
        """
        self.check(wanted)
        tables = self._tables(wanted, _Slots(self.slots()))
        self.term, self.generation = wanted.term, wanted.generation
        done = Written()
        actual = {name: self._hash(name).items() for name in _HASHES}
        arrays = (
            (self._hops, tables.hops, "action"),
            (self._edges, tables.edges, "active"),
            (self._backends, tables.backends, "active"),
        )
        differ = [_differ(table, array) for array, table, _ in arrays]
        there = [table[name] != 0 for _, table, name in arrays]
        for (array, table, _), other, here in zip(arrays, differ, there, strict=True):
            done.written += _write(array, table, other & here)
        classes = tables.classes != self._classes
        done.written += _write(self._classes, tables.classes, classes)
        moved = tables.buckets != self._buckets
        done.moved_buckets = _write(self._buckets, tables.buckets, moved)
        for name in _HASHES:
            done.written += self._hash(name).set_many(
                (key, value)
                for key, value in tables.hashes[name].items()
                if actual[name].get(key) != value
            )
        gone = [(name, actual[name].keys() - tables.hashes[name].keys()) for name in _HASHES[::-1]]
        lengths = lengths_word(tables.hashes["prefixes"])
        changed = bool(done.written or done.moved_buckets or any(keys for _, keys in gone))
        self._write_domain(wanted, lengths, changed=changed)
        for name, keys in gone:
            done.removed += sum(self._hash(name).remove(key) for key in keys)
        for (array, table, _), other, here in list(zip(arrays, differ, there, strict=True))[::-1]:
            done.removed += _write(array, table, other & ~here)
        if done.removed:
            # what was cached since the first time may rest on what has just gone
            self.renew()
        done.mismatches = self._differences(tables)
        return done

    def _write_domain(self, wanted: ApplyEngines, lengths: int, *, changed: bool) -> None:
        self._domain["lengths"][0] = lengths
        c3 = (wanted.epoch & 0xFF) << 24 | wanted.forecast & 0xFFFFFF
        changed |= c3 != int(self._domain["c3"][0])
        self._domain["c3"][0] = c3
        self._domain["insert_rate"][0] = wanted.insert_rate
        flags = int(self._domain["flags"][0]) & DOMAIN_REPLICAS
        flags |= DOMAIN_RULES if wanted.rules else 0
        if any(each.ports or each.source_ports for each in wanted.classes):
            flags |= DOMAIN_PORT_CLASSES
        flags |= DOMAIN_DSCP_CLASSES if any(each.dscp for each in wanted.classes) else 0
        self._domain["flags"][0] = flags
        if changed or not int(self._domain["revision"][0]):
            self.renew()

    def _tables(self, wanted: ApplyEngines, slots: _Slots) -> _Tables:
        tables = _Tables(
            np.zeros(MAX_DEMANDS * BUCKETS, np.uint64),
            np.zeros(MAX_CIRCUITS, EDGE_DTYPE),
            np.zeros(MAX_CIRCUITS * MAX_HOPS, HOP_DTYPE),
            np.zeros(MAX_BACKENDS, BACKEND_DTYPE),
            np.zeros(MAX_CLASSES, CLASS_DTYPE),
        )
        router = mac_bytes(wanted.router_mac)
        for engine in wanted.engines:
            attached = self._engines.get(engine.number)
            if attached is None:
                raise RefusedError(f"engine number {engine.number} is not served by this agent")
            _fill_demands(engine, tables, slots)
            _fill_circuits(engine, attached, tables, router)
            _fill_hosts(engine, attached, tables)
            for service in engine.services:
                _fill_service(engine.number, service, tables, slots)
        for backend in wanted.backends:
            _fill_backend(backend, tables, slots)
        for application in wanted.classes:
            _fill_class(application, tables)
        for rule in wanted.rules:
            _fill_rule(rule, tables)
        for grant in wanted.grants:
            _fill_grant(grant, tables)
        tables.hashes["prefixes_by_length"] = {
            length_key(key): value for key, value in tables.hashes["prefixes"].items()
        }
        for name in _HASHES:
            if len(tables.hashes[name]) > self._hash(name).entries:
                raise RefusedError(f"{name}: more than {self._hash(name).entries} entries")
        return tables

    def _differences(self, tables: _Tables) -> int:
        """Read everything back and count what is not as it should be."""
        return int(
            (tables.buckets != self._buckets).sum()
            + _differ(tables.edges, self._edges).sum()
            + _differ(tables.hops, self._hops).sum()
            + _differ(tables.backends, self._backends).sum()
            + (tables.classes != self._classes).sum()
            + sum(tables.hashes[name] != self._hash(name).items() for name in _HASHES)
        )


def _fill_demands(engine: EngineDesired, tables: _Tables, slots: _Slots) -> None:
    split = {demand.prefix for demand in engine.demands if demand.application_class}
    numbers: dict[str, int] = {}
    for demand in engine.demands:
        if demand.application_class:
            continue
        key = prefix_key(engine.number, demand.prefix)
        slot = numbers[demand.prefix] = slots.of(("prefix", key))
        value = slot | (DEMAND_CLASSES if demand.prefix in split else 0)
        _put_prefix(tables, key, demand.prefix, value)
        for prefix in demand.more:
            _put_prefix(tables, prefix_key(engine.number, prefix), prefix, value | DEMAND_MORE)
        _fill_buckets(tables, slot, demand.prefix, demand.buckets, demand.backups, MAX_CIRCUITS)
    for demand in engine.demands:
        if not demand.application_class:
            continue
        if demand.prefix not in numbers:
            raise RefusedError(f"{demand.prefix}: a class's demand, and none for the rest")
        number = _class(demand.application_class)
        key = CLASS_DEMAND_KEY.pack(numbers[demand.prefix], number)
        slot = slots.of(("class", key))
        tables.hashes["class_demands"][key] = U32.pack(slot)
        _fill_buckets(tables, slot, demand.prefix, demand.buckets, demand.backups, MAX_CIRCUITS)


def _put_prefix(tables: _Tables, key: bytes, prefix: str, value: int) -> None:
    held = tables.hashes["prefixes" if len(key) == PREFIX_KEY.size else "prefixes6"]
    if key in held:
        raise RefusedError(f"{prefix}: more than one demand of one engine")
    held[key] = U32.pack(value)


def _fill_buckets(
    tables: _Tables,
    slot: int,
    what: str,
    first: tuple[int, ...],
    second: tuple[int, ...],
    limit: int,
) -> None:
    tables.buckets[slot * BUCKETS : (slot + 1) * BUCKETS] = _pairs(what, first, second, limit)


def _fill_circuits(
    engine: EngineDesired, attached: Attached, tables: _Tables, router: bytes
) -> None:
    for circuit in engine.circuits:
        if not 0 < circuit.si < MAX_HOPS:
            raise RefusedError(f"circuit {circuit.spi}: service index {circuit.si}")
        if tables.edges["active"][_circuit(circuit.spi)]:
            raise RefusedError(f"circuit {circuit.spi} begins at two engines")
        tables.edges[circuit.spi] = (
            1,
            engine.number,
            circuit.c1,
            circuit.c2,
            circuit.si,
        )
    for hop in engine.hops:
        if not 0 < hop.si < MAX_HOPS:
            raise RefusedError(f"circuit {hop.spi}: service index {hop.si}")
        place = _circuit(hop.spi) * MAX_HOPS + hop.si
        if tables.hops["action"][place]:
            raise RefusedError(
                f"circuit {hop.spi}, service index {hop.si}: two engines of one machine claim it"
            )
        tables.hops[place] = (
            HOP_DELIVER if hop.deliver else HOP_FORWARD,
            engine.number,
            attached.slot(0),
            list(mac_bytes(hop.next_mac)),
            list(router),
        )


def _fill_hosts(engine: EngineDesired, attached: Attached, tables: _Tables) -> None:
    for neighbour in engine.neighbours:
        address = address_bytes(neighbour.address)
        key = NEIGHBOUR_KEY.pack(engine.number, 4 if len(address) == 4 else 6, padded(address))
        tables.hashes["neighbours"][key] = NEIGHBOUR.pack(
            mac_bytes(neighbour.mac), vlan_bytes(neighbour.vlan), attached.slot(1)
        )
    for instance in engine.instances:
        if not 0 < instance.number < 1 << 16:
            raise RefusedError(f"instance {instance.number} is not between 1 and 65535")
        tables.hashes["instances"][INSTANCE_KEY.pack(engine.number, instance.number)] = (
            NEIGHBOUR.pack(mac_bytes(instance.mac), vlan_bytes(instance.vlan), attached.slot(1))
        )


def service_key(engine: int, service: Service) -> bytes:
    """Return the key of a service.

    Raises:
        RefusedError: its address, protocol or port cannot be.
    """
    address = address_bytes(service.address)
    if service.protocol not in (6, 17) or not 0 < service.port < 1 << 16:
        raise RefusedError(
            f"service {service.address}: protocol {service.protocol} port {service.port} is neither"
            " TCP (6) nor UDP (17) with a port"
        )
    return SERVICE_KEY.pack(
        engine,
        service.port.to_bytes(2, "big"),
        service.protocol,
        4 if len(address) == 4 else 6,
        padded(address),
    )


def service_of(key: bytes) -> tuple[int, str, int, int]:
    """Return the engine's number, the address, the protocol and the port of a service's key."""
    engine, port, protocol, family, address = SERVICE_KEY.unpack(key)
    packed = address[:4] if family == 4 else address
    return engine, str(ipaddress.ip_address(packed)), protocol, int.from_bytes(port, "big")


def _fill_service(engine: int, service: Service, tables: _Tables, slots: _Slots) -> None:
    key = service_key(engine, service)
    slot = slots.of(("service", key))
    number = _class(service.application_class) if service.application_class else 0
    tables.hashes["services"][key] = SERVICE.pack(slot, number)
    length = 8 * len(address_bytes(service.address))
    prefix = prefix_key(engine, f"{service.address}/{length}")
    name = "prefixes" if length == 32 else "prefixes6"
    known = tables.hashes[name].get(prefix)
    if known is not None and not U32.unpack(known)[0] & DEMAND_VIRTUAL:
        raise RefusedError(f"{service.address} is both a demand's prefix and a service's address")
    tables.hashes[name][prefix] = U32.pack(DEMAND_VIRTUAL)
    _fill_buckets(tables, slot, service.address, service.buckets, service.backups, MAX_BACKENDS)


def _fill_backend(backend: Backend, tables: _Tables, slots: _Slots) -> None:
    if not 0 < backend.number < MAX_BACKENDS:
        raise RefusedError(f"backend {backend.number} is not between 1 and {MAX_BACKENDS - 1}")
    if not 0 <= backend.engine < MAX_ENGINES or not 0 < backend.instance < 1 << 16:
        raise RefusedError(
            f"backend {backend.number}: engine {backend.engine}, instance {backend.instance}"
        )
    if tables.backends["active"][backend.number]:
        raise RefusedError(f"backend {backend.number} occurs twice")
    slot = slots.of(("backend", backend.number))
    tables.backends[backend.number] = (1, slot, backend.engine << 16 | backend.instance, 0)
    if backend.buckets:
        what = f"backend {backend.number}"
        _fill_buckets(tables, slot, what, backend.buckets, backend.backups, MAX_CIRCUITS)


def _class(number: int) -> int:
    if not 0 < number < MAX_CLASSES:
        raise RefusedError(f"application class {number} is not between 1 and {MAX_CLASSES - 1}")
    return number


def _fill_class(application: ApplicationClass, tables: _Tables) -> None:
    number = _class(application.number)
    if not 0 <= application.application < 1 << 16 or not 0 <= application.priority < 16:
        raise RefusedError(
            f"class {number}: application {application.application},"
            f" priority {application.priority}"
        )
    tables.classes[number] = (application.application, application.priority)
    keys = [
        kind | protocol << 16 | port
        for kind, pairs in (
            (CLASS_BY_DESTINATION_PORT, application.ports),
            (CLASS_BY_SOURCE_PORT, application.source_ports),
        )
        for protocol, port in pairs
        if _checked_port(number, protocol, port)
    ]
    if not all(0 <= dscp < 64 for dscp in application.dscp):
        raise RefusedError(f"class {number}: a DSCP is not between 0 and 63")
    keys += [CLASS_BY_DSCP | dscp for dscp in application.dscp]
    for key in keys:
        if U32.pack(key) in tables.hashes["classes"]:
            raise RefusedError(f"class {number}: what it matches belongs to another class already")
        tables.hashes["classes"][U32.pack(key)] = U32.pack(number)


def _checked_port(number: int, protocol: int, port: int) -> bool:
    if protocol not in (6, 17) or not 0 <= port < 1 << 16:
        raise RefusedError(f"class {number}: protocol {protocol}, port {port}")
    return True


def _fill_rule(rule: FlowRule, tables: _Tables) -> None:
    source, destination = address_bytes(rule.source), address_bytes(rule.destination)
    fits = (
        len(source) == len(destination)
        and 0 <= rule.engine < MAX_ENGINES
        and 0 <= rule.protocol < 256
        and 0 <= rule.source_port < 1 << 16
        and 0 <= rule.destination_port < 1 << 16
    )
    if not fits:
        raise RefusedError(f"rule for {rule.source} to {rule.destination}: a value cannot be")
    key = flow_key(
        source,
        destination,
        rule.source_port,
        rule.destination_port,
        rule.protocol,
        rule.engine,
    )
    tables.hashes["rules"][key] = U32.pack(_class(rule.application_class))


def _fill_grant(grant: Grant, tables: _Tables) -> None:
    fits = (
        0 < grant.customer < 1 << 16
        and 0 < grant.circuit < 1 << 23
        and 0 <= grant.max_priority < 16
    )
    if not fits:
        raise RefusedError(f"grant {grant}: a value cannot be")
    tables.hashes["grants"][GRANT_KEY.pack(grant.customer, grant.circuit)] = GRANT.pack(
        _circuit(grant.stands_for), grant.max_priority
    )


def _write(array: Table, table: Table, where: NDArray[np.bool_]) -> int:
    """Set the entries that differ; return how many. A single word is set in one store."""
    array[where] = table[where]
    return int(where.sum())

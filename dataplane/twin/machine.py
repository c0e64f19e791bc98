"""mark, steer and balance, one packet at a time."""

import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from dataplane.maps import (
    BUCKETS,
    CLASS_BY_DESTINATION_PORT,
    CLASS_BY_DSCP,
    CLASS_BY_SOURCE_PORT,
    CONNECTION_CLOSING,
    CONNECTION_OPEN,
    DEMAND_CLASSES,
    DEMAND_SLOT,
    DEMAND_VIRTUAL,
    DOMAIN_REPLICAS,
    DOMAIN_RULES,
    EVENT,
    EVENT_CLOSED,
    EVENT_ECHO,
    EVENT_OPENED,
    FALLBACK_DROP,
    FALLBACK_RETURN,
    FRESH,
    HOP_DELIVER,
    HOP_FORWARD,
    MAX_CIRCUITS,
    MAX_CLASSES,
    MAX_HOPS,
)
from dataplane.twin.packets import (
    ECHO_BYTES,
    FIN,
    IPV4,
    IPV6,
    L2_PLAIN,
    L2_VLAN,
    RST,
    SYN,
    VLAN,
    Parsed,
    decrement_ttl,
    ether_type,
    flow_hash,
    parse,
    pop,
    push,
    tag_of,
)
from dataplane.twin.tables import Backend, EdgeCircuit, Neighbour, Port, Service, Tables
from headers.packet import SteeringHeader
from headers.packet.steering import ETHERTYPE, FLAG_INSTANCE, FLAG_REPLY, LENGTH, TTL, VERSION

DROP, PASS, TX, REDIRECT = 1, 2, 3, 4
FRESH_SECONDS = 64
_RING_HEADER = 8
_NS_PER_S = 1_000_000_000
_PRIORITY, _APPLICATION = 0x0F000000, 0x00FFFF00
_KINDS = {1: IPV4, 2: IPV6}


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


@dataclass
class Machine:
    """All engines of a machine, their tables and what they remember.

    Counters hold [packets, bytes] by (engine, reason), demand slot, circuit and application.
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
    events: list[tuple[int, int, bytes, int, int]] = field(default_factory=list)
    budget_ns: int = 0
    tokens: int = 0
    _counted: list[str] = field(default_factory=list)

    def mark(self, frame: bytes, ifindex: int, now_ns: int = 0) -> Outcome:
        """Do what mark does at an edge's host-facing port."""
        return self._run(self._mark, frame, ifindex, now_ns)

    def steer(self, frame: bytes, ifindex: int, now_ns: int = 0) -> Outcome:
        """Do what steer does at an engine's fabric port."""
        return self._run(self._steer, frame, ifindex, now_ns)

    def balance(self, frame: bytes, ifindex: int, now_ns: int = 0) -> Outcome:
        """Do what balance does, called by mark for a virtual address."""
        return self._run(self._balance, frame, ifindex, now_ns)

    def _run(
        self,
        program: Callable[[bytes, Port, int, int], Outcome],
        frame: bytes,
        ifindex: int,
        now_ns: int,
    ) -> Outcome:
        port = self.tables.ports.get(ifindex)
        self._counted = []
        if port is None:
            return Outcome(PASS, frame)
        outcome = program(frame, port, ifindex, now_ns)
        return replace(outcome, reasons=tuple(self._counted))

    def _count(self, port: Port, reason: str, size: int) -> None:
        self._counted.append(reason)
        self.reasons[port.engine, reason] += 1
        self.reason_bytes[port.engine, reason] += size

    def _count_demand(self, slot: int, size: int) -> None:
        self.demands[slot] += 1
        self.demand_bytes[slot] += size

    def _count_application(self, application: int, size: int) -> None:
        number = min(application, MAX_CLASSES - 1)
        self.applications[number] += 1
        self.application_bytes[number] += size

    def _tell(self, port: Port, kind: int, key: bytes, backend: int, sequence: int = 0) -> None:
        """Put an event into the ring, or count it as lost when the ring is full."""
        room = (self.tables.ring_bytes - 1) // (EVENT.size + _RING_HEADER)
        if len(self.events) >= room:
            self._count(port, "event_lost", 0)
        else:
            self.events.append((kind, port.engine, key, backend, sequence))

    # --- ordinary routing -----------------------------------------------------------------

    def _fall_back(self, frame: bytes, port: Port, ifindex: int) -> Outcome:
        """Route a packet that is no longer steered: by the kernel, else by the port's fallback."""
        packet = parse(int.from_bytes(frame[12:14], "big"), frame[L2_PLAIN:])
        if isinstance(packet, Parsed) and packet.ttl > 1:
            route = self.tables.fib(
                packet.family, packet.source, packet.destination, len(frame) - L2_PLAIN, ifindex
            )
            if route is not None:
                frame = decrement_ttl(frame, L2_PLAIN, packet.family)
                self._count(port, "routed", len(frame))
                return Outcome(
                    REDIRECT, route.dmac + route.smac + frame[12:], ifindex=route.ifindex
                )
        if port.fallback == FALLBACK_RETURN:
            self._count(port, "returned", len(frame))
            return Outcome(TX, port.router_mac + frame[:6] + frame[12:])
        return Outcome(PASS, frame)

    def _refuse(self, frame: bytes, port: Port, reason: str, l2: int, ifindex: int) -> Outcome:
        """Count why a header cannot be used, take it off, route the packet as usual."""
        self._count(port, reason, len(frame))
        popped = None if port.fallback == FALLBACK_DROP else pop(frame, l2)
        if popped is not None and ether_type(popped)[0] == ETHERTYPE:
            self._count(port, "nested", len(frame))
            popped = None
        if popped is None:
            self._count(port, "dropped", len(frame))
            return Outcome(DROP, frame)
        return self._fall_back(popped, port, ifindex)

    # --- choosing a circuit ---------------------------------------------------------------

    def _usable(self, circuit: int, engine: int) -> EdgeCircuit | None:
        found = self.tables.edges.get(circuit)
        return found if circuit and found and found.engine == engine else None

    def _down(self, c1: int) -> bool:
        return c1 >> 16 & 0xFF in self.tables.down

    def _bucket_circuit(
        self, slot: int, position: int, port: Port
    ) -> tuple[int, EdgeCircuit] | None:
        """Return a bucket's circuit; its backup while the engine at the first's end is down."""
        first, second = self.tables.bucket(slot, position)
        primary = self._usable(first, port.engine)
        if primary and not self._down(primary.c1):
            return first, primary
        backup = self._usable(second, port.engine)
        if backup and not self._down(backup.c1):
            self._count(port, "on_backup", 0)
            return second, backup
        return (first, primary) if primary else None

    def _context(self, c2: int, number: int) -> int:
        """Return C2 with a class's application type and priority; class 0 changes nothing."""
        if not number:
            return c2
        application, priority = self.tables.class_table.get(number, (0, 0))
        return c2 & ~(_PRIORITY | _APPLICATION) | (priority & 0xF) << 24 | application << 8

    def _leave(
        self, frame: bytes, l2: int, packet: Parsed, port: Port, header: SteeringHeader
    ) -> Outcome:
        frame = push(decrement_ttl(frame, l2, packet.family), l2, header)
        return Outcome(REDIRECT, frame, slot=port.out_slot)

    # --- mark -----------------------------------------------------------------------------

    def _classify(self, packet: Parsed, engine: int) -> int:
        """Return the application class: by flow, destination port, source port, then DSCP."""
        tables = self.tables
        if tables.domain.flags & DOMAIN_RULES:
            number = tables.rules.get(packet.key(engine))
            if number is not None:
                return number
        if packet.sport or packet.dport:
            for key in (
                CLASS_BY_DESTINATION_PORT | packet.protocol << 16 | packet.dport,
                CLASS_BY_SOURCE_PORT | packet.protocol << 16 | packet.sport,
            ):
                if key in tables.classes:
                    return tables.classes[key]
        return tables.classes.get(CLASS_BY_DSCP | packet.tos >> 2, 0)

    def _mark(self, frame: bytes, port: Port, ifindex: int, now_ns: int) -> Outcome:
        tables = self.tables
        kind, l2 = ether_type(frame)
        if kind == ETHERTYPE:
            if port.customer:
                return self._remark(frame, port, l2, ifindex)
            return self._refuse(frame, port, "foreign_nsh", l2, ifindex)
        packet = parse(kind, frame[l2:])
        if isinstance(packet, str):
            self._count(port, packet, len(frame))
            return Outcome(PASS, frame)
        value = tables.demand(port.engine, packet.destination)
        if value is None:
            self._count(port, "no_demand", len(frame))
            return Outcome(PASS, frame)
        if value & DEMAND_VIRTUAL:
            return self._balance(frame, port, ifindex, now_ns)
        wire = len(frame) - l2 + L2_PLAIN + LENGTH
        number = self._classify(packet, port.engine)
        slot = value & DEMAND_SLOT
        if number and value & DEMAND_CLASSES:
            slot = tables.class_demands.get((slot, number), slot)
        self._count_demand(slot, wire)
        position = flow_hash(tables.domain.hash_seed, packet) % BUCKETS
        reason = None
        chosen = None
        if tables.bucket(slot, position) == (0, 0):
            reason = "unsteered"
        elif (chosen := self._bucket_circuit(slot, position, port)) is None:
            reason = "no_circuit"
        elif packet.ttl <= 1:
            reason = "ip_ttl"
        elif wire > port.max_frame:
            reason = "too_long"
        elif tables.domain.c3 >> 24 not in tables.keys:
            reason = "no_key"
        if reason is not None or chosen is None:
            self._count(port, reason or "no_circuit", len(frame))
            return Outcome(PASS, frame)
        circuit, edge = chosen
        header = self._header(circuit, edge, edge.c1, self._context(edge.c2, number), packet)
        self._count_application(header.application, wire)
        self._count(port, "marked", len(frame))
        return self._leave(frame, l2, packet, port, header)

    def _header(
        self, circuit: int, edge: EdgeCircuit, c1: int, c2: int, packet: Parsed
    ) -> SteeringHeader:
        """Return a tagged header of the present epoch and forecast."""
        c3 = self.tables.domain.c3
        key = self.tables.keys[c3 >> 24]
        return SteeringHeader(
            circuit,
            edge.si,
            engine=c1 >> 16,
            port=c1 & 0xFFFF,
            version=c2 >> 28,
            priority=c2 >> 24 & 0xF,
            application=c2 >> 8 & 0xFFFF,
            flags=c2 & 0xFF,
            epoch=c3 >> 24,
            forecast=c3 & 0xFFFFFF,
            tag=tag_of(key, circuit, c1, c2, c3, packet.source + packet.destination),
            next_protocol=1 if packet.family == 4 else 2,
        )

    def _remark(self, frame: bytes, port: Port, l2: int, ifindex: int) -> Outcome:
        """Put a customer's own packet on a circuit that it was granted."""
        tables = self.tables
        inside = frame[l2:]
        words = struct.unpack("!HBBIIIII", inside[:LENGTH]) if len(inside) >= LENGTH else None
        packet: Parsed | str = "malformed"
        if l2 == L2_PLAIN and words is not None:
            flags, md_type, following, spi_si, c1, c2, c3, tag = words
            packet = parse(_KINDS.get(following, 0), inside[LENGTH:])
        if not isinstance(packet, Parsed) or flags & 0xE03F != 6 or md_type & 0xF != 1:
            return self._refuse(frame, port, "malformed", l2, ifindex)
        spi = spi_si >> 8 & 0x7FFFFF
        key = tables.customers.get((port.customer, c3 >> 24))
        addresses = packet.source + packet.destination
        reason, grant, edge = None, None, None
        if c2 >> 28 != VERSION:
            reason = "version"
        elif not flags & 0x0FC0:
            reason = "nsh_ttl"
        elif key is None:
            reason = "epoch"
        elif tag != tag_of(key, spi, c1, c2, c3, addresses):
            reason = "tag"
        elif (grant := tables.grants.get((port.customer, spi))) is None:
            reason = "not_granted"
        elif (edge := self._usable(grant[0], port.engine)) is None:
            reason = "no_circuit"
        elif len(frame) > port.max_frame:
            reason = "too_long"
        elif tables.domain.c3 >> 24 not in tables.keys:
            reason = "no_key"
        if reason is not None or grant is None or edge is None:
            return self._refuse(frame, port, reason or "not_granted", l2, ifindex)
        priority = min(c2 >> 24 & 0xF, grant[1]) & 0xF
        ours = edge.c2 & ~(_PRIORITY | _APPLICATION) | priority << 24 | c2 & _APPLICATION
        header = self._header(grant[0], edge, edge.c1, ours, packet)
        self._count_application(header.application, len(frame))
        self._count(port, "marked", len(frame))
        out = frame[:l2] + header.encode() + inside[LENGTH:]
        return Outcome(REDIRECT, out, slot=port.out_slot)

    # --- steer ----------------------------------------------------------------------------

    def _steer(self, frame: bytes, port: Port, ifindex: int, now_ns: int) -> Outcome:
        tables = self.tables
        if int.from_bytes(frame[12:14], "big") != ETHERTYPE:
            self._count(port, "plain", len(frame))
            return Outcome(PASS, frame)
        inside = frame[L2_PLAIN:]
        if len(inside) < LENGTH:
            return self._refuse(frame, port, "malformed", L2_PLAIN, ifindex)
        flags, md_type, following, spi_si, c1, c2, c3, tag = struct.unpack(
            "!HBBIIIII", inside[:LENGTH]
        )
        rest = inside[LENGTH:]
        packet: Parsed | str = "malformed"
        oam = bool(flags & 0x2000)
        if oam:
            addresses = rest[:8]
            well_formed = following == 0 and len(rest) >= ECHO_BYTES
        else:
            packet = parse(_KINDS.get(following, 0), rest)
            well_formed = isinstance(packet, Parsed)
            if isinstance(packet, Parsed):
                addresses = packet.source + packet.destination
        if flags & 0xC03F != 6 or md_type & 0xF != 1 or not well_formed:
            return self._refuse(frame, port, "malformed", L2_PLAIN, ifindex)
        circuit, si, ttl = spi_si >> 8 & 0x7FFFFF, spi_si & 0xFF, flags >> 6 & 0x3F
        hop = tables.hops.get((circuit, si))
        known = 0 < si < MAX_HOPS and circuit < MAX_CIRCUITS
        reason = None
        if c2 >> 28 != VERSION:
            reason = "version"
        elif not ttl:
            reason = "nsh_ttl"
        elif not known or hop is None or hop.engine != port.engine:
            reason = "unknown_circuit"
        elif hop.action == HOP_FORWARD and ttl == 1:
            reason = "nsh_ttl"
        elif c3 >> 24 not in tables.keys:
            reason = "epoch"
        elif tag != tag_of(tables.keys[c3 >> 24], circuit, c1, c2, c3, addresses):
            reason = "tag"
        if reason is not None or hop is None:
            return self._refuse(frame, port, reason or "unknown_circuit", L2_PLAIN, ifindex)
        self.circuits[circuit] += 1
        self.circuit_bytes[circuit] += len(frame)
        self._count_application(c2 >> 8 & 0xFFFF, len(frame))
        if hop.action == HOP_DELIVER:
            if oam:
                return self._echo(frame, port, c1, c2)
            if isinstance(packet, Parsed):
                return self._deliver(frame, port, packet, c1, c2, ifindex)
        header = struct.pack("!H", flags & ~0x0FC0 | ttl - 1 << 6) + inside[2:4]
        header += struct.pack("!I", spi_si - 1) + inside[8:]
        self._count(port, "forwarded", len(frame))
        return Outcome(
            REDIRECT, hop.dst_mac + hop.src_mac + frame[12:14] + header, slot=hop.out_slot
        )

    def _deliver(
        self, frame: bytes, port: Port, packet: Parsed, c1: int, c2: int, ifindex: int
    ) -> Outcome:
        """Hand a packet to its host, or to the instance that C1 names."""
        if c2 & FLAG_INSTANCE:
            whom = self.tables.instances.get((port.engine, c1 & 0xFFFF))
        else:
            whom = self.tables.neighbours.get((port.engine, packet.destination))
        popped = pop(frame, L2_PLAIN)
        if popped is None:
            return Outcome(DROP, frame)
        if whom is None:
            self._count(port, "no_neighbour", len(popped))
            return self._fall_back(popped, port, ifindex)
        rest = popped[12:]
        if whom.vlan:
            rest = struct.pack("!HH", VLAN, whom.vlan) + rest
        out = whom.mac + port.router_mac + rest
        self._count(port, "delivered", len(out))
        return Outcome(REDIRECT, out, slot=whom.out_slot)

    def _echo(self, frame: bytes, port: Port, c1: int, c2: int) -> Outcome:
        """Send an echo back on the circuit that it names, tagged anew; note an answer."""
        body = frame[L2_PLAIN + LENGTH :]
        if c2 & FLAG_REPLY:
            self._count(port, "echo_received", len(frame))
            sequence = int.from_bytes(body[4:8], "big")
            self._tell(port, EVENT_ECHO, b"", c1 >> 16, sequence)
            return Outcome(DROP, frame)
        c3 = self.tables.domain.c3
        key = self.tables.keys.get(c3 >> 24)
        if key is None:
            self._count(port, "no_key", len(frame))
            return Outcome(DROP, frame)
        circuit = int.from_bytes(body[:4], "big") >> 8 & 0x7FFFFF
        c1, c2 = port.engine << 16, c2 | FLAG_REPLY
        tag = tag_of(key, circuit, c1, c2, c3, body[:8])
        header = struct.pack("!H", 0x2000 | TTL << 6 | 6) + frame[16:18] + body[:4]
        header += struct.pack("!IIII", c1, c2, c3, tag)
        self._count(port, "echo_reflected", len(frame))
        return Outcome(TX, frame[6:12] + port.router_mac + frame[12:14] + header + body)

    # --- balance --------------------------------------------------------------------------

    def _backend(self, number: int) -> Backend | None:
        return self.tables.backends.get(number)

    def _choose_backend(self, service: Service, h: int) -> int | None:
        """Return what the bucket table says: its first choice; its second while that is down."""
        first, second = self.tables.bucket(service.slot, h % BUCKETS)
        one, other = self._backend(first), self._backend(second)
        if one and not self._down(one.c1):
            return first
        if other and not self._down(other.c1):
            return second
        return first if one else None

    def _within_budget(self, now_ns: int) -> bool:
        rate = self.tables.domain.insert_rate
        passed = min(now_ns - self.budget_ns, _NS_PER_S)
        most = (rate // 10 + 1) * _NS_PER_S
        tokens = min(self.tokens + passed * rate, most)
        self.budget_ns = now_ns
        self.tokens = tokens - _NS_PER_S if tokens >= _NS_PER_S else tokens
        return tokens >= _NS_PER_S

    def _enter(
        self, key: bytes, port: Port, backend: int, now_ns: int, reason: str
    ) -> Connection | None:
        """Enter a connection, when there is budget and room."""
        if not self._within_budget(now_ns):
            self._count(port, "unheld", 0)
            return None
        if len(self.connections) >= self.tables.capacity:
            self._count(port, "table_full", 0)
            return None
        held = Connection(backend, CONNECTION_OPEN, now_ns, now_ns)
        self.connections[key] = held
        self._count(port, reason, 0)
        self._tell(port, EVENT_OPENED, key, backend)
        return held

    def _first_packets(
        self, service: Service, packet: Parsed, port: Port, h: int, now_ns: int
    ) -> tuple[int | None, Connection | None]:
        """Return the backend of a flow that no table holds, and its connection once entered."""
        tables = self.tables
        key = packet.key(port.engine)
        backend, reason = None, "opened"
        if tables.domain.flags & DOMAIN_REPLICAS:
            replicated = tables.replicas.get(key)
            if replicated is not None and self._backend(replicated):
                backend, reason = replicated, "promoted"
        if backend is None:
            at, seconds = h >> 32 & FRESH - 1, now_ns >> 30
            chosen = self._choose_backend(service, h)
            seen = self.fresh.get(at)
            if (
                seen is None
                or seen[0] != h
                or seconds - seen[2] >= FRESH_SECONDS
                or not self._backend(seen[1])
            ):
                if chosen is not None:
                    self.fresh[at] = (h, chosen, seconds)
                return chosen, None
            backend = seen[1]
        if packet.tcp_flags & (SYN | FIN | RST):
            return backend, None
        return backend, self._enter(key, port, backend, now_ns, reason)

    def _account(
        self,
        service: Service,
        packet: Parsed,
        port: Port,
        held: Connection,
        h: int,
        size: int,
        now_ns: int,
    ) -> None:
        """Count an entered connection's packet, and note whether it begins anew or ends."""
        key = packet.key(port.engine)
        if packet.tcp_flags & SYN and held.state == CONNECTION_CLOSING:
            chosen = self._choose_backend(service, h)
            held.opened_ns, held.packets, held.bytes = now_ns, 0, 0
            held.state = CONNECTION_OPEN
            held.backend = held.backend if chosen is None else chosen
            self._count(port, "opened", 0)
            self._tell(port, EVENT_OPENED, key, held.backend)
        held.last_ns = now_ns
        held.packets += 1
        held.bytes += size
        if packet.tcp_flags & (FIN | RST) and held.state == CONNECTION_OPEN:
            held.state = CONNECTION_CLOSING
            self._count(port, "closed", 0)
            self._tell(port, EVENT_CLOSED, key, held.backend)
        if not self._backend(held.backend):
            chosen = self._choose_backend(service, h)
            if chosen is not None:
                held.backend = chosen
                self._count(port, "reassigned", 0)

    def _deliver_here(
        self, frame: bytes, l2: int, packet: Parsed, port: Port, backend: Backend
    ) -> Outcome:
        """Hand a packet to an instance behind this very engine."""
        whom: Neighbour | None = self.tables.instances.get((port.engine, backend.c1 & 0xFFFF))
        if whom is None or bool(whom.vlan) != (l2 == L2_VLAN):
            self._count(port, "no_neighbour", len(frame))
            return Outcome(PASS, frame)
        frame = decrement_ttl(frame, l2, packet.family)
        rest = frame[12:]
        if l2 == L2_VLAN:
            rest = rest[:2] + whom.vlan.to_bytes(2, "big") + rest[4:]
        self._count(port, "delivered", len(frame))
        return Outcome(REDIRECT, whom.mac + port.router_mac + rest, slot=whom.out_slot)

    def _balance(self, frame: bytes, port: Port, ifindex: int, now_ns: int) -> Outcome:
        tables = self.tables
        kind, l2 = ether_type(frame)
        if kind == ETHERTYPE:
            return self._refuse(frame, port, "foreign_nsh", l2, ifindex)
        packet = parse(kind, frame[l2:])
        passed = Outcome(PASS, frame)
        if isinstance(packet, str):
            self._count(port, packet, len(frame))
            return passed
        if packet.fragment:
            self._count(port, "fragment", len(frame))
            return passed
        where = port.engine, packet.destination, packet.protocol, packet.dport
        service = tables.services.get(where)
        if service is None or packet.ttl <= 1:
            self._count(port, "no_service" if service is None else "ip_ttl", len(frame))
            return passed
        wire = len(frame) - l2 + L2_PLAIN + LENGTH
        self._count_demand(service.slot, wire)
        h = flow_hash(tables.domain.hash_seed, packet)
        held = self.connections.get(packet.key(port.engine))
        number: int | None
        if held is None:
            number, held = self._first_packets(service, packet, port, h, now_ns)
        if held is not None:
            self._account(service, packet, port, held, h, wire, now_ns)
            number = held.backend
        backend = None if number is None else self._backend(number)
        if backend is None:
            self._count(port, "no_backend", len(frame))
            return passed
        if backend.c1 >> 16 == port.engine:
            return self._deliver_here(frame, l2, packet, port, backend)
        reason = None
        chosen = self._bucket_circuit(backend.slot, h >> 8 & BUCKETS - 1, port)
        if chosen is None:
            reason = "no_circuit"
        elif wire > port.max_frame:
            reason = "too_long"
        elif tables.domain.c3 >> 24 not in tables.keys:
            reason = "no_key"
        if reason is not None or chosen is None:
            self._count(port, reason or "no_circuit", len(frame))
            return passed
        circuit, edge = chosen
        c2 = self._context(edge.c2 | FLAG_INSTANCE, service.number)
        header = self._header(circuit, edge, backend.c1, c2, packet)
        self._count_application(header.application, wire)
        self._count(port, "balanced", len(frame))
        return self._leave(frame, l2, packet, port, header)

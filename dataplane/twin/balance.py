"""balance: spreads a virtual address over backends, and keeps connections where they are.

New flows go where the bucket table says; a flow's second packet enters it into the connection
table, and there it stays.
"""

from dataplane.maps import (
    BUCKETS,
    CONNECTION_CLOSING,
    CONNECTION_OPEN,
    DOMAIN_REPLICAS,
    EVENT_CLOSED,
    EVENT_OPENED,
    FRESH,
)
from dataplane.twin.circuits import bucket_circuit, context, header_of, is_down, leave, no_key
from dataplane.twin.memory import PASS, REDIRECT, Arrival, Connection, Event, Memory, Outcome
from dataplane.twin.packets import (
    FIN,
    L2_PLAIN,
    L2_VLAN,
    RST,
    SYN,
    Parsed,
    decrement_ttl,
    ether_type,
    flow_hash,
    parse,
)
from dataplane.twin.routing import refuse
from dataplane.twin.tables import Backend, Service, Tables
from headers.packet.steering import ETHERTYPE, FLAG_INSTANCE, LENGTH

FRESH_SHIFT = 14
FRESH_TIMES = 4 << 30 - FRESH_SHIFT
SEEN_SYN = 1
_NS_PER_S = 1_000_000_000
_BURST_SHARE = 10


def balance(at: Arrival) -> Outcome:
    """Send one packet for a virtual address to its backend."""
    tables = at.tables
    kind, l2 = ether_type(at.frame)
    if kind == ETHERTYPE:
        return refuse(at, "foreign_nsh", l2)
    packet = parse(kind, at.frame[l2:])
    if isinstance(packet, str):
        return at.passed(packet)
    if packet.fragment:
        return at.passed("fragment")
    service = tables.services.get(
        (at.port.engine, packet.destination, packet.protocol, packet.dport)
    )
    if service is None:
        return at.passed("no_service")
    if packet.ttl <= 1:
        return at.passed("ip_ttl")
    wire = len(at.frame) - l2 + L2_PLAIN + LENGTH
    at.memory.count_demand(service.slot, wire)
    h = flow_hash(tables.domain.hash_seed, packet)
    number = _backend_of(at, service, packet, h, wire)
    backend = None if number is None else tables.backends.get(number)
    if backend is None:
        return at.passed("no_backend")
    if backend.c1 >> 16 == at.port.engine:
        return _deliver_here(at, l2, packet, backend)
    chosen = bucket_circuit(at, backend.slot, h >> 8 & BUCKETS - 1)
    if chosen is None:
        return at.passed("no_circuit")
    if wire > at.port.max_frame:
        return at.passed("too_long")
    if no_key(tables):
        return at.passed("no_key")
    circuit, edge = chosen
    c2 = context(tables, edge.c2 | FLAG_INSTANCE, service.number)
    header = header_of(tables, circuit, edge, backend.c1, c2, packet)
    at.memory.count_application(header.application, wire)
    at.count("balanced")
    return leave(at, l2, packet, header)


def _backend_of(at: Arrival, service: Service, packet: Parsed, h: int, wire: int) -> int | None:
    """Return the number of the packet's backend, its connection accounted for."""
    number: int | None = None
    held = at.memory.connections.get(packet.key(at.port.engine))
    if held is None:
        number, held = _first_packets(at, service, packet, h)
    if held is None:
        return number
    _account(at, service, packet, held, h, wire)
    return held.backend


def choose_backend(tables: Tables, service: Service, h: int) -> int | None:
    """Return what the bucket table says: its first choice; its second while that is down."""
    first, second = tables.bucket(service.slot, h % BUCKETS)
    one, other = tables.backends.get(first), tables.backends.get(second)
    if one and not is_down(tables, one.c1):
        return first
    if other and not is_down(tables, other.c1):
        return second
    return first if one else None


def _first_packets(
    at: Arrival, service: Service, packet: Parsed, h: int
) -> tuple[int | None, Connection | None]:
    """Return the backend of a flow that no table holds, and its connection once entered.

    A replica of another engine's connection counts as a first packet seen. A second SYN is no
    second packet, and what is ending needs no entry.
    """
    tables = at.tables
    backend, reason, handshake_us = None, "opened", 0
    syn = SEEN_SYN if packet.tcp_flags & SYN else 0
    if tables.domain.flags & DOMAIN_REPLICAS:
        replicated = tables.replicas.get(packet.key(at.port.engine))
        if replicated in tables.backends:
            backend, reason = replicated, "promoted"
    if backend is None:
        # each engine has backends of its own: what one chose is nothing to another
        name = h ^ at.port.engine << 40
        place, now = name >> 32 & FRESH - 1, at.now_ns >> FRESH_SHIFT & ~SEEN_SYN
        seen = at.memory.fresh.get(place)
        if (
            seen is None
            or seen[0] != name
            or now - (seen[2] & ~SEEN_SYN) >= FRESH_TIMES
            or seen[1] not in tables.backends
        ):
            chosen = choose_backend(tables, service, h)
            if chosen is not None:
                at.memory.fresh[place] = (name, chosen, now | syn)
            return chosen, None
        backend = seen[1]
        if syn:
            at.memory.fresh[place] = (name, backend, now | syn)
        elif seen[2] & SEEN_SYN:
            handshake_us = (now - (seen[2] & ~SEEN_SYN) << FRESH_SHIFT) // 1000
    if packet.tcp_flags & (SYN | FIN | RST):
        return backend, None
    return backend, _enter(at, packet.key(at.port.engine), backend, reason, handshake_us)


def _within_budget(memory: Memory, now_ns: int) -> bool:
    """Return whether one more connection may be entered now, by a token bucket.

    Tokens are kept in billionths, so that none is lost to rounding.
    """
    rate = memory.tables.domain.insert_rate
    passed = min(now_ns - memory.budget_ns, _NS_PER_S)
    most = (rate // _BURST_SHARE + 1) * _NS_PER_S
    tokens = min(memory.tokens + passed * rate, most)
    memory.budget_ns = now_ns
    memory.tokens = tokens - _NS_PER_S if tokens >= _NS_PER_S else tokens
    return tokens >= _NS_PER_S


def _enter(
    at: Arrival, key: bytes, backend: int, reason: str, handshake_us: int
) -> Connection | None:
    """Enter a connection, when there is budget and room; else the bucket table goes on serving."""
    memory = at.memory
    if not _within_budget(memory, at.now_ns):
        at.count("unheld", 0)
        return None
    if len(memory.connections) >= memory.tables.capacity:
        at.count("table_full", 0)
        return None
    held = Connection(backend, CONNECTION_OPEN, at.now_ns, at.now_ns)
    memory.connections[key] = held
    at.count(reason, 0)
    _tell(at, EVENT_OPENED, key, held, handshake_us)
    return held


def _tell(at: Arrival, kind: int, key: bytes, held: Connection, handshake_us: int = 0) -> None:
    engine, counts = at.port.engine, (held.packets, held.bytes, held.last_ns)
    at.tell(Event(kind, engine, key, held.backend, handshake_us, *counts))


def _account(
    at: Arrival, service: Service, packet: Parsed, held: Connection, h: int, size: int
) -> None:
    """Count an entered connection's packet, and note whether it begins anew or ends."""
    key = packet.key(at.port.engine)
    held.last_ns = at.now_ns
    if packet.tcp_flags & SYN and held.state == CONNECTION_CLOSING:
        chosen = choose_backend(at.tables, service, h)
        held.opened_ns, held.packets, held.bytes = at.now_ns, 0, 0
        held.state = CONNECTION_OPEN
        held.backend = held.backend if chosen is None else chosen
        at.count("opened", 0)
        _tell(at, EVENT_OPENED, key, held)
    held.packets += 1
    held.bytes += size
    if packet.tcp_flags & (FIN | RST) and held.state == CONNECTION_OPEN:
        held.state = CONNECTION_CLOSING
        at.count("closed", 0)
        _tell(at, EVENT_CLOSED, key, held)
    if held.backend not in at.tables.backends:
        chosen = choose_backend(at.tables, service, h)
        if chosen is not None:
            held.backend = chosen
            at.count("reassigned", 0)


def _deliver_here(at: Arrival, l2: int, packet: Parsed, backend: Backend) -> Outcome:
    """Hand a packet to an instance behind this very engine: no header is needed."""
    whom = at.tables.instances.get((at.port.engine, backend.c1 & 0xFFFF))
    if whom is None or bool(whom.vlan) != (l2 == L2_VLAN):
        at.count("no_neighbour")
        return Outcome(PASS, at.frame)
    rest = decrement_ttl(at.frame, l2, packet.family)[12:]
    if l2 == L2_VLAN:
        rest = rest[:2] + whom.vlan.to_bytes(2, "big") + rest[4:]
    at.count("delivered")
    return Outcome(REDIRECT, whom.mac + at.port.router_mac + rest, slot=whom.out_slot)

"""mark: at an edge's host-facing port, puts packets of known demands on their circuits."""

import struct

from dataplane.maps import (
    BUCKETS,
    CLASS_BY_DESTINATION_PORT,
    CLASS_BY_DSCP,
    CLASS_BY_SOURCE_PORT,
    DEMAND_CLASSES,
    DEMAND_SLOT,
    DEMAND_VIRTUAL,
    DOMAIN_RULES,
)
from dataplane.twin.balance import balance
from dataplane.twin.circuits import (
    APPLICATION,
    PRIORITY,
    bucket_circuit,
    context,
    header_of,
    leave,
    no_key,
    usable,
)
from dataplane.twin.memory import REDIRECT, Arrival, Outcome
from dataplane.twin.packets import (
    KINDS,
    L2_PLAIN,
    Parsed,
    ether_type,
    flow_hash,
    parse,
    tag_of,
)
from dataplane.twin.routing import refuse
from dataplane.twin.tables import EdgeCircuit, Tables
from headers.packet.steering import ETHERTYPE, LENGTH, VERSION

Granted = tuple[int, int, EdgeCircuit]
"""The circuit, the highest priority on it, and the circuit's beginning here."""


def mark(at: Arrival) -> Outcome:
    """Mark one packet, hand it to balance, or leave it to ordinary routing."""
    tables, port, frame = at.tables, at.port, at.frame
    kind, l2 = ether_type(frame)
    if kind == ETHERTYPE:
        return remark(at, l2) if port.customer else refuse(at, "foreign_nsh", l2)
    packet = parse(kind, frame[l2:])
    if isinstance(packet, str):
        return at.passed(packet)
    demand = tables.demand(port.engine, packet.destination)
    if demand is None:
        return at.passed("no_demand")
    if demand & DEMAND_VIRTUAL:
        return balance(at)
    wire = len(frame) - l2 + L2_PLAIN + LENGTH
    number = classify(tables, packet, port.engine)
    slot = demand & DEMAND_SLOT
    if number and demand & DEMAND_CLASSES:
        slot = tables.class_demands.get((slot, number), slot)
    at.memory.count_demand(slot, wire)
    position = flow_hash(tables.domain.hash_seed, packet) % BUCKETS
    if tables.bucket(slot, position) == (0, 0):
        return at.passed("unsteered")
    chosen = bucket_circuit(at, slot, position)
    if chosen is None:
        return at.passed("no_circuit")
    if packet.ttl <= 1:
        return at.passed("ip_ttl")
    if wire > port.max_frame:
        return at.passed("too_long")
    if no_key(tables):
        return at.passed("no_key")
    circuit, edge = chosen
    header = header_of(tables, circuit, edge, edge.c1, context(tables, edge.c2, number), packet)
    at.memory.count_application(header.application, wire)
    at.count("marked")
    return leave(at, l2, packet, header)


def classify(tables: Tables, packet: Parsed, engine: int) -> int:
    """Return the application class: by flow, destination port, source port, then DSCP."""
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


def remark(at: Arrival, l2: int) -> Outcome:
    """Put a customer's own packet on a circuit that it was granted."""
    inside = at.frame[l2:]
    if l2 != L2_PLAIN or len(inside) < LENGTH:
        return refuse(at, "malformed", l2)
    flags, md_type, following, _, _, c2, _, _ = struct.unpack("!HBBIIIII", inside[:LENGTH])
    packet = parse(KINDS.get(following, 0), inside[LENGTH:])
    if not isinstance(packet, Parsed) or flags & 0xE03F != 6 or md_type & 0xF != 1:
        return refuse(at, "malformed", l2)
    granted = _granted(at, inside[:LENGTH], packet)
    if isinstance(granted, str):
        return refuse(at, granted, l2)
    circuit, most, edge = granted
    priority = min(c2 >> 24 & 0xF, most)
    ours = edge.c2 & ~(PRIORITY | APPLICATION) | priority << 24 | c2 & APPLICATION
    header = header_of(at.tables, circuit, edge, edge.c1, ours, packet)
    at.memory.count_application(header.application, len(at.frame))
    at.count("marked")
    out = at.frame[:l2] + header.encode() + inside[LENGTH:]
    return Outcome(REDIRECT, out, slot=at.port.out_slot)


def _granted(at: Arrival, header: bytes, packet: Parsed) -> Granted | str:
    """Return what a customer's header may have, or why it may not: the first check that fails."""
    tables, customer = at.tables, at.port.customer
    flags, _, _, spi_si, c1, c2, c3, tag = struct.unpack("!HBBIIIII", header)
    spi = spi_si >> 8 & 0x7FFFFF
    if c2 >> 28 != VERSION:
        return "version"
    if not flags & 0x0FC0:
        return "nsh_ttl"
    key = tables.customers.get((customer, c3 >> 24))
    if key is None:
        return "epoch"
    if tag != tag_of(key, spi, c1, c2, c3, packet.source + packet.destination):
        return "tag"
    grant = tables.grants.get((customer, spi))
    if grant is None:
        return "not_granted"
    edge = usable(tables, grant[0], at.port.engine)
    if edge is None:
        return "no_circuit"
    if len(at.frame) > at.port.max_frame:
        return "too_long"
    if no_key(tables):
        return "no_key"
    return grant[0], grant[1] & 0xF, edge

"""steer: at an engine's fabric port, verifies steered packets and forwards or delivers them."""

import struct
from dataclasses import dataclass

from dataplane.maps import EVENT_ECHO, HOP_DELIVER, HOP_FORWARD, MAX_CIRCUITS, MAX_HOPS
from dataplane.twin.balance import balance
from dataplane.twin.circuits import no_key
from dataplane.twin.memory import DROP, REDIRECT, TX, Arrival, Event, Outcome
from dataplane.twin.packets import ECHO_BYTES, KINDS, L2_PLAIN, VLAN, Parsed, parse, pop, tag_of
from dataplane.twin.routing import fall_back, refuse
from dataplane.twin.tables import Hop
from headers.packet.steering import ETHERTYPE, FLAG_INSTANCE, FLAG_REPLY, LENGTH, TTL, VERSION

_NO_FLOW = bytes(40)


@dataclass(slots=True)
class Steered:
    """A well-formed header: its words, what the tag covers besides, and the packet inside.

    ``packet`` is None in an echo.
    """

    flags: int
    spi_si: int
    c1: int
    c2: int
    c3: int
    tag: int
    covered: bytes
    packet: Parsed | None

    @property
    def circuit(self) -> int:
        """Return the circuit's number, without the protection bit."""
        return self.spi_si >> 8 & 0x7FFFFF

    @property
    def ttl(self) -> int:
        """Return the header's own TTL."""
        return self.flags >> 6 & 0x3F


def steer(at: Arrival) -> Outcome:
    """Forward one packet on its circuit, deliver it at the circuit's end, or refuse it."""
    if int.from_bytes(at.frame[12:14], "big") != ETHERTYPE:
        return at.passed("plain")
    header = read(at.frame[L2_PLAIN:])
    if header is None:
        return refuse(at, "malformed", L2_PLAIN)
    hop = verify(at, header)
    if isinstance(hop, str):
        return refuse(at, hop, L2_PLAIN)
    at.memory.count_circuit(header.circuit, len(at.frame))
    at.memory.count_application(header.c2 >> 8 & 0xFFFF, len(at.frame))
    if hop.action != HOP_DELIVER:
        return _forward(at, header, hop)
    if header.packet is None:
        return _echo(at, header)
    return _deliver(at, header, header.packet)


def read(inside: bytes) -> Steered | None:
    """Return the header at the start of what follows Ethernet; None where it is malformed."""
    if len(inside) < LENGTH:
        return None
    flags, md_type, following, spi_si, c1, c2, c3, tag = struct.unpack("!HBBIIIII", inside[:LENGTH])
    if flags & 0xC03F != 6 or md_type & 0xF != 1:
        return None
    rest = inside[LENGTH:]
    if flags & 0x2000:
        if following != 0 or len(rest) < ECHO_BYTES:
            return None
        return Steered(flags, spi_si, c1, c2, c3, tag, rest[:ECHO_BYTES], None)
    packet = parse(KINDS.get(following, 0), rest)
    if not isinstance(packet, Parsed):
        return None
    covered = packet.source + packet.destination
    return Steered(flags, spi_si, c1, c2, c3, tag, covered, packet)


def verify(at: Arrival, header: Steered) -> Hop | str:
    """Return what to do on this circuit here, or why not: the first check that fails."""
    tables, circuit, si = at.tables, header.circuit, header.spi_si & 0xFF
    if header.c2 >> 28 != VERSION:
        return "version"
    if not header.ttl:
        return "nsh_ttl"
    if not 0 < si < MAX_HOPS or circuit >= MAX_CIRCUITS:
        return "unknown_circuit"
    hop = tables.hops.get((circuit, si))
    if hop is None or hop.engine != at.port.engine:
        return "unknown_circuit"
    if hop.action == HOP_FORWARD and header.ttl == 1:
        return "nsh_ttl"
    key = tables.keys.get(header.c3 >> 24)
    if key is None:
        return "epoch"
    if header.tag != tag_of(key, circuit, header.c1, header.c2, header.c3, header.covered):
        return "tag"
    return hop


def _forward(at: Arrival, header: Steered, hop: Hop) -> Outcome:
    """Send the packet on: SI and TTL decremented, all else as it was."""
    flags = header.flags & ~0x0FC0 | header.ttl - 1 << 6
    out = struct.pack("!H", flags) + at.frame[16:18] + struct.pack("!I", header.spi_si - 1)
    at.count("forwarded")
    return Outcome(
        REDIRECT,
        hop.dst_mac + hop.src_mac + at.frame[12:14] + out + at.frame[L2_PLAIN + 8 :],
        slot=hop.out_slot,
    )


def _deliver(at: Arrival, header: Steered, packet: Parsed) -> Outcome:
    """Hand a packet to its host, or to the instance that C1 names, with its 802.1Q tag if any."""
    port = at.port
    if header.c2 & FLAG_INSTANCE:
        whom = at.tables.instances.get((port.engine, header.c1 & 0xFFFF))
    else:
        whom = at.tables.neighbours.get((port.engine, packet.destination))
    popped = pop(at.frame, L2_PLAIN)
    if popped is None:
        return Outcome(DROP, at.frame)
    if whom is None:
        if not header.c2 & FLAG_INSTANCE and is_virtual(at, packet):
            at.frame = popped
            return balance(at)
        at.count("no_neighbour", len(popped))
        return fall_back(at, popped)
    rest = popped[12:]
    if whom.vlan:
        rest = struct.pack("!HH", VLAN, whom.vlan) + rest
    out = whom.mac + port.router_mac + rest
    at.count("delivered", len(out))
    return Outcome(REDIRECT, out, slot=whom.out_slot)


def is_virtual(at: Arrival, packet: Parsed) -> bool:
    """Return whether a packet is for a virtual address that this engine spreads."""
    if packet.fragment:
        return False
    key = at.port.engine, packet.destination, packet.protocol, packet.dport
    return key in at.tables.services


def _echo(at: Arrival, header: Steered) -> Outcome:
    """Send an echo back on the circuit that it names, tagged anew; tell of an answer."""
    frame, port = at.frame, at.port
    body = frame[L2_PLAIN + LENGTH :]
    if header.c2 & FLAG_REPLY:
        at.count("echo_received")
        sequence, sent_ns = int.from_bytes(body[4:8], "big"), int.from_bytes(body[8:16], "little")
        answered = header.c1 >> 16
        at.tell(Event(EVENT_ECHO, port.engine, _NO_FLOW, answered, sequence, sent_ns, 0, at.now_ns))
        return Outcome(DROP, frame)
    if no_key(at.tables):
        at.count("no_key")
        return Outcome(DROP, frame)
    c3 = at.tables.domain.c3
    circuit = int.from_bytes(body[:4], "big") >> 8 & 0x7FFFFF
    c1, c2 = port.engine << 16, header.c2 | FLAG_REPLY
    tag = tag_of(at.tables.keys[c3 >> 24], circuit, c1, c2, c3, body[:ECHO_BYTES])
    out = struct.pack("!H", 0x2000 | TTL << 6 | 6) + frame[16:18] + body[:4]
    out += struct.pack("!IIII", c1, c2, c3, tag)
    at.count("echo_reflected")
    return Outcome(TX, frame[6:12] + port.router_mac + frame[12:14] + out + body)

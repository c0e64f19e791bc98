"""Every reason that a packet is refused or left unmarked for: a frame, its counters, its end.

``counted`` is all that the engines count of it, but for ``plain`` where that is not named: packets
that are routed as usual pass fabric ports as plain ones, there and back.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from bus import derive_key
from headers.packet import SteeringHeader, steer_frame
from headers.packet.steering import FLAG_INSTANCE, Echo, echo_frame

ROUTER_MAC = "02:f0:00:00:00:01"
PORT, OTHER_PORT = 9999, 9998
MAX_FRAME = 1514
CUSTOMER = 9
EPOCH = 5
HOST1, HOST2, GUEST = "10.1.0.1", "10.2.0.1", "10.1.0.9"
UNLISTED = "10.2.0.77"
"""An address of host 2 that its engine was not told of."""
THERE, THROUGH, BACK = 11, 30, 21
"""Circuits: from engine 1 to engine 2; through engine 2 back to engine 1; and straight back."""
GRANTED, WITHOUT_CIRCUIT = 70, 71
VIP, VIP_EMPTY, VIP_NO_WAY, VIP_HERE = "10.9.0.1", "10.9.0.2", "10.9.0.3", "10.9.0.4"
UNSTEERED, NO_CIRCUIT, NO_DEMAND = "10.3.0.1", "10.4.0.1", "10.5.0.1"
BY_PORT, BY_BRIDGE = "10.6.0.1", "10.7.0.1"
"""Addresses of host 2 that engine 2's kernel has routes for: by a port, and by its bridge."""

Counted = dict[int, dict[str, int]]


class End(StrEnum):
    """What becomes of the packet inside."""

    HOST1 = "its payload comes out at host 1"
    HOST2 = "its payload comes out at host 2"
    ROUTER = "the frame comes to the router as it was"
    EXPIRED = "the sender is told that its TTL is used up"
    NOWHERE = "it is dropped"


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes frames that carry a case's name."""

    name: str
    secret: bytes

    @property
    def payload(self) -> bytes:
        """Return what the host's socket is to read."""
        return self.name.encode() + b"\0"

    @property
    def port(self) -> int:
        """Return a source port: each case is a flow of its own."""
        return 20000 + zlib.crc32(self.payload) % 20000

    def plain(
        self,
        destination: str = HOST2,
        *,
        source: str = HOST1,
        port: int = PORT,
        ttl: int = 64,
        length: int = 0,
    ) -> bytes:
        """Return a frame of a host's."""
        kind = IPv6 if ":" in destination else IP
        hops = {"hlim" if kind is IPv6 else "ttl": ttl}
        packet = kind(src=source, dst=destination, **hops) / UDP(sport=self.port, dport=port)
        head = Ether(src="02:00:00:00:00:01", dst=ROUTER_MAC)
        return bytes(head / packet / self.payload.ljust(length, b"\0"))

    def fragments(self, destination: str) -> list[bytes]:
        """Return two frames, each with a fragment of one packet."""
        packet = Ether(self.plain(destination, length=120))
        head = Ether(src=packet.src, dst=packet.dst)
        return [bytes(head / part) for part in fragment(packet[IP], fragsize=64)]

    def key(self, epoch: int = EPOCH, customer: int = 0) -> bytes:
        """Return the key that the domain, or a customer, tags with."""
        secret = self.secret
        if customer:
            secret = derive_key(secret, f"customer {customer}", 0, 32)
        return derive_key(secret, "tag", epoch)

    def steered(
        self,
        header: SteeringHeader | None = None,
        *,
        destination: str = HOST2,
        customer: int = 0,
        wrong: bool = False,
        length: int = 0,
        patch: tuple[int, int] | None = None,
    ) -> bytes:
        """Return a frame with a header, tagged; ``patch``: a byte of the header set otherwise."""
        source = GUEST if customer else HOST2 if destination == HOST1 else HOST1
        header = header or SteeringHeader(THERE, 1, 2, epoch=EPOCH)
        header = header.tagged(self.key(header.epoch, customer), source, destination)
        if wrong:
            header = replace(header, tag=header.tag ^ 1)
        frame = bytearray(
            steer_frame(self.plain(destination, source=source, length=length), header)
        )
        if patch:
            frame[14 + patch[0]] = patch[1]
        return bytes(frame)

    def echo(self, epoch: int = EPOCH) -> bytes:
        """Return an echo to engine 2 whose answer goes to engine 1."""
        mac = bytes.fromhex(ROUTER_MAC.replace(":", ""))
        return echo_frame(
            self.key(epoch),
            SteeringHeader(THERE, 1, 2, epoch=epoch),
            Echo(BACK, 1, 1, 0),
            source_mac=mac,
            target_mac=mac,
        )


@dataclass(frozen=True, slots=True)
class Case:
    """One case: where the frames come in (``host1``, ``guest``, ``core2``), and what is to be.

    ``keyless``: while the present epoch's key is missing. ``strict``: under ``drop_refused``.
    ``wrong``: why the case fails today, where it does.
    """

    name: str
    where: str
    make: Callable[[Maker], bytes | Sequence[bytes]]
    counted: Counted
    end: End
    keyless: bool = False
    strict: bool = False
    wrong: str = ""

    def frames(self, secret: bytes) -> list[bytes]:
        """Return the frames to put in."""
        made = self.make(Maker(self.name, secret))
        return [made] if isinstance(made, bytes) else list(made)


def _header(**changes: int) -> SteeringHeader:
    fields = {"circuit": THERE, "si": 1, "engine": 2, "epoch": EPOCH, **changes}
    return SteeringHeader(**fields)  # type: ignore[arg-type]


def _edge(
    reason: str,
    make: Callable[[Maker], bytes | Sequence[bytes]],
    end: End = End.HOST2,
    *,
    name: str = "",
    times: int = 1,
    keyless: bool = False,
) -> Case:
    """Return a case at the port that faces host 1: the packet goes on as it came."""
    return Case(name or reason, "host1", make, {1: {reason: times}}, end, keyless)


def _engine(reason: str, name: str, make: Callable[[Maker], bytes]) -> Case:
    """Return a case at engine 2's fabric port: counted, popped, given back and routed."""
    counted = {2: {reason: 1, "returned": 1}}
    return Case(f"{reason}: {name}", "core2", make, counted, End.HOST2)


def _lost(reason: str, name: str, make: Callable[[Maker], bytes]) -> Case:
    """Return a case at engine 2's fabric port of which nothing can be recovered."""
    counted = {2: {reason: 1, "dropped": 1}}
    return Case(f"{reason}: {name}", "core2", make, counted, End.NOWHERE)


def _guest(
    reason: str, header: SteeringHeader, *, name: str = "", length: int = 0, wrong: bool = False
) -> Case:
    """Return a case at a customer's port: counted, popped, and routed as usual."""
    return Case(
        name or f"customer's {reason}",
        "guest",
        lambda m: m.steered(header, customer=CUSTOMER, length=length, wrong=wrong),
        {1: {reason: 1}},
        End.HOST2,
    )


def _nested(maker: Maker) -> bytes:
    """Return NSH that holds Ethernet that holds NSH."""
    outer = SteeringHeader(THERE, 1, 2, epoch=EPOCH, next_protocol=3)
    inner = maker.steered()
    return inner[:14] + outer.encode() + inner


def _cut(frame: bytes, size: int) -> bytes:
    return frame[:size]


_ON_THE_WAY = (
    Case(
        "marked and delivered",
        "host1",
        lambda m: m.plain(),
        {1: {"marked": 1}, 2: {"delivered": 1}},
        End.HOST2,
    ),
    Case(
        "marked and delivered: IPv6",
        "host1",
        lambda m: m.plain("fd02::1", source="fd01::1"),
        {1: {"marked": 1}, 2: {"delivered": 1}},
        End.HOST2,
    ),
    Case(
        "marked and delivered: fragments",
        "host1",
        lambda m: m.fragments(HOST2),
        {1: {"marked": 2}, 2: {"delivered": 2}},
        End.HOST2,
    ),
    Case(
        "balanced and delivered",
        "host1",
        lambda m: m.plain(VIP),
        {1: {"balanced": 1}, 2: {"delivered": 1}},
        End.HOST2,
    ),
    Case(
        "customer's own header",
        "guest",
        lambda m: m.steered(_header(circuit=GRANTED), customer=CUSTOMER),
        {1: {"marked": 1}, 2: {"delivered": 1}},
        End.HOST2,
    ),
    Case(
        "forwarded and delivered",
        "core2",
        lambda m: m.steered(_header(circuit=THROUGH, si=2, engine=1), destination=HOST1),
        {2: {"forwarded": 1}, 1: {"delivered": 1}},
        End.HOST1,
    ),
    Case(
        "echo",
        "core2",
        lambda m: m.echo(),
        {2: {"echo_reflected": 1}, 1: {"echo_received": 1}},
        End.NOWHERE,
    ),
)

_AT_EDGES = (
    _edge("no_demand", lambda m: m.plain(NO_DEMAND)),
    _edge("unsteered", lambda m: m.plain(UNSTEERED)),
    _edge("no_circuit", lambda m: m.plain(NO_CIRCUIT)),
    _edge("too_long", lambda m: m.plain(length=MAX_FRAME - 42)),
    _edge("ip_ttl", lambda m: m.plain(ttl=1), End.EXPIRED),
    _edge("truncated", lambda m: _cut(m.plain(length=80), 60), End.ROUTER),
    _edge("plain", lambda m: m.plain()[:12] + b"\x88\xb5" + m.payload.ljust(50), End.ROUTER),
    _edge("no_key", lambda m: m.plain(), keyless=True),
    _edge("foreign_nsh", lambda m: m.steered()),
    Case(
        "foreign_nsh: nothing inside",
        "host1",
        lambda m: m.steered(_header(next_protocol=4)),
        {1: {"foreign_nsh": 1, "dropped": 1}},
        End.NOWHERE,
    ),
    Case(
        "nested",
        "host1",
        _nested,
        {1: {"foreign_nsh": 1, "nested": 1, "dropped": 1}},
        End.NOWHERE,
    ),
    _edge("no_service", lambda m: m.plain(VIP, port=OTHER_PORT)),
    _edge("no_backend", lambda m: m.plain(VIP_EMPTY)),
    _edge("fragment", lambda m: m.fragments(VIP), times=2),
    _edge("no_circuit", lambda m: m.plain(VIP_NO_WAY), name="no_circuit: virtual address"),
    _edge("no_neighbour", lambda m: m.plain(VIP_HERE), name="no_neighbour: instance here"),
    _edge("no_key", lambda m: m.plain(VIP), name="no_key: virtual address", keyless=True),
    _edge("ip_ttl", lambda m: m.plain(VIP, ttl=1), End.EXPIRED, name="ip_ttl: virtual address"),
)

_AT_CUSTOMERS = (
    _guest("tag", _header(circuit=GRANTED), wrong=True),
    _guest("not_granted", _header(circuit=77)),
    _guest("epoch", _header(circuit=GRANTED, epoch=99)),
    _guest("version", _header(circuit=GRANTED, version=2)),
    _guest("nsh_ttl", _header(circuit=GRANTED, ttl=0)),
    _guest("no_circuit", _header(circuit=WITHOUT_CIRCUIT)),
    _guest("too_long", _header(circuit=GRANTED), length=MAX_FRAME - 42),
    Case(
        "customer's malformed",
        "guest",
        lambda m: m.steered(_header(circuit=GRANTED), customer=CUSTOMER, patch=(2, 2)),
        {1: {"malformed": 1}},
        End.HOST2,
    ),
    Case(
        "customer's no_key",
        "guest",
        lambda m: m.steered(_header(circuit=GRANTED), customer=CUSTOMER),
        {1: {"no_key": 1}},
        End.HOST2,
        keyless=True,
    ),
)

_AT_ENGINES = (
    _engine("malformed", "NSH version 1", lambda m: m.steered(patch=(0, 0x4F))),
    _engine("malformed", "MD type 2", lambda m: m.steered(patch=(2, 2))),
    _engine("malformed", "an echo with a packet", lambda m: m.steered(patch=(0, 0x2F))),
    _engine(
        "malformed",
        "Ethernet inside",
        lambda m: m.steered()[:14] + _header(next_protocol=3).encode() + m.plain(),
    ),
    _lost("malformed", "length 20", lambda m: m.steered(patch=(1, 0xC5))),
    _lost("malformed", "next protocol 9", lambda m: m.steered(_header(next_protocol=9))),
    _lost("malformed", "cut off", lambda m: _cut(m.steered(), 30)),
    Case(
        "malformed: packet inside cut off",
        "core2",
        lambda m: _cut(m.steered(length=80), 80),
        {2: {"malformed": 1, "returned": 1}},
        End.NOWHERE,
    ),
    Case(
        "malformed: nested",
        "core2",
        _nested,
        {2: {"malformed": 1, "nested": 1, "dropped": 1}},
        End.NOWHERE,
    ),
    _engine("version", "2", lambda m: m.steered(_header(version=2))),
    _engine("nsh_ttl", "0", lambda m: m.steered(_header(ttl=0))),
    _engine(
        "nsh_ttl", "1, to be forwarded", lambda m: m.steered(_header(circuit=THROUGH, si=2, ttl=1))
    ),
    _engine("unknown_circuit", "not here", lambda m: m.steered(_header(circuit=300))),
    _engine("unknown_circuit", "above all", lambda m: m.steered(_header(circuit=0x7FFFFF))),
    _engine("unknown_circuit", "SI 0", lambda m: m.steered(_header(si=0))),
    _engine("unknown_circuit", "SI 4", lambda m: m.steered(_header(si=4))),
    _engine("unknown_circuit", "another engine's", lambda m: m.steered(_header(circuit=BACK))),
    _engine("epoch", "two behind", lambda m: m.steered(_header(epoch=EPOCH - 2))),
    _engine("tag", "one bit", lambda m: m.steered(wrong=True)),
    _engine("tag", "another destination", lambda m: _to(m.steered(), UNLISTED)),
    _engine("no_neighbour", "host", lambda m: m.steered(destination=UNLISTED)),
    _engine("no_neighbour", "instance", lambda m: m.steered(_header(flags=FLAG_INSTANCE, port=99))),
    Case(
        "routed",
        "core2",
        lambda m: m.steered(destination=BY_PORT, wrong=True),
        {2: {"tag": 1, "routed": 1}},
        End.HOST2,
    ),
    _engine("tag", "routed by a bridge", lambda m: m.steered(destination=BY_BRIDGE, wrong=True)),
    Case(
        "no_key: echo",
        "core2",
        lambda m: m.echo(EPOCH - 1),
        {2: {"no_key": 1}},
        End.NOWHERE,
        keyless=True,
    ),
)

_STRICT = tuple(
    replace(case, name=f"{case.name}, dropped by policy", end=End.NOWHERE, strict=True)
    for case in (
        Case(
            "tag",
            "core2",
            lambda m: m.steered(wrong=True),
            {2: {"tag": 1, "dropped": 1}},
            End.HOST2,
        ),
        Case(
            "no_neighbour",
            "core2",
            lambda m: m.steered(destination=UNLISTED),
            {2: {"no_neighbour": 1, "dropped": 1}},
            End.HOST2,
        ),
        Case(
            "version",
            "core2",
            lambda m: m.steered(_header(version=2)),
            {2: {"version": 1, "dropped": 1}},
            End.HOST2,
        ),
        Case(
            "foreign_nsh",
            "host1",
            lambda m: m.steered(),
            {1: {"foreign_nsh": 1, "dropped": 1}},
            End.HOST2,
        ),
        Case(
            "customer's not_granted",
            "guest",
            lambda m: m.steered(_header(circuit=77), customer=CUSTOMER),
            {1: {"not_granted": 1, "dropped": 1}},
            End.HOST2,
        ),
    )
)


def _to(frame: bytes, destination: str) -> bytes:
    """Return a steered frame whose packet goes elsewhere, and whose tag stays."""
    packet = IP(frame[38:])
    packet.dst = destination
    del packet[IP].chksum, packet[UDP].chksum
    return frame[:38] + bytes(packet)


CASES = (*_ON_THE_WAY, *_AT_EDGES, *_AT_CUSTOMERS, *_AT_ENGINES, *_STRICT)

"""Frames to fuzz with: one recipe for every way through the programs, then mutations."""

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv6Address
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bus.keys import customer_secret, tag_key
from dataplane.maps import FLOW_SETS, flow_key
from headers.packet import SteeringHeader
from headers.packet.siphash import siphash24
from headers.packet.steering import Echo, echo_frame
from tests.fuzz.states import ALIKE, CUSTOMER, ROUTER_MAC

SECRETS = (bytes(range(32)), bytes(range(1, 33)))
"""The domain's secrets: the second takes the first one's place in some rounds."""
NO_WAY, NO_WAY6 = "10.77.0.6", IPv6Address("fd77:101::102")
"""Addresses within what is routed to which the kernel has no way."""
HASH_SEED = 0x1234_5678_9ABC_DEF0
ROUTER = bytes.fromhex(ROUTER_MAC.replace(":", ""))
HOST = bytes.fromhex("020000000001")
_KEYS = [{epoch: tag_key(secret, epoch) for epoch in range(256)} for secret in SECRETS]
_CUSTOMER = [
    {epoch: tag_key(customer_secret(secret, CUSTOMER), epoch) for epoch in (254, 255, 0, 1, 2, 3)}
    for secret in SECRETS
]
_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16

Words = NDArray[np.uint64]
Frame = tuple[str, str, bytes]
"""The program, the port's name, the frame."""


def _sum(data: bytes) -> int:
    words: tuple[int, ...] = struct.unpack(f"!{len(data) // 2}H", data)
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _v4(address: str) -> bytes:
    return bytes(int(part) for part in address.split("."))


def ipv4(
    source: bytes,
    destination: bytes,
    protocol: int,
    payload: bytes,
    *,
    ttl: int = 64,
    tos: int = 0,
    fragment: int = 0,
    options: bytes = b"",
) -> bytes:
    """Return an IPv4 packet with its checksum."""
    header = struct.pack(
        "!BBHHHBBH4s4s",
        0x45 + len(options) // 4,
        tos,
        20 + len(options) + len(payload),
        7,
        fragment,
        ttl,
        protocol,
        0,
        source,
        destination,
    )
    header += options
    return header[:10] + struct.pack("!H", _sum(header)) + header[12:] + payload


def ipv6(
    source: bytes, destination: bytes, protocol: int, payload: bytes, *, ttl: int = 64, tos: int = 0
) -> bytes:
    """Return an IPv6 packet."""
    first = 6 << 28 | tos << 20
    head = struct.pack("!IHBB", first, len(payload), protocol, ttl)
    return head + source + destination + payload


def tcp(sport: int, dport: int, flags: int) -> bytes:
    """Return a TCP header of 20 bytes."""
    return struct.pack("!HHIIBBHHH", sport, dport, 1, 1, 0x50, flags, 1000, 0, 0)


def udp(sport: int, dport: int, size: int = 8) -> bytes:
    """Return a UDP header and ``size`` bytes."""
    return struct.pack("!HHHH", sport, dport, 8 + size, 0) + bytes(size)


def frame(packet: bytes, *, vlan: int = 0) -> bytes:
    """Return an Ethernet frame around an IP packet."""
    kind = b"\x08\x00" if packet[:1] and packet[0] >> 4 == 4 else b"\x86\xdd"
    tag = struct.pack("!HH", 0x8100, vlan) if vlan else b""
    return ROUTER + HOST + tag + kind + packet


def addresses(packet: bytes) -> bytes:
    """Return the addresses of an IP packet."""
    return packet[12:20] if packet[0] >> 4 == 4 else packet[8:40]


def steered(packet: bytes, header: SteeringHeader, key: bytes) -> bytes:
    """Return a frame with a tagged header."""
    words = struct.pack("!IIII", header.circuit, *header.context())
    tag = siphash24(key, words + addresses(packet)) & 0xFFFFFFFF
    header = replace(header, tag=tag, next_protocol=1 if packet[0] >> 4 == 4 else 2)
    return ROUTER + HOST + b"\x89\x4f" + header.encode() + packet


def hashes(sources: Words, target: bytes, ports: Words, protocol: int) -> Words:
    """Return the flow hashes of many IPv4 flows: uint64 [flows], as ``flow_hash`` has them.

    ``sources`` and ``ports``: uint64, their bytes as they lie in the packet.
    """

    def step(h: Words, word: Words) -> Words:
        h = (h ^ word) * np.uint64(0xFF51AFD7ED558CCD)
        mixed: Words = h ^ h >> np.uint64(32)
        return mixed

    there = np.uint64(int.from_bytes(target, "little") << 32)
    h = step(np.full(len(sources), HASH_SEED, np.uint64), sources | there)
    h = step(h, ports | np.uint64(protocol << 32))
    h *= np.uint64(0xC4CEB9FE1A85EC53)
    found: Words = h ^ h >> np.uint64(29)
    return found


def sharing(found: Words, most: int = 3) -> list[list[int]]:
    """Return groups of flows (their positions) that share a place in the flow cache."""
    places = found >> np.uint64(32) & np.uint64(FLOW_SETS - 1)
    order = np.argsort(places, kind="stable")
    groups = np.split(order, np.nonzero(np.diff(places[order]))[0] + 1)
    return [group[:most].tolist() for group in groups if len(group) >= most]


@dataclass(slots=True)
class Conversation:
    """A flow to a virtual address, from its first packet to what comes after its last."""

    port: str
    program: str
    source: bytes
    target: bytes
    protocol: int
    sport: int
    dport: int
    vlan: int
    tos: int
    length: int
    step: int = 0

    def key(self) -> bytes:
        """Return its key in the maps."""
        engine = 2 if self.port == "host2" else 1
        return flow_key(self.source, self.target, self.sport, self.dport, self.protocol, engine)

    def packet(self, flags: int, size: int = 0) -> bytes:
        """Return a frame of it."""
        if self.protocol == 6:
            # of less than nothing there is no whole TCP header
            payload = (tcp(self.sport, self.dport, flags) + bytes(max(size, 0)))[: 20 + size]
        else:
            payload = udp(self.sport, self.dport, max(size, 0))[: 8 + size]
        make = ipv4 if len(self.source) == 4 else ipv6
        return frame(
            make(self.source, self.target, self.protocol, payload, tos=self.tos), vlan=self.vlan
        )


class Frames:
    """A stream of frames from a seed."""

    WEIGHTS: ClassVar[dict[str, float]] = {
        "make_conversation": 36.0,
        "make_echo": 2.5,
        "make_echo_reply": 2.0,
        "make_forward": 2.4,
        "make_hole": 4.0,
        "make_nested": 1.9,
        "make_last_hop": 0.7,
        "make_not_granted": 2.8,
        "make_service_fragment": 1.7,
        "make_version": 1.2,
        "make_routed": 5.0,
        "make_demand": 2.0,
        "make_demand6": 2.0,
        "make_replay": 2.0,
        "make_collision": 0.25,
        "make_flood": 0.5,
    }
    LIVE = 20

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.epoch = 0
        self.secret = 0
        names = [name for name in dir(self) if name.startswith("make_")]
        self._recipes: list[Callable[[], Frame]] = [getattr(self, name) for name in names]
        weights = [self.WEIGHTS.get(name, 1.0) for name in names]
        self._sums = [sum(weights[: place + 1]) for place in range(len(weights))]
        self._next: list[Frame] = []
        self._good: list[bytes] = []
        self._groups = self._crowded()
        self.coming = [self._converse() for _ in range(200)]
        self.live: list[Conversation] = []
        self._gone: list[Conversation] = []

    def __next__(self) -> Frame:
        pick = self.random
        if self._next:
            return self._next.pop()
        program, port, data = pick.choices(self._recipes, cum_weights=self._sums)[0]()
        if pick.random() < 0.3:
            data = self.mutated(data)
        return program, port, data

    def _crowded(self) -> list[tuple[str, list[bytes]]]:
        """Return flows that share a place in the flow cache, and differ in one thing."""
        rng = np.random.default_rng(self.random.randrange(1 << 32))
        many = 1 << 16
        base = np.full(many, int.from_bytes(_v4("10.1.0.1"), "little"), np.uint64)
        ports = np.full(many, int.from_bytes(struct.pack("!HH", 1000, 5001), "little"), np.uint64)
        others = rng.choice(1 << 24, many, replace=False).astype(np.uint64) << np.uint64(8) | (
            np.uint64(10)
        )
        found: list[tuple[str, list[bytes]]] = []
        target = _v4("10.2.0.1")
        by_source = sharing(hashes(others, target, ports, 17))[:24]
        for group in by_source:
            sources = [int(others[at]).to_bytes(4, "little") for at in group]
            found.append(("source", [frame(ipv4(a, target, 17, udp(1000, 5001))) for a in sources]))
        words = np.arange(1, many + 1, dtype=np.uint64) % np.uint64(1 << 16)
        words = words << np.uint64(16) | np.uint64(int.from_bytes(b"\x03\xe8", "little"))
        for group in sharing(hashes(base, target, words, 17))[:24]:
            pairs = [struct.unpack("!HH", int(words[at]).to_bytes(4, "little")) for at in group]
            found.append(
                (
                    "ports",
                    [frame(ipv4(_v4("10.1.0.1"), target, 17, udp(*pair))) for pair in pairs],
                )
            )
        targets = [bytes([10, 2, at >> 8, at & 0xFF]) for at in range(1 << 13)]
        one = np.full(1, base[0], np.uint64)
        values = np.array([hashes(one, each, ports[:1], 17)[0] for each in targets])
        for group in sharing(values, 2)[:24]:
            packets = [ipv4(_v4("10.1.0.1"), targets[at], 17, udp(1000, 5001)) for at in group]
            found.append(("target", [frame(packet) for packet in packets]))
        # clients of a service: by address, by port
        self._clients: list[list[tuple[bytes, int]]] = []
        service = _v4("10.9.0.1")
        http = np.full(many, int.from_bytes(struct.pack("!HH", 4000, 80), "little"), np.uint64)
        for group in sharing(hashes(others, service, http, 6), 4)[:12]:
            self._clients.append([(int(others[at]).to_bytes(4, "little"), 4000) for at in group])
        return found

    def _source(self) -> bytes:
        return bytes([10, 1, self.random.randrange(3), self.random.randrange(4)])

    def _source6(self) -> bytes:
        return bytes.fromhex("fd01") + bytes(13) + bytes([self.random.randrange(10)])

    def _l4(self) -> tuple[int, bytes]:
        pick = self.random
        kind = pick.randrange(6)
        if kind == 0:
            return 1, bytes(8)
        if kind == 1:
            return 17, udp(1000, pick.choice((1001, 5000, 7)))
        if kind == 2:
            return 6, tcp(pick.choice((22, 4000)), pick.choice((80, 8080)), 0x10)
        return 17, udp(pick.randrange(1000, 1100), pick.randrange(5000, 5004))

    def make_demand(self) -> Frame:
        pick = self.random
        protocol, payload = self._l4()
        last = bytes([10, 2, pick.choice((0, 0, 3)), pick.randrange(4)])
        packet = ipv4(
            pick.choice((self._source(), _v4("10.1.0.9"))),
            last,
            protocol,
            payload,
            ttl=pick.choice((64, 64, 64, 2)),
            tos=pick.choice((0, 0, 46 << 2, 10 << 2, 3)),
            options=pick.choice((b"", b"", b"\x01\x01\x01\x00")),
            fragment=pick.choice((0, 0, 0, 0x2000, 0x00B9, 0x4000)),
        )
        return "mark", pick.choice(("host", "customer")), frame(packet, vlan=pick.choice((0, 0, 7)))

    def make_ruled(self) -> Frame:
        """A flow that has a rule of its own, or all but has."""
        pick = self.random
        source, target, pair = pick.choice(
            (
                ("10.1.0.9", "10.2.0.1", (1000, 1001)),
                ("10.1.0.1", "10.2.0.1", (1000, 5000)),
                ("10.1.0.9", "10.2.0.1", (1001, 1000)),
            )
        )
        packet = ipv4(_v4(source), _v4(target), 17, udp(*pair))
        return "mark", pick.choice(("host", "host", "host2")), frame(packet)

    def make_demand6(self) -> Frame:
        pick = self.random
        protocol, payload = self._l4()
        if pick.random() < 0.2:
            protocol, payload = 44, bytes([17, 0, 0, 1, 0, 0, 0, 1]) + payload
        target = bytes.fromhex(pick.choice(("fd020000", "fd020000", "fd0200000003", "fdee")))
        packet = ipv6(
            self._source6(),
            target.ljust(15, b"\0") + b"\x01",
            protocol,
            payload,
            ttl=pick.choice((64, 64, 64, 1)),
            tos=pick.choice((0, 46 << 2)),
        )
        return "mark", "host", frame(packet, vlan=pick.choice((0, 0, 7)))

    def make_hole(self) -> Frame:
        pick = self.random
        protocol, payload = self._l4()
        destination = pick.choice(("10.3.0.1", "10.3.0.1", "10.4.0.1", "200.1.1.1"))
        return "mark", "host", frame(ipv4(self._source(), _v4(destination), protocol, payload))

    def make_last_hop(self) -> Frame:
        protocol, payload = self._l4()
        packet = ipv4(self._source(), _v4("10.2.0.1"), protocol, payload, ttl=1)
        return "mark", "host", frame(packet)

    def make_long(self) -> Frame:
        size = self.random.choice((1540, 1548, 1549, 1550, 1600))
        packet = ipv4(self._source(), _v4("10.2.0.1"), 17, udp(1, 2, size))
        return "mark", "host", frame(packet)

    def make_no_ip(self) -> Frame:
        kind = self.random.choice((b"\x08\x06", b"\x81\x00", b"\x88\xcc", b"\x89\x4f"))
        return (
            self.random.choice(("mark", "steer", "balance")),
            "host",
            ROUTER + HOST + kind + bytes(self.random.randrange(60)),
        )

    def make_checksum(self) -> Frame:
        """A checksum that carries over when the TTL goes down."""
        program, port, data = self.make_demand()
        at = 28 if data[12:14] == b"\x81\x00" else 24
        check = self.random.choice((b"\xff\xff", b"\xfe\xff", b"\xfd\xff", b"\xff\xfe"))
        return program, port, data[:at] + check + data[at + 2 :]

    def make_cut(self) -> Frame:
        program, port, data = self.make_demand()
        return program, port, data[: self.random.randrange(14, max(15, len(data)))]

    def make_foreign(self) -> Frame:
        _, _, data = self.make_deliver()
        pick = self.random
        kind = pick.randrange(4)
        if kind == 0:
            data = data[:12] + b"\x81\x00\x00\x07" + data[12:]
        elif kind == 1:
            data = data[:14] + data[14:17] + b"\x03" + data[18:38] + frame(data[38:])
        return pick.choice(("mark", "balance")), "host", data

    def make_nested(self) -> Frame:
        pick = self.random
        _, _, data = self.make_deliver()
        inner = pick.choice((data, data[:12] + b"\x81\x00\x00\x07" + data[12:]))
        outer = data[:17] + b"\x03" + data[18:38] + inner
        return (*pick.choice((("mark", "host"), ("steer", "fabric2"))), outer)

    def make_routed(self) -> Frame:
        """What is refused while the kernel has a route for it."""
        pick = self.random
        if pick.random() < 0.5:
            where = pick.choice(("10.77.0.5",) * 3 + ("10.78.0.5", NO_WAY))
            packet = ipv4(self._source(), _v4(where), 17, udp(1, 2))
        else:
            # of one that has no way, and of others that differ from it in the last byte only
            last = pick.choice((1, 1, 1, 0, NO_WAY6.packed[-1]))
            packet = ipv6(self._source6(), NO_WAY6.packed[:-1] + bytes([last]), 17, udp(1, 2))
        if pick.random() < 0.2:
            packet = ipv4(self._source(), _v4("10.77.0.5"), 17, udp(1, 2), ttl=1)
        data = steered(packet, SteeringHeader(5, 1, 2), bytes(16))
        program, port = pick.choice((("mark", "host"), ("steer", "fabric2"), ("steer", "fabric3")))
        return program, port, data

    def _steer(self, header: SteeringHeader, *, key: bytes | None = None) -> bytes:
        pick = self.random
        if pick.random() < 0.7:
            target = bytes([10, 2, 0, pick.choice((1, 1, 2))])
            packet = ipv4(self._source(), target, 17, udp(pick.randrange(4), 9))
        else:
            target = bytes.fromhex("fd020000").ljust(15, b"\0") + b"\x01"
            packet = ipv6(self._source6(), target, 6, tcp(1, 80, 0x10))
        data = steered(packet, header, key or _KEYS[self.secret][header.epoch])
        if key is None and pick.random() < 0.3:
            self._good = [*self._good[-15:], data]
        return data

    def _header(self, circuit: int, si: int, **fields: int | bool) -> SteeringHeader:
        pick = self.random
        defaults: dict[str, int | bool] = {
            "engine": 2,
            "epoch": (self.epoch + pick.choice((0, 0, 1, -1))) % 256,
            "forecast": pick.choice((77, 78)),
            "application": pick.choice((0, 2, 300, 65535)),
            "priority": pick.randrange(16),
            "protected": pick.random() < 0.2,
        }
        return SteeringHeader(circuit, si, **{**defaults, **fields})  # type: ignore[arg-type]

    def make_deliver(self) -> Frame:
        return "steer", "fabric2", self._steer(self._header(self.random.choice((5, 10, ALIKE)), 1))

    def make_instance(self) -> Frame:
        port = self.random.choice((3, 4, 99))
        return "steer", "fabric2", self._steer(self._header(5, 1, flags=1, port=port))

    def make_forward(self) -> Frame:
        ttl = self.random.choice((63, 63, 2, 1))
        return "steer", "fabric2", self._steer(self._header(6, 2, ttl=ttl))

    def make_drop(self) -> Frame:
        pick = self.random
        header = self._header(pick.choice((25, 8, 20)), pick.choice((1, 2)))
        return "steer", "fabric3", self._steer(header)

    def make_stranger(self) -> Frame:
        packet = ipv4(self._source(), _v4("10.2.0.200"), 17, udp(1, 2))
        header = self._header(5, 1)
        return "steer", "fabric2", steered(packet, header, _KEYS[self.secret][header.epoch])

    def make_staged(self) -> Frame:
        """A packet that an edge brings to the engine that spreads its virtual address."""
        pick = self.random
        address = pick.choice(("10.9.0.1", "10.9.0.1", "10.9.0.4"))
        flags = pick.choice((0x10, 0x10, 0x02, 0x11))
        segment = tcp(pick.randrange(200), pick.choice((80, 80, 80, 81)), flags)
        packet = ipv4(
            self._source(), _v4(address), 6, segment, ttl=pick.choice((64, 64, 1)),
            fragment=pick.choice((0, 0, 0, 0x2000)),
        )  # fmt: skip
        header = self._header(5, 1)
        return "steer", "fabric2", steered(packet, header, _KEYS[self.secret][header.epoch])

    def make_unknown(self) -> Frame:
        pick = self.random
        header = self._header(
            pick.choice((0, 7, 5, 16383, 16384, 0x7FFFFF)), pick.choice((0, 2, 3, 4, 255))
        )
        return "steer", "fabric2", self._steer(header)

    def make_no_ttl(self) -> Frame:
        return "steer", "fabric2", self._steer(self._header(5, 1, ttl=0))

    def make_version(self) -> Frame:
        version = self.random.choice((0, 2, 15))
        return "steer", "fabric2", self._steer(self._header(5, 1, version=version))

    def make_stale(self) -> Frame:
        epoch = (self.epoch + self.random.choice((2, 3, 100, -2))) % 256
        return "steer", "fabric2", self._steer(self._header(5, 1, epoch=epoch))

    def make_forged(self) -> Frame:
        return "steer", "fabric2", self._steer(self._header(5, 1), key=bytes(16))

    def make_malformed(self) -> Frame:
        _, port, data = self.make_deliver()
        pick = self.random
        spoiled = bytearray(data)
        at, value = pick.choice(
            ((14, 0x4F), (15, 0xC7), (16, 2), (17, 0), (17, 4), (17, 9), (38, 0x55), (38, 0x44))
        )
        spoiled[at] = value
        return "steer", port, bytes(spoiled)

    def _echo(self, flags: int) -> Frame:
        pick = self.random
        header = self._header(pick.choice((5, 5, 10)), 1, flags=flags)
        echo = Echo(
            pick.choice((22, 0x7FFFFF)),
            pick.choice((1, 255)),
            pick.randrange(5),
            pick.getrandbits(63),
        )
        key = _KEYS[self.secret][header.epoch]
        data = echo_frame(key, header, echo, source_mac=HOST, target_mac=ROUTER)
        return "steer", "fabric2", data

    def make_echo(self) -> Frame:
        return self._echo(self.random.choice((0, 0, 0x84)))

    def make_echo_reply(self) -> Frame:
        return self._echo(self.random.choice((2, 2, 0xFE)))

    def make_replay(self) -> Frame:
        """A header that was good, again: as it was, or with one thing changed under its tag."""
        pick = self.random
        if not self._good:
            return self.make_deliver()
        data = bytearray(pick.choice(self._good))
        kind = pick.randrange(10)
        if kind < 7:
            first, last = ((18, 21), (21, 22), (22, 26), (26, 30), (30, 34), (34, 38), (38, 78))[
                kind
            ]
            if kind == 6:
                first, last = (50, 58) if data[17] == 1 else (46, 78)
            at = pick.randrange(first, min(last, len(data)))
            data[at] ^= 1 << pick.randrange(8)
        elif kind == 7:
            self._next = [("steer", "fabric2", bytes(data))] * pick.randrange(1, 5)
        elif kind == 8:
            header = SteeringHeader.decode(bytes(data[14:]))
            other = replace(header, circuit=header.circuit ^ 5 ^ ALIKE if header.circuit else 5)
            packet = bytes(data[38:])
            return "steer", "fabric2", steered(packet, other, _KEYS[self.secret][header.epoch])
        return "steer", "fabric2", bytes(data)

    def make_collision(self) -> Frame:
        """Flows that share a place in the cache, one after another."""
        pick = self.random
        _, members = pick.choice(self._groups)
        port = pick.choice(("host", "host", "customer", "host2"))
        some = [pick.choice(members) for _ in range(12)]
        self._next = [("mark", port, each) for each in some]
        if pick.random() < 0.3:
            # the same flow with another DSCP, or at another port
            again = bytearray(some[0])
            again[15] = pick.choice((46, 10)) << 2
            check = _sum(bytes(again[14:24]) + b"\0\0" + bytes(again[26:34]))
            again[24:26] = struct.pack("!H", check)
            self._next[::2] = [("mark", port, bytes(again))] * 6
        return self._next.pop()

    def _customers(self, circuit: int, **fields: int) -> bytes:
        header = self._header(circuit, 1, **fields)
        header = replace(header, epoch=fields.get("epoch", self.epoch))
        return self._steer(header, key=_CUSTOMER[self.secret].get(header.epoch, bytes(16)))

    def make_customer(self) -> Frame:
        return "mark", "customer", self._customers(self.random.choice((70, 72)))

    def make_customer_refused(self) -> Frame:
        pick = self.random
        kind = pick.randrange(6)
        if kind == 0:
            return "mark", "customer", self._customers(73)
        if kind == 1:
            return "mark", "customer", self._customers(71)
        if kind == 2:
            return "mark", "customer", self._customers(70, epoch=100)
        if kind == 3:
            return "mark", "customer", self._customers(70, version=3)
        if kind == 4:
            return "mark", "customer", self._customers(70, ttl=0)
        packet = ipv4(self._source(), _v4("10.2.0.1"), 17, udp(1, 2, 1600))
        header = self._header(70, 1, epoch=self.epoch)
        return "mark", "customer", steered(packet, header, _CUSTOMER[self.secret][header.epoch])

    def make_not_granted(self) -> Frame:
        return "mark", "customer", self._customers(self.random.choice((1, 73, 0)))

    def _virtual(self, address: str, protocol: int, payload: bytes, **ip: int) -> Frame:
        packet = ipv4(self._source(), _v4(address), protocol, payload, **ip)  # type: ignore[arg-type]
        vlan = self.random.choice((0, 0, 0, 7))
        return self.random.choice(("mark", "balance")), "host", frame(packet, vlan=vlan)

    def _converse(self) -> Conversation:
        pick = self.random
        kind = pick.randrange(10)
        port = pick.choice(("host", "host", "host", "customer", "host2"))
        sport = pick.randrange(1024, 65536)
        vlan = pick.choice((0, 0, 0, 7))
        source = bytes([10, 1, pick.randrange(3), pick.randrange(256)])
        target, protocol, dport = _v4("10.9.0.1"), 6, 80
        if kind < 3:
            source, sport = pick.choice(pick.choice(self._clients[:4]))
            # the same client again would be the same connection
            if pick.random() < 0.7:
                sport = pick.randrange(1024, 65536)
        elif kind == 3:
            protocol, dport = 17, 53
        elif kind == 4:
            target = _v4("10.9.0.4")
        elif kind == 5:
            target, protocol, dport = _v4("10.9.0.3"), 17, 9
        elif kind < 8:
            source = bytes.fromhex("fd01") + pick.randbytes(14)
            target = bytes.fromhex("fd09").ljust(15, b"\0") + b"\x01"
        if port != "host2":
            # a client is behind one port
            port = "customer" if source[-1] % 4 == 0 else "host"
        if (target, protocol, len(source)) != (_v4("10.9.0.1"), 6, 4) and port == "host2":
            port = "customer" if source[-1] % 4 == 0 else "host"
        return Conversation(
            port,
            pick.choice(("mark", "mark", "mark", "balance")),
            source,
            target,
            protocol,
            sport,
            dport,
            vlan,
            (sport % 3) * 40,
            pick.choice((3, 4, 6, 9)),
        )

    def make_conversation(self) -> Frame:
        """The next packet of a connection: opened, used, closed, perhaps opened again."""
        pick = self.random
        while len(self.live) < self.LIVE:
            self.live.append(self.coming.pop(0))
            self.coming.append(self._converse())
        one = pick.choice(self.live)
        flags = _ACK
        if one.step == 0:
            flags = pick.choice((_SYN, _SYN, _SYN, _SYN, _ACK, _SYN | _FIN, _RST))
        elif one.step == 1:
            flags = pick.choice((_ACK, _ACK, _ACK, _ACK | 8, _SYN, _FIN | _ACK))
        elif one.step == one.length:
            flags = pick.choice((_FIN | _ACK, _RST, _RST | _ACK, _FIN))
        elif one.step == one.length + 1:
            flags = pick.choice((_ACK, _SYN, _FIN | _ACK))
        elif one.step > one.length + 1:
            flags = pick.choice((_ACK, _SYN, _FIN | _ACK, _RST))
        one.step += 1
        if one.step > one.length + pick.choice((1, 2, 3, 5)):
            self.live.remove(one)
            self._gone = [one, *self._gone[:29]]
        size = pick.choice((0, 0, 0, 0, 10, 700, 1536, 1560))
        if pick.random() < (0.08 if flags == _ACK else 0.3):
            size = pick.choice((-4, -5, -6, -6, -6, -7, -15, -16, -17))
        data = one.packet(flags, size)
        if size < 0 and pick.random() < 0.5:
            # what follows a packet is none of it, though it looks like the rest
            data += one.packet(flags)[len(data) :]
        if size < 1000 and flags == _ACK and pick.random() < 0.2:
            self._next = [(one.program, one.port, data)] * pick.randrange(1, 4)
        return one.program, one.port, data

    def touch(self, most: int) -> None:
        """Send a plain packet of connections that are there, or were until just now, next."""
        some = [*self.live, *self._gone][:most]
        self._next = [(one.program, one.port, one.packet(_ACK)) for one in some]

    def make_service_here(self) -> Frame:
        pick = self.random
        if pick.random() < 0.5:
            return self._virtual("10.9.0.1", 17, udp(pick.randrange(60), 53))
        return self._virtual("10.9.0.3", 17, udp(pick.randrange(60), 9))

    def make_service_ttl(self) -> Frame:
        ttl = self.random.choice((0, 1, 2))
        return self._virtual("10.9.0.1", 6, tcp(self.random.randrange(99), 80, 16), ttl=ttl)

    def make_no_backend(self) -> Frame:
        return self._virtual("10.9.0.2", 6, tcp(self.random.randrange(100), 443, 0x10))

    def make_no_way(self) -> Frame:
        return self._virtual("10.9.0.5", 6, tcp(self.random.randrange(100), 80, 0x10))

    def make_no_service(self) -> Frame:
        pick = self.random
        if pick.random() < 0.3:
            return "balance", "host2", self._virtual("10.9.0.1", 17, udp(5, 53))[2]
        return self._virtual("10.9.0.1", 6, tcp(5, pick.choice((81, 443, 53)), 2))

    def make_service_fragment(self) -> Frame:
        if self.random.random() < 0.7:
            return self._virtual("10.9.0.1", 17, udp(1, 53), fragment=0x2000)
        kind = self.random.choice((44, 44, 43, 0))
        inside = bytes([6, 0, 0, 1, 0, 0, 0, 1]) + tcp(1000, 80, _ACK)
        target = bytes.fromhex("fd09").ljust(15, b"\0") + b"\x01"
        return "mark", "host", frame(ipv6(self._source6(), target, kind, inside))

    def make_flood(self) -> Frame:
        pick = self.random
        packet = ipv4(pick.randbytes(4), _v4("10.9.0.1"), 6, tcp(pick.randrange(9), 80, 2))
        return "balance", "host", frame(packet)

    def make_other_engine(self) -> Frame:
        program, _, data = self.random.choice((self.make_demand, self.make_demand6))()
        return program, "host2", data

    def make_stranger_port(self) -> Frame:
        _, _, data = self.random.choice((self.make_demand, self.make_deliver))()
        return self.random.choice(("mark", "steer", "balance")), "out", data

    def mutated(self, data: bytes) -> bytes:
        """Return the frame with one to three things wrong."""
        pick = self.random
        out = bytearray(data)
        for _ in range(pick.randrange(1, 4)):
            kind = pick.randrange(6)
            if kind == 0 and len(out) > 15:
                del out[pick.randrange(14, len(out)) :]
            elif kind == 1:
                out += pick.randbytes(pick.randrange(1, 40))
            elif kind == 2:
                out[pick.randrange(min(len(out), 14), min(len(out) + 1, 80)) :][:1] = b""
            else:
                at = pick.randrange(min(12, len(out) - 1), min(len(out), 90))
                out[at] = pick.choice((0, 1, 0xFF, out[at] ^ 1 << pick.randrange(8)))
        return bytes(out)

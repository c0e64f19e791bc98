"""Frames to fuzz with: one recipe for every way through the programs, then mutations."""

import random
import struct
from collections.abc import Callable
from dataclasses import replace

from bus.keys import derive_key
from dataplane.keys import customer_secret, tag_key
from headers.packet import SteeringHeader
from headers.packet.siphash import siphash24
from headers.packet.steering import Echo, echo_frame
from tests.fuzz.world import CUSTOMER, ROUTER_MAC, SECRET

ROUTER = bytes.fromhex(ROUTER_MAC.replace(":", ""))
HOST = bytes.fromhex("020000000001")
_KEYS = {epoch: tag_key(SECRET, epoch) for epoch in range(256)}
_CUSTOMER = {
    epoch: tag_key(customer_secret(SECRET, CUSTOMER), epoch) for epoch in (255, 0, 1, 2, 3)
}

Frame = tuple[str, str, bytes]
"""The program, the port's name, the frame."""


def _sum(data: bytes) -> int:
    words = struct.unpack(f"!{len(data) // 2}H", data)
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


class Frames:
    """A stream of frames from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.epoch = 0
        self._recipes: list[Callable[[], Frame]] = [
            getattr(self, name) for name in dir(self) if name.startswith("make_")
        ]

    def __next__(self) -> Frame:
        pick = self.random
        program, port, data = pick.choice(self._recipes)()
        if pick.random() < 0.4:
            data = self.mutated(data)
        return program, port, data

    def _flow(self, flags: tuple[int, ...] = (0x02, 0x10, 0x11, 0x14, 0x18)) -> tuple[int, int]:
        return self.random.randrange(1024, 1424), self.random.choice(flags)

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
        destination = pick.choice(("10.3.0.1", "10.4.0.1", "200.1.1.1"))
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
        kind = self.random.choice((b"\x08\x06", b"\x81\x00", b"\x88\xcc"))
        return (
            self.random.choice(("mark", "steer", "balance")),
            "host",
            ROUTER + HOST + kind + bytes(self.random.randrange(60)),
        )

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
        return pick.choice((("mark", "host"), ("steer", "fabric2"))) + (outer,)

    def make_routed(self) -> Frame:
        """What is refused while the kernel has a route for it."""
        pick = self.random
        if pick.random() < 0.5:
            packet = ipv4(self._source(), _v4("10.77.0.5"), 17, udp(1, 2))
        else:
            packet = ipv6(self._source6(), bytes.fromhex("fd77").ljust(16, b"\x01"), 17, udp(1, 2))
        if pick.random() < 0.2:
            packet = ipv4(self._source(), _v4("10.77.0.5"), 17, udp(1, 2), ttl=1)
        data = steered(packet, SteeringHeader(5, 1, 2), bytes(16))
        return pick.choice((("mark", "host"), ("steer", "fabric2"), ("steer", "fabric3"))) + (data,)

    def _steer(self, header: SteeringHeader, *, key: bytes | None = None) -> bytes:
        pick = self.random
        if pick.random() < 0.7:
            target = bytes([10, 2, 0, pick.choice((1, 1, 2))])
            packet = ipv4(self._source(), target, 17, udp(pick.randrange(4), 9))
        else:
            target = bytes.fromhex("fd020000").ljust(15, b"\0") + b"\x01"
            packet = ipv6(self._source6(), target, 6, tcp(1, 80, 0x10))
        return steered(packet, header, key or _KEYS[header.epoch])

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
        return "steer", "fabric2", self._steer(self._header(self.random.choice((5, 10)), 1))

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
        return "steer", "fabric2", steered(packet, header, _KEYS[header.epoch])

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

    def make_echo(self) -> Frame:
        pick = self.random
        header = self._header(5, 1, flags=pick.choice((0, 0, 2)))
        echo = Echo(22, 1, pick.randrange(5), pick.randrange(1 << 40))
        data = echo_frame(_KEYS[header.epoch], header, echo, source_mac=HOST, target_mac=ROUTER)
        return "steer", "fabric2", data

    def _customers(self, circuit: int, **fields: int) -> bytes:
        header = self._header(circuit, 1, **fields)
        header = replace(header, epoch=fields.get("epoch", self.epoch))
        return self._steer(header, key=_CUSTOMER.get(header.epoch, bytes(16)))

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
        return "mark", "customer", steered(packet, header, _CUSTOMER[header.epoch])

    def make_not_granted(self) -> Frame:
        return "mark", "customer", self._customers(self.random.choice((1, 73, 0)))

    def _virtual(self, address: str, protocol: int, payload: bytes, **ip: int) -> Frame:
        packet = ipv4(self._source(), _v4(address), protocol, payload, **ip)  # type: ignore[arg-type]
        vlan = self.random.choice((0, 0, 0, 7))
        return self.random.choice(("mark", "balance")), "host", frame(packet, vlan=vlan)

    def make_service(self) -> Frame:
        sport, flags = self._flow()
        return self._virtual("10.9.0.1", 6, tcp(sport, 80, flags))

    def make_open(self) -> Frame:
        sport, flags = self._flow((0x10,))
        return self._virtual("10.9.0.1", 6, tcp(sport, 80, flags))

    def make_close(self) -> Frame:
        sport, flags = self._flow((0x11, 0x02, 0x10))
        return self._virtual("10.9.0.1", 6, tcp(sport % 64 + 1024, 80, flags))

    def make_service6(self) -> Frame:
        sport, flags = self._flow()
        target = bytes.fromhex("fd09").ljust(15, b"\0") + b"\x01"
        packet = ipv6(self._source6(), target, 6, tcp(sport, 80, flags))
        return "mark", "host", frame(packet)

    def make_service_here(self) -> Frame:
        pick = self.random
        if pick.random() < 0.5:
            return self._virtual("10.9.0.1", 17, udp(pick.randrange(60), 53))
        return self._virtual("10.9.0.3", 17, udp(pick.randrange(60), 9))

    def make_no_backend(self) -> Frame:
        return self._virtual("10.9.0.2", 6, tcp(self.random.randrange(100), 443, 0x10))

    def make_no_service(self) -> Frame:
        return self._virtual("10.9.0.1", 6, tcp(5, self.random.choice((81, 443)), 2))

    def make_service_fragment(self) -> Frame:
        return self._virtual("10.9.0.1", 17, udp(1, 53), fragment=0x2000)

    def make_flood(self) -> Frame:
        pick = self.random
        packet = ipv4(pick.randbytes(4), _v4("10.9.0.1"), 6, tcp(pick.randrange(9), 80, 2))
        return "balance", "host", frame(packet)

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


__all__ = ["Frames", "derive_key"]

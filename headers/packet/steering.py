"""The steering header: NSH (RFC 8300), MD type 1, with our meaning of its four context words.

``steering.h`` beside this file is the same in C.
"""

import ipaddress
import struct
import sys
from dataclasses import dataclass, replace

from headers.errors import PacketError
from headers.packet.siphash import siphash24

ETHERTYPE = 0x894F
LENGTH = 24
VERSION = 1
TTL = 63
NEXT_NONE, NEXT_IPV4, NEXT_IPV6, NEXT_ETHERNET = 0, 1, 2, 3
FLAG_INSTANCE, FLAG_REPLY = 0x01, 0x02
MAX_CIRCUIT = 0x7FFFFF

_LAYOUT = struct.Struct("!HBBIIIII")
_ECHO = struct.Struct("!II8s")
_ETHERNET_LENGTH = 14
_SHORTEST_FRAME = 60


@dataclass(frozen=True, slots=True)
class SteeringHeader:
    """One steering header, field by field.

    ``circuit``: 23 bits; ``protected``: on the protection path (outside the tag); ``si``: hops
    left, 8 bits; ``ttl``: 6 bits; ``oam``: an echo; ``engine`` and ``port``: where the packet is
    predicted to leave, 16 bits each; ``version`` 4, ``priority`` 4, ``application`` 16, ``flags``
    8 bits; ``epoch`` 8 and ``forecast`` 24 bits; ``tag``: 32 bits.
    """

    circuit: int
    si: int
    engine: int = 0
    port: int = 0
    priority: int = 0
    application: int = 0
    flags: int = 0
    epoch: int = 0
    forecast: int = 0
    tag: int = 0
    protected: bool = False
    ttl: int = TTL
    version: int = VERSION
    next_protocol: int = NEXT_IPV4
    oam: bool = False

    def context(self) -> tuple[int, int, int]:
        """Return the context words C1 to C3."""
        c1 = self.engine << 16 | self.port
        c2 = self.version << 28 | self.priority << 24 | self.application << 8 | self.flags
        return c1, c2, self.epoch << 24 | self.forecast

    def encode(self) -> bytes:
        """Return the header's 24 bytes.

        Raises:
            PacketError: a field does not fit its bits.
        """
        for name, bits in _WIDTHS.items():
            value = getattr(self, name)
            if not 0 <= value < 1 << bits:
                raise PacketError("field", f"{name} is {value}, which {bits} bits do not hold")
        spi = self.circuit | (1 << 23 if self.protected else 0)
        return _LAYOUT.pack(
            (0x2000 if self.oam else 0) | self.ttl << 6 | LENGTH // 4,
            1,
            self.next_protocol,
            spi << 8 | self.si,
            *self.context(),
            self.tag,
        )

    @classmethod
    def decode(cls, data: bytes) -> "SteeringHeader":
        """Read the header at the start of ``data``.

        Raises:
            PacketError: too short, or no NSH of version 0, MD type 1 and 24 bytes.
        """
        if len(data) < LENGTH:
            raise PacketError("malformed", f"{len(data)} bytes are too few for a steering header")
        flags, md_type, next_protocol, spi_si, c1, c2, c3, tag_ = _LAYOUT.unpack_from(data)
        if flags >> 14 or flags & 0x3F != LENGTH // 4 or md_type & 0xF != 1:
            raise PacketError("malformed", "not NSH of version 0, MD type 1 and length 24")
        return cls(
            circuit=spi_si >> 8 & MAX_CIRCUIT,
            si=spi_si & 0xFF,
            engine=c1 >> 16,
            port=c1 & 0xFFFF,
            version=c2 >> 28,
            priority=c2 >> 24 & 0xF,
            application=c2 >> 8 & 0xFFFF,
            flags=c2 & 0xFF,
            epoch=c3 >> 24,
            forecast=c3 & 0xFFFFFF,
            tag=tag_,
            protected=bool(spi_si >> 31),
            ttl=flags >> 6 & 0x3F,
            next_protocol=next_protocol,
            oam=bool(flags & 0x2000),
        )

    def tagged(self, key: bytes, source: str, destination: str) -> "SteeringHeader":
        """Return this header with the tag of its epoch's 16-byte key over the inner addresses."""
        return replace(self, tag=tag(key, self, source, destination))


_WIDTHS = {
    "circuit": 23,
    "si": 8,
    "engine": 16,
    "port": 16,
    "priority": 4,
    "application": 16,
    "flags": 8,
    "epoch": 8,
    "forecast": 24,
    "tag": 32,
    "ttl": 6,
    "version": 4,
    "next_protocol": 8,
}


def tag(key: bytes, header: SteeringHeader, source: str, destination: str) -> int:
    """Return the header's 32-bit tag for a packet between two addresses.

    SipHash-2-4, its low 32 bits, over the circuit id, C1 to C3 and the inner packet's source and
    destination, all as they lie in the packet. SI, TTL and the protection bit change on the way
    and are outside.
    """
    addresses = ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed
    return _tag_over(key, header, addresses)


def _tag_over(key: bytes, header: SteeringHeader, rest: bytes) -> int:
    message = struct.pack("!IIII", header.circuit, *header.context()) + rest
    return siphash24(key, message) & 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Echo:
    """What an echo carries behind its header: where the answer goes, and the sender's own words.

    ``reply_circuit``: 23 bits; ``reply_si``: 8 bits; ``sequence``: 32 bits; ``sent_ns``: 64 bits,
    the sender's monotonic clock, which comes back unread.
    """

    reply_circuit: int
    reply_si: int
    sequence: int
    sent_ns: int

    def encode(self) -> bytes:
        """Return 16 bytes.

        Raises:
            PacketError: a field does not fit its bits.
        """
        try:
            return _ECHO.pack(
                self.reply_circuit << 8 | self.reply_si,
                self.sequence,
                self.sent_ns.to_bytes(8, sys.byteorder),
            )
        except (struct.error, OverflowError) as error:
            raise PacketError("field", f"an echo's field does not fit: {error}") from error

    @classmethod
    def decode(cls, data: bytes) -> "Echo":
        """Read what follows an echo's header.

        Raises:
            PacketError: too short.
        """
        if len(data) < _ECHO.size:
            raise PacketError("malformed", f"{len(data)} bytes are too few for an echo")
        spi_si, sequence, sent = _ECHO.unpack_from(data)
        return cls(spi_si >> 8, spi_si & 0xFF, sequence, int.from_bytes(sent, sys.byteorder))


def echo_frame(
    key: bytes, header: SteeringHeader, echo: Echo, *, source_mac: bytes, target_mac: bytes
) -> bytes:
    """Return an Ethernet frame of 60 bytes that holds an echo, tagged with a 16-byte key.

    The tag covers the echo's 16 bytes in the place of addresses.

    Raises:
        PacketError: a field does not fit its bits.
    """
    body = echo.encode()
    oam = replace(header, oam=True, next_protocol=NEXT_NONE)
    oam = replace(oam, tag=_tag_over(key, oam, body))
    frame = target_mac + source_mac + struct.pack("!H", ETHERTYPE) + oam.encode() + body
    return frame.ljust(_SHORTEST_FRAME, b"\0")


def steer_frame(frame: bytes, header: SteeringHeader) -> bytes:
    """Return an Ethernet frame with a steering header put between Ethernet and its payload.

    Raises:
        PacketError: the frame is shorter than an Ethernet header.
    """
    if len(frame) < _ETHERNET_LENGTH:
        raise PacketError("malformed", "the frame is shorter than an Ethernet header")
    return frame[:12] + struct.pack("!H", ETHERTYPE) + header.encode() + frame[_ETHERNET_LENGTH:]

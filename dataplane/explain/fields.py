"""Frames field by field, with the offset of each: every byte belongs to a field."""

import ipaddress
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from headers.packet.steering import ETHERTYPE, FLAG_INSTANCE, FLAG_REPLY

VLAN, IPV4, IPV6 = 0x8100, 0x0800, 0x86DD
NSH_IPV4, NSH_IPV6, NSH_ETHERNET, NSH_NSH = 1, 2, 3, 4
TCP, UDP = 6, 17
MOST_NESTED = 4
_SHOWN_BYTES = 16
_BASE_BYTES = 8

Shown = tuple[str, str]
"""A value and what is to be said of it."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field: its first byte and how many it touches, its name, its value, what that means."""

    offset: int
    size: int
    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Layer:
    """A header, or what follows the last one."""

    name: str
    offset: int
    fields: tuple[Field, ...]


class Bits(NamedTuple):
    """A field of a header's layout: its name, its width, how it is shown."""

    name: str
    width: int
    show: Callable[[int], Shown] = lambda value: (str(value), "")


def _hex(width: int) -> Callable[[int], Shown]:
    return lambda value: (f"0x{value:0{width // 4}x}", "")


def _named(names: Mapping[int, str], width: int = 0) -> Callable[[int], Shown]:
    def show(value: int) -> Shown:
        return (f"0x{value:0{width // 4}x}" if width else str(value)), names.get(value, "")

    return show


def _mac(value: int) -> Shown:
    return value.to_bytes(6, "big").hex(":"), ""


def _ipv4(value: int) -> Shown:
    return str(ipaddress.IPv4Address(value)), ""


def _ipv6(value: int) -> Shown:
    return str(ipaddress.IPv6Address(value)), ""


def _words(value: int) -> Shown:
    return str(value), f"{value * 4} bytes"


def _flags(value: int) -> Shown:
    names = {FLAG_INSTANCE: "the port names an instance", FLAG_REPLY: "an echo's answer"}
    return f"0x{value:02x}", ", ".join(text for bit, text in names.items() if value & bit)


def _tcp_flags(value: int) -> Shown:
    names = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
    return f"0x{value:02x}", " ".join(n for bit, n in enumerate(names) if value >> bit & 1)


_TYPES = {ETHERTYPE: "NSH", IPV4: "IPv4", IPV6: "IPv6", VLAN: "802.1Q tag", 0x0806: "ARP"}
_PROTOCOLS = {1: "ICMP", TCP: "TCP", UDP: "UDP", 44: "fragment", 58: "ICMPv6"}
_NEXT = {0: "none", NSH_IPV4: "IPv4", NSH_IPV6: "IPv6", NSH_ETHERNET: "Ethernet", NSH_NSH: "NSH"}
_YES = {0: "", 1: "set"}

ETHERNET = (
    Bits("destination", 48, _mac),
    Bits("source", 48, _mac),
    Bits("type", 16, _named(_TYPES, 16)),
)
TAG_802_1Q = (
    Bits("priority", 3),
    Bits("drop eligible", 1),
    Bits("VLAN", 12),
    Bits("type", 16, _named(_TYPES, 16)),
)
NSH = (
    Bits("version", 2),
    Bits("O", 1, _named({0: "", 1: "an echo"})),
    Bits("unassigned", 1),
    Bits("TTL", 6),
    Bits("length", 6, _words),
    Bits("unassigned", 4),
    Bits("MD type", 4),
    Bits("next protocol", 8, _named(_NEXT)),
    Bits("P", 1, _named({0: "", 1: "on the protection path"})),
    Bits("circuit", 23),
    Bits("SI", 8),
)
CONTEXT: tuple[tuple[str, tuple[Bits, ...]], ...] = (
    ("C1: predicted destination", (Bits("engine", 16), Bits("port or instance", 16))),
    (
        "C2: what it is",
        (
            Bits("format version", 4),
            Bits("priority", 4),
            Bits("application type", 16),
            Bits("flags", 8, _flags),
        ),
    ),
    ("C3: key and forecast", (Bits("key epoch", 8), Bits("forecast", 24))),
    ("C4: tag", (Bits("tag", 32, _hex(32)),)),
)
ECHO = (
    Bits("reply P", 1),
    Bits("reply circuit", 23),
    Bits("reply SI", 8),
    Bits("sequence", 32),
    Bits("sent (sender's clock)", 64, _hex(64)),
)
IPV4_HEADER = (
    Bits("version", 4),
    Bits("header length", 4, _words),
    Bits("DSCP", 6),
    Bits("ECN", 2),
    Bits("total length", 16),
    Bits("identification", 16, _hex(16)),
    Bits("reserved", 1),
    Bits("DF", 1, _named(_YES)),
    Bits("MF", 1, _named(_YES)),
    Bits("fragment offset", 13),
    Bits("TTL", 8),
    Bits("protocol", 8, _named(_PROTOCOLS)),
    Bits("checksum", 16, _hex(16)),
    Bits("source", 32, _ipv4),
    Bits("destination", 32, _ipv4),
)
IPV6_HEADER = (
    Bits("version", 4),
    Bits("DSCP", 6),
    Bits("ECN", 2),
    Bits("flow label", 20, _hex(20)),
    Bits("payload length", 16),
    Bits("next header", 8, _named(_PROTOCOLS)),
    Bits("hop limit", 8),
    Bits("source", 128, _ipv6),
    Bits("destination", 128, _ipv6),
)
UDP_HEADER = (
    Bits("source port", 16),
    Bits("destination port", 16),
    Bits("length", 16),
    Bits("checksum", 16, _hex(16)),
)
TCP_HEADER = (
    Bits("source port", 16),
    Bits("destination port", 16),
    Bits("sequence", 32),
    Bits("acknowledged", 32),
    Bits("header length", 4, _words),
    Bits("reserved", 4),
    Bits("flags", 8, _tcp_flags),
    Bits("window", 16),
    Bits("checksum", 16, _hex(16)),
    Bits("urgent", 16),
)


def dissect(frame: bytes) -> tuple[Layer, ...]:
    """Return all layers of an Ethernet frame; what is cut off is shown as far as it goes."""
    walk = _Walk(frame)
    walk.ethernet(0)
    walk.rest("payload")
    return tuple(walk.layers)


class _Walk:
    """Goes through a frame from its start, and notes each layer."""

    def __init__(self, frame: bytes) -> None:
        self.frame = frame
        self.at = 0
        self.end = len(frame)
        self.layers: list[Layer] = []

    def take(self, name: str, layout: tuple[Bits, ...]) -> dict[str, int] | None:
        """Note a header; return its values, or None where the frame ends within it."""
        start, bit, values = self.at, 0, dict[str, int]()
        found: list[Field] = []
        size = sum(each.width for each in layout) // 8
        there = self.frame[start : min(start + size, self.end)]
        for each in layout:
            first, last = bit // 8, (bit + each.width - 1) // 8
            if last >= len(there):
                break
            number = int.from_bytes(there[first : last + 1], "big")
            values[each.name] = number >> 7 - (bit + each.width - 1) % 8 & (1 << each.width) - 1
            found.append(
                Field(start + first, last - first + 1, each.name, *each.show(values[each.name]))
            )
            bit += each.width
        self.at = start + len(there)
        if len(there) < size:
            seen = -(-bit // 8)
            rest = there[seen:]
            note = f"{len(there)} of {size} bytes are there"
            found.append(Field(start + seen, len(rest), "cut off", rest.hex(), note))
        self.layers.append(Layer(name, start, tuple(found)))
        return values if len(there) == size else None

    def take_bytes(self, layer: str, name: str, size: int, note: str = "") -> None:
        """Note bytes that are not looked into, as many as are there."""
        data = self.frame[self.at : min(self.at + size, self.end)]
        if data:
            more = f" and {len(data) - _SHOWN_BYTES} more" if len(data) > _SHOWN_BYTES else ""
            shown = data[:_SHOWN_BYTES].hex() + more
            field = Field(self.at, len(data), name, shown, note)
            self.layers.append(Layer(layer, self.at, (field,)))
            self.at += len(data)

    def rest(self, name: str) -> None:
        """Note what no header claimed; what lies behind an IP packet's end is padding."""
        self.take_bytes("Payload", name, self.end - self.at)
        self.end = len(self.frame)
        self.take_bytes("Padding", "padding", self.end - self.at)

    def ethernet(self, depth: int) -> None:
        """Note an Ethernet header and what is in it."""
        header = self.take("Ethernet", ETHERNET)
        while header is not None and header["type"] == VLAN:
            header = self.take("802.1Q", TAG_802_1Q)
        if header is not None:
            self.network(header["type"], depth)

    def network(self, kind: int, depth: int) -> None:
        """Note what an EtherType names."""
        if kind == ETHERTYPE:
            self.nsh(depth)
        elif kind == IPV4:
            self.ipv4()
        elif kind == IPV6:
            self.ipv6()

    def nsh(self, depth: int) -> None:
        """Note a steering header, or another NSH, and what follows."""
        header = self.take("NSH", NSH)
        if header is None or depth > MOST_NESTED:
            return
        if header["MD type"] == 1 and header["length"] == 6:
            for name, layout in CONTEXT:
                if self.take(name, layout) is None:
                    return
        else:
            size = max(0, header["length"] * 4 - _BASE_BYTES)
            self.take_bytes("NSH's context", "not ours", size)
        following = header["next protocol"]
        if following == 0 and header["O"]:
            if self.take("Echo", ECHO) is not None:
                self.take_bytes("Padding", "padding", self.end - self.at)
        elif following == NSH_ETHERNET:
            self.ethernet(depth + 1)
        else:
            kinds = {NSH_IPV4: IPV4, NSH_IPV6: IPV6, NSH_NSH: ETHERTYPE}
            self.network(kinds.get(following, 0), depth + 1)

    def ipv4(self) -> None:
        """Note an IPv4 header, and TCP or UDP behind it."""
        start = self.at
        header = self.take("IPv4", IPV4_HEADER)
        if header is None:
            return
        size = header["header length"] * 4
        if size > 20:
            self.take_bytes("IPv4 options", "options", size - 20)
        self._note(start, "checksum", _checksum(self.frame[start : start + size]))
        self._bound(start, "total length", header["total length"])
        if not header["fragment offset"]:
            self.transport(header["protocol"])

    def ipv6(self) -> None:
        """Note an IPv6 header, and TCP or UDP right behind it."""
        start = self.at
        header = self.take("IPv6", IPV6_HEADER)
        if header is not None:
            self._bound(start, "payload length", header["payload length"] + 40)
            self.transport(header["next header"])

    def _bound(self, start: int, name: str, length: int) -> None:
        """End the packet where its own length says, and say so where it is not whole."""
        there = len(self.frame) - start
        if length > there:
            self._note(start, name, f"only {there} bytes of {length} are there")
        elif length >= self.at - start:
            self.end = start + length
        else:
            self._note(start, name, "shorter than the header itself")

    def _note(self, start: int, name: str, note: str) -> None:
        """Say something of a field of the layer that starts there."""
        for number, layer in enumerate(self.layers):
            if layer.offset == start and note:
                self.layers[number] = Layer(
                    layer.name,
                    layer.offset,
                    tuple(
                        Field(f.offset, f.size, f.name, f.value, note) if f.name == name else f
                        for f in layer.fields
                    ),
                )

    def transport(self, protocol: int) -> None:
        """Note TCP with its options, or UDP."""
        if protocol == UDP:
            self.take("UDP", UDP_HEADER)
        elif protocol == TCP:
            header = self.take("TCP", TCP_HEADER)
            if header is not None and header["header length"] > 5:
                self.take_bytes("TCP options", "options", header["header length"] * 4 - 20)


def _checksum(header: bytes) -> str:
    """Say whether an IPv4 header's checksum is right; engines do not look at it."""
    if len(header) % 2 or len(header) < 20:
        return ""
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return "" if total == 0xFFFF else "wrong: the receiving host drops the packet"

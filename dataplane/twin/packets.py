"""Packets as the programs see them: parsing, the flow's hash, headers on and off."""

import struct
from dataclasses import dataclass

from dataplane.maps import flow_key
from headers.packet import SteeringHeader
from headers.packet.siphash import siphash24
from headers.packet.steering import ETHERTYPE, LENGTH

IPV4, IPV6, VLAN = 0x0800, 0x86DD, 0x8100
KINDS = {1: IPV4, 2: IPV6}
"""The EtherType of what NSH's next protocol names."""
L2_PLAIN, L2_VLAN = 14, 18
TCP, UDP, FRAGMENT = 6, 17, 44
FIN, SYN, RST = 0x01, 0x02, 0x04
ECHO_BYTES = 16
_U64 = (1 << 64) - 1


@dataclass(slots=True)
class Parsed:
    """An IP packet: what decides about it. ``source`` and ``destination``: 4 or 16 bytes."""

    family: int
    source: bytes
    destination: bytes
    protocol: int
    ttl: int
    tos: int
    sport: int = 0
    dport: int = 0
    tcp_flags: int = 0
    fragment: bool = False

    def key(self, engine: int) -> bytes:
        """Return the flow's key in the maps."""
        return flow_key(
            self.source, self.destination, self.sport, self.dport, self.protocol, engine
        )


def ether_type(frame: bytes) -> tuple[int, int]:
    """Return what follows Ethernet and where it starts; one 802.1Q tag is looked behind.

    0 where the tag is cut off.
    """
    kind = int.from_bytes(frame[12:14], "big")
    if kind != VLAN:
        return kind, L2_PLAIN
    if len(frame) < L2_VLAN:
        return 0, L2_PLAIN
    return int.from_bytes(frame[16:18], "big"), L2_VLAN


def parse(kind: int, data: bytes) -> Parsed | str:
    """Return the packet in ``data``, or ``plain`` (no IP) or ``truncated`` (not whole, or not IP).

    Ports are read only where every packet of a datagram has them: of TCP and UDP that is no
    fragment, and in IPv6 stands right behind the header.
    """
    if kind == IPV4:
        return _parse_ipv4(data)
    if kind == IPV6:
        return _parse_ipv6(data)
    return "plain"


def _parse_ipv4(data: bytes) -> Parsed | str:
    if len(data) < 20 or data[0] >> 4 != 4 or data[0] & 0xF < 5:
        return "truncated"
    header, length = (data[0] & 0xF) * 4, int.from_bytes(data[2:4], "big")
    if length < header or length > len(data):
        return "truncated"
    packet = Parsed(4, data[12:16], data[16:20], data[9], data[8], data[1])
    if int.from_bytes(data[6:8], "big") & 0x3FFF:
        packet.fragment = True
        return packet
    _read_ports(packet, data, header, length)
    return packet


def _parse_ipv6(data: bytes) -> Parsed | str:
    if len(data) < 40 or data[0] >> 4 != 6:
        return "truncated"
    length = int.from_bytes(data[4:6], "big") + 40
    if length > len(data):
        return "truncated"
    tos = (data[0] & 0xF) << 4 | data[1] >> 4
    packet = Parsed(6, data[8:24], data[24:40], data[6], data[7], tos)
    if packet.protocol == FRAGMENT:
        packet.fragment = True
        return packet
    _read_ports(packet, data, 40, length)
    return packet


def _read_ports(packet: Parsed, data: bytes, at: int, length: int) -> None:
    """Read ports and TCP flags that lie within the packet's own length, and within the frame."""
    if packet.protocol not in (TCP, UDP) or length < at + 4:
        return
    packet.sport, packet.dport = struct.unpack_from("!HH", data, at)
    if packet.protocol == TCP and length >= at + 14:
        packet.tcp_flags = data[at + 13]


def _step(h: int, word: int) -> int:
    h = (h ^ word) * 0xFF51AFD7ED558CCD & _U64
    return h ^ h >> 32


def flow_hash(seed: int, packet: Parsed) -> int:
    """Return the flow's 64-bit hash: address words in pairs, then ports and protocol."""
    h = seed
    for at in range(0, len(packet.source), 4):
        source = int.from_bytes(packet.source[at : at + 4], "little")
        h = _step(h, source | int.from_bytes(packet.destination[at : at + 4], "little") << 32)
    ports = int.from_bytes(struct.pack("!HH", packet.sport, packet.dport), "little")
    h = _step(h, ports | packet.protocol << 32)
    h = h * 0xC4CEB9FE1A85EC53 & _U64
    return h ^ h >> 29


def tag_of(key: bytes, circuit: int, c1: int, c2: int, c3: int, addresses: bytes) -> int:
    """Return the tag over circuit id, C1 to C3 and the addresses (or an echo's first words)."""
    return siphash24(key, struct.pack("!IIII", circuit, c1, c2, c3) + addresses) & 0xFFFFFFFF


def push(frame: bytes, l2: int, header: SteeringHeader) -> bytes:
    """Return the frame with a header between Ethernet and IP, and without its 802.1Q tag."""
    return frame[:12] + ETHERTYPE.to_bytes(2, "big") + header.encode() + frame[l2:]


def pop(frame: bytes, l2: int) -> bytes | None:
    """Return the frame without its header, or None where there is no packet inside to be had."""
    inside = frame[l2:]
    if len(inside) < LENGTH or inside[1] & 0x3F != LENGTH // 4 or len(frame) < L2_VLAN:
        return None
    kind = KINDS.get(inside[3])
    rest = inside[LENGTH:]
    if kind is not None:
        popped = frame[: l2 - 2] + kind.to_bytes(2, "big") + rest
        return popped if len(popped) >= L2_VLAN else None
    if inside[3] == 3 and len(rest) >= L2_PLAIN:
        return rest
    return None


def decrement_ttl(frame: bytes, l2: int, family: int) -> bytes:
    """Return the frame with one hop less; IPv4's checksum is kept right (RFC 1624)."""
    data = bytearray(frame)
    if family == 6:
        data[l2 + 7] = data[l2 + 7] - 1 & 0xFF
        return bytes(data)
    # the programs add to the checksum as it lies in memory
    check = int.from_bytes(data[l2 + 10 : l2 + 12], "little") + 0x0001
    data[l2 + 10 : l2 + 12] = (check + (check >= 0xFFFF) & 0xFFFF).to_bytes(2, "little")
    data[l2 + 8] = data[l2 + 8] - 1 & 0xFF
    return bytes(data)

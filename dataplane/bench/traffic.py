"""The benchmark's traffic: the first 64 bytes of every frame, made beforehand.

The generator copies them one after another, so what it costs does not depend on what the frames
carry, and consecutive frames are of unrelated flows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headers.packet.steering import ETHERTYPE, SteeringHeader

TEMPLATE = 64
"""Bytes of a frame that are its headers; the generator writes these."""
PLAIN_FRAME = 64
"""Bytes of a plain frame: the shortest on a wire that also fills a template."""
STEERED_FRAME = 88

TEN_THOUSAND = 10_000
MILLION = 1_000_000
PAIRS = MILLION
FRESH = 65_536
CIRCUITS = 1_000
NETWORKS = 65_536

ROUTER_MAC = bytes.fromhex("02f000000001")
HOST_MAC = bytes.fromhex("02f000000002")
DESTINATIONS = 10 << 24
"""10.0.0.0/8 holds all destinations, in 256 networks of /16 and 65,536 of /24."""
_SOURCES = 11 << 24
_FRESH_SOURCES = 12 << 24
_FRESH_BITS = 18
VIP = "198.51.100.1"
VIP_PORT = 80

_ETHERNET: list[tuple[str, Any] | tuple[str, Any, int]] = [
    ("dst", "u1", 6),
    ("src", "u1", 6),
    ("proto", ">u2"),
]
_NSH: list[tuple[str, Any] | tuple[str, Any, int]] = [
    ("flags", ">u2"),
    ("md", "u1"),
    ("next", "u1"),
    ("spi_si", ">u4"),
    ("c1", ">u4"),
    ("c2", ">u4"),
    ("c3", ">u4"),
    ("tag", ">u4"),
]
_IP: list[tuple[str, Any] | tuple[str, Any, int]] = [
    ("words", "u1"),
    ("tos", "u1"),
    ("length", ">u2"),
    ("id", ">u2"),
    ("fragment", ">u2"),
    ("ttl", "u1"),
    ("protocol", "u1"),
    ("check", ">u2"),
    ("saddr", ">u4"),
    ("daddr", ">u4"),
    ("sport", ">u2"),
    ("dport", ">u2"),
]
PLAIN = np.dtype([*_ETHERNET, *_IP, ("rest", "u1", 26)])
STEERED = np.dtype([*_ETHERNET, *_NSH, *_IP, ("rest", "u1", 2)])
_TCP_FLAGS = 34 + 13 - 38
"""Where TCP's flags lie in ``rest`` of a plain frame."""
TCP_FIN, TCP_SYN, TCP_ACK = 0x01, 0x02, 0x10

Frames = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Block:
    """A run of templates in the generator's table: the first, how many, and the frames' length."""

    base: int
    count: int
    length: int

    def part(self, count: int) -> "Block":
        """Return the first ``count`` templates of this block.

        Raises:
            ValueError: there are not as many.
        """
        if not 0 < count <= self.count:
            raise ValueError(f"{count} of {self.count} templates")
        return Block(self.base, count, self.length)


def siphash24_many(key: bytes, words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the SipHash-2-4 of many messages of the same length: [n, words] to [n].

    The words are the messages' bytes read as little-endian numbers.
    """
    k0, k1 = (np.uint64(x) for x in np.frombuffer(key, "<u8"))
    count = len(words)
    v0 = np.full(count, k0 ^ np.uint64(0x736F6D6570736575))
    v1 = np.full(count, k1 ^ np.uint64(0x646F72616E646F6D))
    v2 = np.full(count, k0 ^ np.uint64(0x6C7967656E657261))
    v3 = np.full(count, k1 ^ np.uint64(0x7465646279746573))

    def turn(x: NDArray[np.uint64], bits: int) -> NDArray[np.uint64]:
        turned: NDArray[np.uint64] = (x << np.uint64(bits)) | (x >> np.uint64(64 - bits))
        return turned

    def mix(rounds: int) -> None:
        nonlocal v0, v1, v2, v3
        for _ in range(rounds):
            v0 = v0 + v1
            v1 = turn(v1, 13) ^ v0
            v0 = turn(v0, 32)
            v2 = v2 + v3
            v3 = turn(v3, 16) ^ v2
            v0 = v0 + v3
            v3 = turn(v3, 21) ^ v0
            v2 = v2 + v1
            v1 = turn(v1, 17) ^ v2
            v2 = turn(v2, 32)

    last = np.full(count, np.uint64((words.shape[1] * 8 & 0xFF) << 56))
    for word in (*words.T, last):
        v3 = v3 ^ word
        mix(2)
        v0 = v0 ^ word
    v2 = v2 ^ np.uint64(0xFF)
    mix(4)
    result: NDArray[np.uint64] = v0 ^ v1 ^ v2 ^ v3
    return result


def _fill_ip(frames: Frames, bytes_after_ethernet: int, protocol: int) -> None:
    """Write all of the IP header but the addresses, which must be there."""
    frames["words"] = 0x45
    frames["length"] = bytes_after_ethernet
    frames["ttl"] = 64
    frames["protocol"] = protocol
    frames["check"] = 0
    total = np.full(len(frames), 0x4500 + bytes_after_ethernet + (64 << 8) + protocol, np.uint64)
    for name in ("saddr", "daddr"):
        value = frames[name].astype(np.uint64)
        total += (value >> np.uint64(16)) + (value & np.uint64(0xFFFF))
    for _ in range(2):
        total = (total & np.uint64(0xFFFF)) + (total >> np.uint64(16))
    frames["check"] = total ^ np.uint64(0xFFFF)


def _ethernet(frames: Frames, ethertype: int) -> None:
    frames["dst"] = list(ROUTER_MAC)
    frames["src"] = list(HOST_MAC)
    frames["proto"] = ethertype


def destinations(count: int) -> NDArray[np.uint32]:
    """Return the destination addresses of the first pairs; as many /24 as may be are met."""
    random = np.random.default_rng(7)
    networks = random.permutation(NETWORKS)[np.arange(count) % NETWORKS]
    hosts = random.integers(1, 255, count)
    return (DESTINATIONS | networks << 8 | hosts).astype(np.uint32)


def plain(count: int = PAIRS) -> Frames:
    """Return UDP frames of random address pairs: [count] of PLAIN."""
    random = np.random.default_rng(11)
    frames = np.zeros(count, PLAIN)
    _ethernet(frames, 0x0800)
    frames["saddr"] = _SOURCES | random.integers(1, 1 << 24, count)
    frames["daddr"] = destinations(count)
    frames["sport"] = random.integers(1024, 65536, count)
    frames["dport"] = 4789
    _fill_ip(frames, PLAIN_FRAME - 14, 17)
    frames["rest"][:, 1] = PLAIN_FRAME - 34  # the UDP length, in its low byte
    return frames


def circuit_of(count: int) -> NDArray[np.uint32]:
    """Return the circuits that the first pairs are on: 1 to CIRCUITS."""
    random = np.random.default_rng(13)
    return random.integers(1, CIRCUITS + 1, count).astype(np.uint32)


def steered(frames: Frames, key: bytes, si: int = 2, epoch: int = 0) -> Frames:
    """Return frames of PLAIN in steering headers that the key's engines take: [n] of STEERED."""
    count = len(frames)
    found = np.zeros(count, STEERED)
    _ethernet(found, ETHERTYPE)
    circuits = circuit_of(count)
    sample = SteeringHeader(circuit=1, si=si, engine=2, epoch=epoch, forecast=1)
    found.view("u1").reshape(count, TEMPLATE)[:, 14:38] = np.frombuffer(sample.encode(), "u1")
    found["spi_si"] = circuits << np.uint32(8) | np.uint32(si)
    for name, _ in ((x[0], x[1]) for x in _IP):
        found[name] = frames[name]
    found["rest"] = frames["rest"][:, :2]
    message = np.zeros((count, 6), ">u4")
    for position, values in enumerate(
        (circuits, found["c1"], found["c2"], found["c3"], found["saddr"], found["daddr"])
    ):
        message[:, position] = values
    tags = siphash24_many(key, message.view("<u8"))
    found["tag"] = tags & np.uint64(0xFFFFFFFF)
    return found


def tcp_to_vip(count: int, flags: int, vip: int, port: int = VIP_PORT) -> Frames:
    """Return TCP frames of random clients to a virtual address: [count] of PLAIN."""
    random = np.random.default_rng(17)
    frames = np.zeros(count, PLAIN)
    _ethernet(frames, 0x0800)
    frames["saddr"] = _SOURCES | random.integers(1, 1 << 24, count)
    frames["daddr"] = vip
    frames["sport"] = random.integers(1024, 65536, count)
    frames["dport"] = port
    return _tcp(frames, flags)


def clients(count: int, flags: int, vip: int, port: int = VIP_PORT) -> Frames:
    """Return TCP frames of as many clients, numbered from 1 in the sequence number: [count]."""
    frames = np.zeros(count, PLAIN)
    _ethernet(frames, 0x0800)
    random = np.random.default_rng(29)
    frames["saddr"] = _SOURCES | random.permutation(1 << 20)[:count]
    frames["daddr"] = vip
    frames["sport"] = random.integers(1024, 65536, count)
    frames["dport"] = port
    numbers = np.arange(1, count + 1).astype(">u4")
    frames["rest"][:, :4] = numbers.view("u1").reshape(count, 4)
    return _tcp(frames, flags)


def mixed(*blocks: Frames) -> Frames:
    """Return the first frame of each block, then the second of each, and so on."""
    frames = np.zeros(len(blocks) * len(blocks[0]), PLAIN)
    for position, block in enumerate(blocks):
        frames[position :: len(blocks)] = block
    return frames


def openings(vip: int, port: int = VIP_PORT) -> Frames:
    """Return the first two packets of new connections: [2 * FRESH] of PLAIN, renewed as fresh."""
    return mixed(fresh(TCP_SYN, vip, port), fresh(TCP_ACK, vip, port))


def lifetimes(vip: int, port: int = VIP_PORT) -> Frames:
    """Return connections of three packets, the last of which ends them: [3 * FRESH] of PLAIN."""
    return mixed(*(fresh(flags, vip, port) for flags in (TCP_SYN, TCP_ACK, TCP_ACK | TCP_FIN)))


def fresh(flags: int | None, daddr: int | None, port: int = VIP_PORT) -> Frames:
    """Return frames whose sources the generator makes new ones of: [FRESH] of PLAIN.

    The source port tells them apart, and the source address's low 18 bits tell the passes apart.
    With ``flags`` they are TCP, else UDP; with ``daddr`` all go there, else to random places.
    """
    random = np.random.default_rng(19)
    frames = np.zeros(FRESH, PLAIN)
    _ethernet(frames, 0x0800)
    frames["saddr"] = _FRESH_SOURCES | random.integers(1, 1 << 6, FRESH) << _FRESH_BITS
    frames["daddr"] = destinations(FRESH) if daddr is None else daddr
    frames["sport"] = random.permutation(FRESH)
    frames["dport"] = port
    if flags is not None:
        return _tcp(frames, flags)
    _fill_ip(frames, PLAIN_FRAME - 14, 17)
    frames["rest"][:, 1] = PLAIN_FRAME - 34
    return frames


def _tcp(frames: Frames, flags: int) -> Frames:
    _fill_ip(frames, PLAIN_FRAME - 14, 6)
    frames["rest"][:, _TCP_FLAGS - 1] = 5 << 4
    frames["rest"][:, _TCP_FLAGS] = flags
    return frames

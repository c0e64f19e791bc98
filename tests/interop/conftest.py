"""What the tests of others' decoders share: tshark, and packets worth decoding."""

import json
import struct
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from headers.packet import ETHERTYPE, SteeringHeader
from headers.packet.scapy_layer import NSH, Steering, tagged

KEY = bytes(range(16))
# checksums are looked at; that packets of one flow repeat is not
OPTIONS = (
    *("-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"),
    *("-o", "udp.check_checksum:TRUE", "-o", "tcp.analyze_sequence_numbers:FALSE"),
)

Tshark = Callable[[Sequence[bytes]], list[dict[str, Any]]]


@dataclass(frozen=True)
class Specimen:
    """A steered packet: its bytes, its header, and the addresses inside."""

    frame: bytes
    header: SteeringHeader
    src: str
    dst: str
    inner: str


def ether() -> Any:
    return Ether(src="02:f0:00:00:00:02", dst="02:f0:00:00:00:01")


V4 = ("10.1.0.1", "10.2.0.1")
V6 = ("fd00:1::1", "fd00:2::1")
INNER = {
    "ipv4_udp": (V4, IP(src=V4[0], dst=V4[1]) / UDP(sport=20000, dport=9) / b"hello"),
    "ipv4_tcp": (V4, IP(src=V4[0], dst=V4[1], tos=0xB8) / TCP(sport=40000, dport=80)),
    "ipv4_icmp": (V4, IP(src=V4[0], dst=V4[1]) / ICMP() / (b"x" * 56)),
    "ipv4_large": (V4, IP(src=V4[0], dst=V4[1]) / UDP(sport=20000, dport=9) / (b"x" * 1472)),
    "ipv6_udp": (V6, IPv6(src=V6[0], dst=V6[1]) / UDP(sport=20000, dport=9) / b"hello"),
    "ipv6_tcp": (V6, IPv6(src=V6[0], dst=V6[1]) / TCP(sport=40000, dport=80)),
    "ipv6_icmp": (V6, IPv6(src=V6[0], dst=V6[1]) / ICMPv6EchoRequest(data=b"x" * 56)),
}
FIELDS = {
    "least": {"circuit": 1, "si": 1},
    "every_bit": {
        "circuit": 0x7FFFFF,
        "si": 255,
        "engine": 0xFFFF,
        "port": 0xFFFF,
        "priority": 15,
        "application": 0xFFFF,
        "flags": 0xFF,
        "epoch": 255,
        "forecast": 0xFFFFFF,
        "protected": True,
        "ttl": 63,
    },
    "each_its_own": {
        "circuit": 0x123456,
        "si": 3,
        "engine": 0x0102,
        "port": 0x0304,
        "priority": 5,
        "application": 0x0607,
        "flags": 0x08,
        "epoch": 9,
        "forecast": 0x0A0B0C,
        "ttl": 1,
    },
}
IN_NSH = {"circuit", "si", "protected", "ttl"}


def specimen(fields: dict[str, Any], inner: str) -> Specimen:
    """Build a steered packet from scapy's layers; its header is read back by the codec."""
    (src, dst), packet = INNER[inner]
    frame = (
        ether()
        / NSH(
            next_protocol=1 if inner.startswith("ipv4") else 2,
            **{name: int(value) for name, value in fields.items() if name in IN_NSH},
        )
        / Steering(**{name: value for name, value in fields.items() if name not in IN_NSH})
        / packet
    )
    raw = bytes(tagged(frame, KEY))
    return Specimen(raw, SteeringHeader.decode(raw[14:]), src, dst, inner)


def oam_frame(payload: bytes = bytes(range(24))) -> bytes:
    """Return an OAM frame: O bit set, next protocol None (RFC 8393), then a payload of its own."""
    base = 1 << 13 | 63 << 6 | 6
    nsh = struct.pack("!HBBIIIII", base, 1, 0, 5 << 8 | 1, 2 << 16, 1 << 28, 7 << 24 | 9, 0)
    return bytes(ether())[:12] + struct.pack("!H", ETHERTYPE) + nsh + payload


@pytest.fixture
def oam() -> bytes:
    return oam_frame()


@pytest.fixture(scope="session")
def specimens() -> list[Specimen]:
    """Return every combination of header fields and packets inside."""
    return [specimen(fields, inner) for fields in FIELDS.values() for inner in INNER]


def decode_file(path: Path) -> list[dict[str, Any]]:
    """Return the layers of every packet of a capture file, as tshark sees them."""
    done = subprocess.run(
        ["tshark", "-r", str(path), "-T", "json", "--no-duplicate-keys", *OPTIONS],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [packet["_source"]["layers"] for packet in json.loads(done.stdout)]


@pytest.fixture(scope="session")
def tshark(tmp_path_factory: pytest.TempPathFactory) -> Tshark:
    """Return what decodes frames by the real tshark, from a capture file written by scapy."""
    path = tmp_path_factory.mktemp("tshark") / "frames.pcap"

    def decode(frames: Sequence[bytes]) -> list[dict[str, Any]]:
        wrpcap(str(path), [Ether(frame) for frame in frames])
        return decode_file(path)

    return decode

"""scapy's own NSH layer reads what we build, and our codec reads what it builds."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.l2 import Ether

from headers.packet import SteeringHeader
from headers.packet.scapy_layer import NSH, Steering

ROOT = Path(__file__).resolve().parents[2]


def scapy_nsh(job: str, items: list[Any]) -> list[Any]:
    """Have scapy's own layer read or write, in a process where ours is unknown."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.interop.scapy_nsh", job],
        input=json.dumps(items),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def seen(specimens: list[Any]) -> list[dict[str, Any]]:
    return scapy_nsh("read", [one.frame.hex() for one in specimens])


def test_scapys_own_layer_reads_our_header(
    seen: list[dict[str, Any]], specimens: list[Any]
) -> None:
    for one, read in zip(specimens, seen, strict=True):
        header = one.header
        assert {name: read[name] for name in ("ver", "oam", "length", "mdtype")} == {
            "ver": 0,
            "oam": 0,
            "length": 6,
            "mdtype": 1,
        }
        assert read["ttl"] == header.ttl
        assert read["nextproto"] == header.next_protocol
        assert read["spi"] == header.circuit | header.protected << 23
        assert read["si"] == header.si
        assert bytes.fromhex(read["context"]) == b"".join(
            number.to_bytes(4, "big") for number in (*header.context(), header.tag)
        )


def test_scapys_own_layer_finds_the_packet_inside_and_builds_the_same_bytes(
    seen: list[dict[str, Any]], specimens: list[Any]
) -> None:
    for one, read in zip(specimens, seen, strict=True):
        assert read["inner"] == {"ipv4": "IP", "ipv6": "IPv6"}[one.inner.split("_")[0]]
        assert (read["src"], read["dst"]) == (one.src, one.dst)
        assert read["same"]


def test_scapys_own_layer_reads_an_oam_frame(oam: bytes) -> None:
    (read,) = scapy_nsh("read", [oam.hex()])
    assert (read["oam"], read["nextproto"], read["spi"], read["si"]) == (1, 0, 5, 1)
    assert bytes.fromhex(read["payload"]) == oam[38:]
    assert read["same"]


def test_our_codec_and_our_layer_read_what_scapys_own_layer_builds() -> None:
    wanted = [
        SteeringHeader(
            circuit=0x123456,
            si=3,
            engine=0x0102,
            port=0x0304,
            priority=5,
            application=0x0607,
            flags=8,
            epoch=9,
            forecast=0x0A0B0C,
            tag=0xDEADBEEF,
            protected=True,
            ttl=17,
            next_protocol=kind,
        )
        for kind in (1, 2)
    ]
    addresses = {1: ("10.1.0.1", "10.2.0.1"), 2: ("fd00:1::1", "fd00:2::1")}
    frames = scapy_nsh(
        "write",
        [
            {
                "ttl": header.ttl,
                "nextproto": header.next_protocol,
                "spi": header.circuit | 1 << 23,
                "si": header.si,
                "context": header.encode()[8:].hex(),
                "src": addresses[header.next_protocol][0],
                "dst": addresses[header.next_protocol][1],
            }
            for header in wanted
        ],
    )
    for header, wire in zip(wanted, frames, strict=True):
        frame = bytes.fromhex(wire)
        assert SteeringHeader.decode(frame[14:]) == header
        packet = Ether(frame)
        assert (packet[NSH].circuit, packet[NSH].protected) == (header.circuit, 1)
        assert packet[Steering].tag == header.tag
        inner = packet[Steering].payload
        assert (inner.src, inner.dst) == addresses[header.next_protocol]
        assert bytes(packet) == frame

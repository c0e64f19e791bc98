"""The steering header's bytes, both ways, in Python and scapy, and the reference hash."""

import re
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from headers.errors import PacketError
from headers.packet import SteeringHeader, siphash24, steer_frame, tag
from headers.packet.scapy_layer import NSH, Steering, tagged

KEY = bytes(range(16))

# fields, then the 24 bytes that they are on the wire
GOLDEN = [
    (
        SteeringHeader(circuit=5, si=1),
        "0fc6010100000501000000001000000000000000" + "00000000",
    ),
    (
        SteeringHeader(
            circuit=0x7FFFFF,
            si=3,
            engine=2,
            port=9,
            priority=5,
            application=0x1234,
            flags=0x80,
            epoch=7,
            forecast=0x010203,
            tag=0xDEADBEEF,
            protected=True,
            ttl=1,
        ),
        "00460101ffffff0300020009151234800701020" + "3deadbeef",
    ),
]

# the first vectors of the SipHash-2-4 reference implementation: messages 00, 00 01, 00 01 02 ...
SIPHASH = [
    (0, "310e0edd47db6f72"),
    (1, "fd67dc93c539f874"),
    (7, "37d1018bf50002ab"),
    (8, "6224939a79f5f593"),
    (15, "e545be4961ca29a1"),
    (63, "724506eb4c328a95"),
]


@pytest.mark.parametrize(("header", "wire"), GOLDEN)
def test_golden_header_is_encoded_and_decoded(header: SteeringHeader, wire: str) -> None:
    assert header.encode().hex() == wire
    assert SteeringHeader.decode(bytes.fromhex(wire)) == header


@pytest.mark.parametrize(("header", "wire"), GOLDEN)
def test_scapy_dissects_golden_header_alike(header: SteeringHeader, wire: str) -> None:
    frame = steer_frame(bytes(Ether() / IP(src="10.1.0.1", dst="10.2.0.1") / UDP()), header)
    packet = Ether(frame)
    for name in ("circuit", "si", "ttl", "protected", "next_protocol"):
        assert getattr(packet[NSH], name) == getattr(header, name)
    for name in ("engine", "port", "priority", "application", "flags", "epoch", "forecast", "tag"):
        assert getattr(packet[Steering], name) == getattr(header, name)
    assert packet[IP].dst == "10.2.0.1"
    assert bytes(packet) == frame


@pytest.mark.parametrize(("length", "expected"), SIPHASH)
def test_siphash_agrees_with_reference_vectors(length: int, expected: str) -> None:
    assert siphash24(KEY, bytes(range(length))).to_bytes(8, "little").hex() == expected


def test_tag_covers_circuit_context_and_addresses_and_nothing_that_changes_on_the_way() -> None:
    header = SteeringHeader(circuit=5, si=2, engine=3, forecast=9)
    known = tag(KEY, header, "10.1.0.1", "10.2.0.1")
    for change in ({"circuit": 6}, {"engine": 4}, {"forecast": 8}, {"application": 1}):
        other = SteeringHeader(**{"circuit": 5, "si": 2, "engine": 3, "forecast": 9, **change})
        assert tag(KEY, other, "10.1.0.1", "10.2.0.1") != known
    assert tag(KEY, header, "10.1.0.2", "10.2.0.1") != known
    on_the_way = SteeringHeader(circuit=5, si=1, engine=3, forecast=9, ttl=9, protected=True)
    assert tag(KEY, on_the_way, "10.1.0.1", "10.2.0.1") == known


def test_scapy_tag_is_the_codecs_tag() -> None:
    packet = tagged(
        Ether() / NSH(circuit=5, si=1) / Steering(engine=3) / IP(src="10.1.0.1", dst="10.2.0.1"),
        KEY,
    )
    header = SteeringHeader(circuit=5, si=1, engine=3)
    assert packet[Steering].tag == tag(KEY, header, "10.1.0.1", "10.2.0.1")


@pytest.mark.parametrize("length", range(24))
def test_short_header_is_malformed(length: int) -> None:
    with pytest.raises(PacketError, match="malformed"):
        SteeringHeader.decode(GOLDEN[0][0].encode()[:length])


@pytest.mark.parametrize("wire", ["8fc60101", "0fc50101", "0fc60201"])
def test_other_nsh_is_malformed(wire: str) -> None:
    with pytest.raises(PacketError, match="malformed"):
        SteeringHeader.decode(bytes.fromhex(wire) + bytes(20))


def test_field_too_wide_is_refused() -> None:
    with pytest.raises(PacketError, match="circuit is 8388608"):
        SteeringHeader(circuit=1 << 23, si=1).encode()


def test_python_constants_are_those_of_the_c_header() -> None:
    from headers.packet import steering

    text = (Path(steering.__file__).parent / "steering.h").read_text()
    defines = dict(re.findall(r"#define (\w+) (0x[0-9A-Fa-f]+|\d+)u?$", text, re.MULTILINE))
    assert int(defines["STEERING_ETHERTYPE"], 16) == steering.ETHERTYPE
    assert int(defines["STEERING_LEN"]) == steering.LENGTH
    assert int(defines["STEERING_VERSION"]) == steering.VERSION
    assert int(defines["STEERING_TTL"]) == steering.TTL
    assert int(defines["SPI_CIRCUIT_MASK"], 16) == steering.MAX_CIRCUIT

"""tshark decodes what we build, field by field, and finds nothing to complain of."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from headers.packet import SteeringHeader
from headers.packet.steering import Echo, echo_frame

Tshark = Callable[[Sequence[bytes]], list[dict[str, Any]]]


NOTE = 4 << 20  # the least severe expert information that says something is odd


def entries(layers: Any) -> Iterator[tuple[str, Any]]:
    """Yield every name and value, however deep."""
    if isinstance(layers, dict):
        for name, value in layers.items():
            yield name, value
            yield from entries(value)
    elif isinstance(layers, list):
        for value in layers:
            yield from entries(value)


def complaints(layers: dict[str, Any]) -> list[str]:
    """Return what tshark calls malformed, or finds odd as an expert."""
    found = []
    for name, value in entries(layers):
        if name == "_ws.malformed":
            found.append(name)
        elif name == "_ws.expert":
            several = value if isinstance(value, list) else [value]
            found += [
                one["_ws.expert.message"]
                for one in several
                if int(one["_ws.expert.severity"]) >= NOTE
            ]
    return found


def words(*numbers: int) -> list[str]:
    return [number.to_bytes(4, "big").hex(":") for number in numbers]


@pytest.fixture(scope="module")
def decoded(tshark: Tshark, specimens: list[Any]) -> list[tuple[Any, dict[str, Any]]]:
    """Return every specimen with what tshark makes of it."""
    layers = tshark([one.frame for one in specimens])
    return list(zip(specimens, layers, strict=True))


def test_every_field_of_a_steered_packet_is_what_we_put_in(
    decoded: list[tuple[Any, dict[str, Any]]],
) -> None:
    for one, layers in decoded:
        header = one.header
        nsh = layers["nsh"]
        assert int(nsh["nsh.version"]) == 0
        assert int(nsh["nsh.Obit"]) == 0
        assert int(nsh["nsh.ttl"], 16) == header.ttl
        assert int(nsh["nsh.length"]) == 6
        assert int(nsh["nsh.mdtype"]) == 1
        assert int(nsh["nsh.nextproto"]) == header.next_protocol
        assert int(nsh["nsh.spi"]) == header.circuit | header.protected << 23
        assert int(nsh["nsh.si"]) == header.si
        assert nsh["nsh.contextheader"] == words(*header.context(), header.tag)


def test_the_packet_inside_is_what_we_put_in(
    decoded: list[tuple[Any, dict[str, Any]]],
) -> None:
    for one, layers in decoded:
        network, transport = one.inner.split("_")
        protocols = layers["frame"]["frame.protocols"].split(":")
        kind = {"ipv4": "ip", "ipv6": "ipv6"}[network]
        assert protocols[:4] == ["eth", "ethertype", "nsh", kind]
        assert layers[kind][f"{kind}.src"] == one.src
        assert layers[kind][f"{kind}.dst"] == one.dst
        if transport in {"udp", "tcp"}:
            assert layers[transport][f"{transport}.checksum.status"] == "1"
        if network == "ipv4":
            assert layers["ip"]["ip.checksum.status"] == "1"


def test_nothing_is_malformed_and_no_expert_complains(
    decoded: list[tuple[Any, dict[str, Any]]],
) -> None:
    assert [(one.inner, complaints(layers)) for one, layers in decoded] == [
        (one.inner, []) for one, _ in decoded
    ]


def test_tag_of_a_vlan_stays_before_the_header(tshark: Tshark, specimens: list[Any]) -> None:
    tagged = [one.frame[:12] + bytes.fromhex("81000007") + one.frame[12:] for one in specimens]
    for one, layers in zip(specimens, tshark(tagged), strict=True):
        assert layers["vlan"]["vlan.id"] == "7"
        assert int(layers["nsh"]["nsh.si"]) == one.header.si
        assert complaints(layers) == []


def test_oam_frame_is_accepted(tshark: Tshark, oam: bytes) -> None:
    (layers,) = tshark([oam])
    assert layers["frame"]["frame.protocols"] == "eth:ethertype:nsh:data"
    assert layers["nsh"]["nsh.Obit"] == "1"
    assert layers["nsh"]["nsh.nextproto"] == "0"
    assert layers["nsh"]["nsh.spi"] == "5"
    assert layers["data"]["data.data"] == oam[38:].hex(":")
    assert complaints(layers) == []


def test_echo_is_accepted_and_every_field_is_what_we_put_in(tshark: Tshark) -> None:
    header = SteeringHeader(circuit=9, si=2, engine=2, epoch=7, forecast=77)
    frame = echo_frame(
        bytes(range(16)),
        header,
        Echo(reply_circuit=10, reply_si=3, sequence=1234, sent_ns=5_000_000_000),
        source_mac=bytes.fromhex("02f000000002"),
        target_mac=bytes.fromhex("02f000000001"),
    )
    (layers,) = tshark([frame])
    nsh = layers["nsh"]
    assert layers["frame"]["frame.protocols"] == "eth:ethertype:nsh:data"
    assert (nsh["nsh.Obit"], nsh["nsh.nextproto"]) == ("1", "0")
    assert (nsh["nsh.spi"], nsh["nsh.si"]) == ("9", "2")
    assert nsh["nsh.contextheader"][:3] == words(*header.context())
    assert layers["data"]["data.data"] == frame[38:].hex(":")
    assert complaints(layers) == []


@pytest.mark.parametrize("cut", [14 + 23, 14 + 24 + 19])
def test_complaints_are_found_where_there_is_reason(
    tshark: Tshark, specimens: list[Any], cut: int
) -> None:
    (layers,) = tshark([specimens[0].frame[:cut]])
    assert complaints(layers)

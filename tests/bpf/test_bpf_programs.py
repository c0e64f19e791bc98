"""Packet in, packet out: what mark and steer do, with the counter that must move."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether

from bus.keys import derive_key
from headers.packet import SteeringHeader, tag
from headers.packet.scapy_layer import NSH, Steering, tagged

SECRET = bytes(range(32))
KEY = derive_key(SECRET, "tag", 0)
HOST_MAC = "02:00:00:00:00:07"
ROUTER_MAC = "02:f0:00:00:00:01"
XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT = 1, 2, 3, 4


def ether() -> Any:
    return Ether(src="02:00:00:00:00:01", dst=ROUTER_MAC)


def plain(dst: str = "10.2.0.1", **ip: Any) -> Any:
    return ether() / IP(src="10.1.0.1", dst=dst, **ip) / UDP(sport=1234, dport=80) / (b"x" * 40)


def steered(circuit: int = 5, si: int = 1, dst: str = "10.2.0.1", **fields: Any) -> Any:
    nsh = {
        k: fields.pop(k)
        for k in ("ttl", "version", "length", "md_type", "next_protocol")
        if k in fields
    }
    return tagged(
        ether()
        / NSH(circuit=circuit, si=si, **nsh)
        / Steering(engine=2, **fields)
        / IP(src="10.1.0.1", dst=dst)
        / UDP(sport=1234, dport=80)
        / (b"x" * 40),
        KEY,
    )


def moved(plane: Any, engine: int, before: dict[str, int]) -> dict[str, int]:
    now = plane.reasons(engine)
    return {name: now[name] - before[name] for name in now if now[name] != before[name]}


def run_mark(plane: Any, packet: bytes) -> tuple[int, bytes, dict[str, int]]:
    before = plane.reasons(1)
    verdict, out = plane.run("mark", packet, plane.engines[1].hosts[0])
    return verdict, out, moved(plane, 1, before)


def run_steer(plane: Any, packet: bytes) -> tuple[int, bytes, dict[str, int]]:
    before = plane.reasons(2)
    verdict, out = plane.run("steer", packet, plane.engines[2].fabric)
    return verdict, out, moved(plane, 2, before)


def test_packet_of_a_demand_is_marked_tagged_and_redirected(plane: Any) -> None:
    packet = bytes(plain())
    verdict, out, counted = run_mark(plane, packet)
    assert (verdict, counted) == (XDP_REDIRECT, {"marked": 1})
    header = SteeringHeader.decode(out[14:])
    assert (header.circuit, header.si, header.engine, header.forecast) == (5, 1, 2, 77)
    assert header.tag == tag(KEY, header, "10.1.0.1", "10.2.0.1")
    inner = IP(out[38:])
    assert inner.ttl == 63
    checksum = inner.chksum
    del inner.chksum
    assert IP(bytes(inner)).chksum == checksum
    assert out[38 + 20 :] == packet[14 + 20 :]


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (plain("10.9.0.1"), "no_demand"),
        (plain("10.3.0.1"), "unsteered"),
        (plain("10.4.0.1"), "no_circuit"),
        (plain(ttl=1), "ip_ttl"),
        (ether() / IP(src="10.1.0.1", dst="10.2.0.1") / (b"x" * 1580), "too_long"),
        (ether() / ARP(), "plain"),
        (ether() / Dot1Q(vlan=5) / Dot1Q(vlan=6) / IP(dst="10.2.0.1"), "plain"),
    ],
)
def test_what_mark_does_not_steer_passes_unchanged(plane: Any, packet: Any, reason: str) -> None:
    verdict, out, counted = run_mark(plane, bytes(packet))
    assert (verdict, counted) == (XDP_PASS, {reason: 1})
    assert out == bytes(packet)


def test_header_that_a_host_sends_is_stripped(plane: Any) -> None:
    verdict, out, counted = run_mark(plane, bytes(steered()))
    assert (verdict, counted["foreign_nsh"]) == (XDP_PASS, 1)
    assert Ether(out)[IP].dst == "10.2.0.1"
    assert NSH not in Ether(out)


def test_good_packet_is_delivered_to_its_host(plane: Any) -> None:
    verdict, out, counted = run_steer(plane, bytes(steered()))
    assert (verdict, counted) == (XDP_REDIRECT, {"delivered": 1})
    frame = Ether(out)
    assert (frame.dst, frame.src, frame.type) == (HOST_MAC, ROUTER_MAC, 0x0800)
    assert bytes(frame[IP]) == bytes(steered()[IP])


def test_circuit_through_an_engine_is_forwarded_with_si_and_ttl_decremented(plane: Any) -> None:
    packet = steered(circuit=6, si=2)
    verdict, out, counted = run_steer(plane, bytes(packet))
    assert (verdict, counted) == (XDP_REDIRECT, {"forwarded": 1})
    header = SteeringHeader.decode(out[14:])
    assert (header.si, header.ttl, header.tag) == (1, 62, packet[Steering].tag)
    assert Ether(out).dst == "02:00:00:00:00:99"


def spoiled() -> Any:
    packet = steered()
    packet[Steering].tag ^= 1
    return packet


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (spoiled(), "tag"),
        (steered(circuit=7), "unknown_circuit"),
        (steered(circuit=16385), "unknown_circuit"),
        (steered(si=0), "unknown_circuit"),
        (steered(si=200), "unknown_circuit"),
        (steered(ttl=0), "nsh_ttl"),
        (steered(epoch=9), "epoch"),
        (steered(version=2), "malformed"),
        (steered(dst="10.2.0.9"), "no_neighbour"),
    ],
)
def test_refused_packet_is_counted_popped_and_given_back_to_routing(
    plane: Any, packet: Any, reason: str
) -> None:
    verdict, out, counted = run_steer(plane, bytes(packet))
    assert (verdict, counted) == (XDP_TX, {reason: 1, "returned": 1})
    frame = Ether(out)
    assert frame.dst == ROUTER_MAC
    assert bytes(frame[IP]) == bytes(packet[IP])


@pytest.mark.parametrize("length", [15, 20, 37])
def test_truncated_header_is_counted_and_dropped(plane: Any, length: int) -> None:
    packet = bytes(steered())[:length]
    verdict, _, counted = run_steer(plane, packet)
    assert (verdict, counted) == (XDP_DROP, {"malformed": 1, "dropped": 1})


def test_unmarked_packet_passes_steer_untouched(plane: Any) -> None:
    packet = bytes(ether() / IP(dst="10.2.0.1") / TCP())
    verdict, out, counted = run_steer(plane, packet)
    assert (verdict, out, counted) == (XDP_PASS, packet, {"plain": 1})


def test_tag_of_the_epoch_before_is_good_and_of_the_one_before_that_is_not(plane: Any) -> None:
    from dataplane.keys import write_keys

    packet = bytes(steered())
    try:
        write_keys(plane.maps, SECRET, 1)
        assert run_steer(plane, packet)[2] == {"delivered": 1}
        write_keys(plane.maps, SECRET, 2)
        assert run_steer(plane, packet)[2] == {"epoch": 1, "returned": 1}
    finally:
        write_keys(plane.maps, SECRET, 0)


def test_packet_at_an_unknown_port_passes(plane: Any) -> None:
    packet = bytes(steered())
    assert plane.run("steer", packet, 1) == (XDP_PASS, packet)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 61), st.integers(1, 255), st.integers(14, 102))
def test_no_single_byte_change_is_delivered_with_a_wrong_tag(
    plane: Any, position: int, change: int, length: int
) -> None:
    packet = bytearray(bytes(steered()))
    packet[position] ^= change
    verdict, _out, counted = run_steer(plane, bytes(packet[:length]))
    assert verdict in (XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT)
    assert sum(counted.values()) >= 1
    if "delivered" in counted:
        # only what the tag does not cover may have changed
        header = SteeringHeader.decode(bytes(packet[14:]))
        inner = IP(bytes(packet[38:]))
        assert header.tag == tag(KEY, header, inner.src, inner.dst)

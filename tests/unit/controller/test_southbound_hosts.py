"""Hosts as their ARP tells of them, and packets that wait for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether

from controller.southbound.hosts import (
    ASK_AGAIN_S,
    HELD_HOSTS,
    HELD_PER_HOST,
    Hosts,
    arp_request,
    destination,
    parse_arp,
)
from headers.messages import EdgePort, Host

EDGE = EdgePort(1, "10.1.0.0/16", "10.1.255.254")
MAC = "02:00:00:00:00:07"
HOST = Host("10.1.0.7", MAC, 1, 1)


def arp(**fields: object) -> bytes:
    return bytes(Ether(src=MAC) / ARP(**{"op": 1, "hwsrc": MAC, "psrc": "10.1.0.7", **fields}))


def test_arp_tells_who_sent_it() -> None:
    assert parse_arp(arp()) == (1, MAC, "10.1.0.7")
    assert parse_arp(arp(op=2) + bytes(18)) == (2, MAC, "10.1.0.7")


@pytest.mark.parametrize(
    "frame",
    [
        arp(hwtype=6),
        arp(ptype=0x86DD),
        arp(hwlen=8),
        arp(plen=16),
        arp(hwsrc="ff:ff:ff:ff:ff:ff"),
        arp(hwsrc="01:00:5e:00:00:01"),
    ],
)
def test_arp_of_another_kind_or_from_a_group_address_is_none(frame: bytes) -> None:
    assert parse_arp(frame) is None


@pytest.mark.parametrize("length", range(42))
def test_truncated_arp_is_none(length: int) -> None:
    assert parse_arp(arp()[:length]) is None


@given(st.binary(max_size=100))
def test_garbage_raises_nothing(frame: bytes) -> None:
    parse_arp(frame)
    destination(frame)


def test_request_is_one_that_scapy_reads() -> None:
    frame = Ether(arp_request("02:f0:00:00:00:01", "10.1.255.254", "10.1.0.7"))
    assert (frame.dst, frame.src) == ("ff:ff:ff:ff:ff:ff", "02:f0:00:00:00:01")
    assert (frame[ARP].op, frame[ARP].psrc, frame[ARP].pdst) == (1, "10.1.255.254", "10.1.0.7")


def test_destination_is_that_of_ipv4_only() -> None:
    assert destination(bytes(Ether() / IP(dst="10.1.0.9") / UDP())) == "10.1.0.9"
    assert destination(arp()) is None


def test_host_is_news_when_new_or_moved() -> None:
    hosts = Hosts()
    assert hosts.learn(HOST, EDGE)
    assert not hosts.learn(HOST, EDGE)
    assert hosts.learn(Host(HOST.address, "02:00:00:00:00:08", 1, 1), EDGE)


@pytest.mark.parametrize("address", ["10.2.0.7", "0.0.0.0", "10.1.255.254", "192.0.2.1"])
def test_host_outside_its_edges_prefix_or_at_the_gateways_address_is_not_noted(
    address: str,
) -> None:
    hosts = Hosts()
    assert not hosts.learn(Host(address, MAC, 1, 1), EDGE)
    assert hosts.known == {}


def test_packets_for_an_unknown_host_wait_and_come_out_in_order() -> None:
    hosts = Hosts()
    for number in range(HELD_PER_HOST + 2):
        hosts.hold("10.1.0.7", bytes([number]), 0.0)
    assert hosts.release("10.1.0.7") == [bytes([n]) for n in range(2, HELD_PER_HOST + 2)]
    assert hosts.release("10.1.0.7") == []


def test_unknown_host_is_asked_for_once_in_a_while() -> None:
    hosts = Hosts()
    asked = [hosts.hold("10.1.0.7", b"", at) for at in (0.0, 0.5, ASK_AGAIN_S, 1.5)]
    assert asked == [True, False, True, False]
    hosts.learn(HOST, EDGE)
    assert hosts.hold("10.1.0.7", b"", 1.6)


def test_a_sweep_over_a_prefix_does_not_fill_the_memory() -> None:
    hosts = Hosts()
    for number in range(3 * HELD_HOSTS):
        hosts.hold(f"10.1.{number >> 8}.{number & 255}", bytes(1400), 0.0)
    assert len(hosts.held) == HELD_HOSTS
    assert len(hosts.asked_s) == HELD_HOSTS
    assert hosts.release("10.1.0.0") == []
    assert len(hosts.release("10.1.2.255")) == 1

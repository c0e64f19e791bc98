"""Caches: used for what they know, and never for anything else.

That one is used is shown by spoiling what it stands for; that it is not, by spoiling itself.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from bus.keys import derive_key
from dataplane import syscall
from dataplane.desired import EDGE_DTYPE
from dataplane.keys import write_keys
from dataplane.maps import (
    FLOW_ENTRY_DTYPE,
    KEY_SLOT,
    REASON_SLOTS,
    REASONS,
    U32,
    Map,
    mapped,
    processors,
)
from headers.messages import ApplicationClass, FlowRule
from headers.packet import SteeringHeader, steer_frame, tag
from tests.bpf.conftest import ROUTER_MAC, SECRET, Plane, desired
from tests.bpf.test_bpf_budget import serving

KEY = derive_key(SECRET, "tag", 0)
XDP_PASS, XDP_REDIRECT = 2, 4
TAG_DTYPE = np.dtype(
    [(name, "<u4") for name in ("tag", "serial", "circuit", "c1", "c2", "c3", "saddr", "daddr")]
)
FLUSHED_S = 1.05
"""More than FLUSH_JIFFIES take, however slow the kernel's clock ticks (100 a second or more)."""


@pytest.fixture
def alone(plane: Plane) -> Iterator[Plane]:
    """The plane, run on one processor: caches are per processor. They are empty at first."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    empty(plane)
    yield plane
    os.sched_setaffinity(0, allowed)
    empty(plane)
    for key in plane.maps.connections.items():
        plane.maps.connections.remove(key)


def empty(plane: Plane) -> None:
    for name in ("flow_cache", "flow_names", "tag_cache", "tag_starts", "fresh_flows"):
        table = getattr(plane.maps, name)
        memory = mapped(table, np.dtype(("u1", table.value_size)))
        memory[:] = 0


def tags(plane: Plane) -> Any:
    return mapped(plane.maps.tag_cache, np.dtype((TAG_DTYPE, 2)))


def flows(plane: Plane) -> Any:
    return mapped(plane.maps.flow_cache, np.dtype((FLOW_ENTRY_DTYPE, 2)))


def names(plane: Plane) -> Any:
    return mapped(plane.maps.flow_names, np.dtype(("<u4", 2)))


def until(kept: Callable[[], object], send: Callable[[], object]) -> None:
    """Send until something is kept: that is done in one tick of the kernel's clock in four."""
    deadline = time.monotonic() + 5
    while not kept():
        assert time.monotonic() < deadline, "nothing is kept"
        send()


def host(source: str = "10.1.0.1", target: str = "10.2.0.1", **ip: Any) -> bytes:
    sport, dport = ip.pop("ports", (1234, 80))
    return bytes(
        Ether(src="02:00:00:00:00:01", dst=ROUTER_MAC)
        / IP(src=source, dst=target, **ip)
        / UDP(sport=sport, dport=dport)
        / (b"x" * 40)
    )


def steered(
    source: str = "10.1.0.1", target: str = "10.2.0.1", key: bytes = KEY, **fields: Any
) -> bytes:
    header = SteeringHeader(**{"circuit": 5, "si": 1, "engine": 2, **fields})
    return steer_frame(host(source, target), header.tagged(key, source, target))


def counted(plane: Plane, engine: int) -> dict[str, int]:
    """Return an engine's counters, read one by one: that is quick."""
    table = plane.maps.reason_counters
    size = table.value_size * processors()
    found = {}
    for place, name in enumerate(REASONS):
        value = syscall.lookup(table.fd, U32.pack(engine * REASON_SLOTS + place), size) or b""
        found[name] = int(np.frombuffer(value, "<u8")[::2].sum())
    return found


def at_steer(plane: Plane, packet: bytes) -> str:
    """Return the first reason that steer counts."""
    before = counted(plane, 2)
    plane.run("steer", packet, plane.engines[2].fabric)
    after = counted(plane, 2)
    return next(name for name in after if after[name] != before[name] and name != "returned")


def spoil_key(plane: Plane) -> None:
    """Change the key's words under its serial: who computes a tag now finds another."""
    k0, k1, valid, serial = KEY_SLOT.unpack(plane.maps.keys.get(U32.pack(0)) or b"")
    plane.maps.keys.set(U32.pack(0), KEY_SLOT.pack(k0 ^ 1, k1, valid, serial))


@pytest.fixture
def keys(alone: Plane) -> Iterator[Plane]:
    yield alone
    write_keys(alone.maps, bytes(32), 0)
    write_keys(alone.maps, SECRET, 0)


def test_tag_that_was_verified_is_not_computed_again(keys: Plane) -> None:
    packet = steered()
    until(lambda: tags(keys)["tag"].any(), lambda: at_steer(keys, packet))
    spoil_key(keys)
    mapped(keys.maps.tag_starts, np.dtype(("u1", 64)))[:] = 0
    assert at_steer(keys, packet) == "delivered"
    assert at_steer(keys, steered("10.1.0.2")) == "tag"


def test_beginning_of_a_tag_serves_other_flows_of_the_circuit_and_nothing_else(
    keys: Plane,
) -> None:
    assert at_steer(keys, steered()) == "delivered"
    spoil_key(keys)
    assert at_steer(keys, steered("10.1.0.77")) == "delivered"
    changes: tuple[dict[str, Any], ...] = (
        {"engine": 3},
        {"application": 1},
        {"forecast": 1},
        {"circuit": 6, "si": 2},
    )
    for change in changes:
        assert at_steer(keys, steered("10.1.0.77", **change)) == "tag", change


@pytest.mark.parametrize(
    ("at", "bit"),
    [
        *[(place, 1 << bit) for place in (22, 23, 24, 25) for bit in (0, 7)],
        *[(place, 1 << bit) for place in (27, 28, 29) for bit in (2, 7)],
        (26, 1),
        *[(place, 1 << bit) for place in (31, 32, 33) for bit in (0, 7)],
        *[(place, 1 << bit) for place in range(34, 38) for bit in range(8)],
        *[(place, 1 << bit) for place in range(50, 58) for bit in (0, 6)],
    ],
)
def test_forged_header_gains_nothing_from_a_verified_one(keys: Plane, at: int, bit: int) -> None:
    packet = steered()
    until(lambda: tags(keys)["tag"].any(), lambda: at_steer(keys, packet))
    forged = bytearray(packet)
    forged[at] ^= bit
    assert at_steer(keys, bytes(forged)) == "tag"
    assert at_steer(keys, packet) == "delivered"


def test_verified_tag_is_good_on_its_own_circuit_only(keys: Plane) -> None:
    packet = steered()
    until(lambda: tags(keys)["tag"].any(), lambda: at_steer(keys, packet))
    forged = bytearray(packet)
    forged[20:22] = b"\x06\x02"
    assert at_steer(keys, bytes(forged)) == "tag"


def test_verified_tag_ends_with_its_key(keys: Plane) -> None:
    packet = steered()
    until(lambda: tags(keys)["tag"].any(), lambda: at_steer(keys, packet))
    write_keys(keys.maps, bytes(32), 0)
    assert at_steer(keys, packet) == "tag"
    write_keys(keys.maps, SECRET, 0)
    assert at_steer(keys, packet) == "delivered"


def test_forged_tag_is_never_kept(keys: Plane) -> None:
    packet = bytearray(steered())
    packet[37] ^= 1
    deadline = time.monotonic() + 0.1
    while time.monotonic() < deadline:
        assert at_steer(keys, bytes(packet)) == "tag"
    assert not tags(keys)["tag"].any()
    assert not mapped(keys.maps.tag_starts, np.dtype(("u1", 64))).any()


def test_two_tags_share_a_place_and_the_third_takes_the_olders(keys: Plane) -> None:
    places: dict[int, list[str]] = {}
    for number in range(4000):
        source = f"10.1.{number >> 8}.{number & 255}"
        header = SteeringHeader(5, 1, 2)
        place = int.from_bytes(tag(KEY, header, source, "10.2.0.1").to_bytes(4, "big"), "little")
        sharing = places.setdefault(place & 0x7FFF, [])
        sharing.append(source)
        if len(sharing) == 3:
            break
    one, two, three = (steered(source) for source in sharing)
    for number, packet in enumerate((one, two), 1):
        until(
            lambda n=number: (tags(keys)["tag"] != 0).sum() == n,  # type: ignore[misc]
            lambda p=packet: at_steer(keys, p),  # type: ignore[misc]
        )
    spoil_key(keys)
    mapped(keys.maps.tag_starts, np.dtype(("u1", 64)))[:] = 0
    assert [at_steer(keys, each) for each in (one, two, three)] == ["delivered", "delivered", "tag"]
    write_keys(keys.maps, SECRET, 0)


def at_mark(plane: Plane, packet: bytes) -> str:
    """Return the last reason that mark and balance count."""
    before = counted(plane, 1)
    plane.run("mark", packet, plane.engines[1].hosts[0])
    after = counted(plane, 1)
    found = [name for name in after if after[name] != before[name]]
    return found[-1] if found else ""


def spoil_circuits(plane: Plane) -> None:
    """Take all circuits away without a word: who asks the tables now finds none."""
    mapped(plane.maps.edge_circuits, EDGE_DTYPE)["active"] = 0


def cached(plane: Plane, packet: bytes) -> tuple[int, int]:
    """Have a flow kept; return where: the place and which of the two."""
    until(lambda: flows(plane)["saddr"].any(), lambda: at_mark(plane, packet))
    place, way = np.argwhere(flows(plane)["saddr"])[0]
    return int(place), int(way)


def test_known_flow_needs_no_tables_until_the_revision_changes(alone: Plane) -> None:
    packet = host()
    cached(alone, packet)
    spoil_circuits(alone)
    assert at_mark(alone, packet) == "marked"
    alone.state.renew()
    assert at_mark(alone, packet) == "no_circuit"


def test_known_flow_is_found_in_either_of_its_two_places(alone: Plane) -> None:
    packet = host()
    place, way = cached(alone, packet)
    assert way == 0
    for table in (flows(alone), names(alone)):
        table[place, 1] = table[place, 0]
        table[place, 0] = np.zeros(1, table.dtype)[0]
    spoil_circuits(alone)
    assert at_mark(alone, packet) == "marked"


@pytest.mark.parametrize("field", ["saddr", "daddr", "ports", "rest", "revision"])
def test_entry_of_another_flow_is_not_used(alone: Plane, field: str) -> None:
    packet = host()
    place, way = cached(alone, packet)
    spoil_circuits(alone)
    for bit in (0, 9, 17, 31):
        flows(alone)[field][place, way] ^= np.uint32(1 << bit)
        assert at_mark(alone, packet) == "no_circuit", bit
        flows(alone)[field][place, way] ^= np.uint32(1 << bit)
    assert at_mark(alone, packet) == "marked"


def test_entry_is_not_looked_at_under_another_name(alone: Plane) -> None:
    packet = host()
    place, way = cached(alone, packet)
    spoil_circuits(alone)
    names(alone)[place, way] ^= 2
    assert at_mark(alone, packet) == "no_circuit"


@pytest.mark.parametrize(
    "other",
    [
        host("10.1.0.2"),
        host(target="10.2.0.2"),
        host(ports=(1235, 80)),
        host(ports=(1234, 81)),
        host(tos=4),
        host(ttl=1),
    ],
)
def test_other_packet_is_not_the_flow_that_is_known(alone: Plane, other: bytes) -> None:
    cached(alone, host())
    spoil_circuits(alone)
    assert at_mark(alone, other) in ("no_circuit", "ip_ttl")


def test_known_flow_is_not_sent_on_when_its_packet_is_too_long(alone: Plane) -> None:
    cached(alone, host())
    long = host() + bytes(1614)
    assert at_mark(alone, long) == "too_long"


def test_of_flows_that_never_come_again_some_are_kept_and_most_are_not(alone: Plane) -> None:
    sent, frame = 0, bytearray(host())
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline and sent < 0xFFFF:
        sent += 1
        frame[34:36] = sent.to_bytes(2, "big")
        alone.run("mark", bytes(frame), alone.engines[1].hosts[0])
    share = np.count_nonzero(flows(alone)["saddr"]) / sent
    assert 0.1 < share < 0.4, (share, sent)


def test_flow_that_shares_a_place_moves_the_other_and_the_third_takes_the_olders(
    alone: Plane,
) -> None:
    packet = host()
    place, _ = cached(alone, packet)
    newer = flows(alone)[place, 0].copy()
    found = names(alone)[place, 0].copy()
    for bit in range(3):
        # as if another flow had the place: the packet's own comes before it
        flows(alone)["daddr"][place, 0] ^= np.uint32(1 << 24 + bit)
        names(alone)[place, 0] ^= np.uint32(2 << bit)
        moved, name = flows(alone)[place, 0].copy(), names(alone)[place, 0].copy()
        until(
            lambda: flows(alone)["daddr"][place, 0] == newer["daddr"],
            lambda: at_mark(alone, packet),
        )
        assert flows(alone)[place, 1] == moved
        assert (names(alone)[place] == (found, name)).all()


def ack(sport: int = 4000, **fields: Any) -> bytes:
    flags = fields.pop("flags", "A")
    return bytes(
        Ether(src="02:00:00:00:00:01", dst=ROUTER_MAC)
        / IP(src="10.1.0.1", dst="10.9.0.1", **fields)
        / TCP(sport=sport, dport=80, flags=flags)
        / (b"x" * 10)
    )


def burst(plane: Plane) -> None:
    """Send twelve packets of a connection, all before the clock makes it tell of them."""
    for _ in range(12):
        plane.run("mark", ack(), plane.engines[1].hosts[0])


@pytest.fixture
def service(alone: Plane) -> Plane:
    assert alone.state.apply(serving(2, insert_rate=1 << 31)).mismatches == 0
    return alone


def told(plane: Plane) -> tuple[int, int]:
    """Return how many packets the only connection has been told of, and how many wait."""
    (value,) = plane.maps.connections.items().values()
    return int.from_bytes(value[16:24], "little"), int(flows(plane)["packets"].sum())


def test_packets_of_a_known_connection_reach_its_table_in_time(service: Plane) -> None:
    burst(service)
    # the first packet was no connection's, the second entered it
    assert told(service) == (1, 10)
    time.sleep(FLUSHED_S)
    assert at_mark(service, ack()) == "balanced"
    assert told(service) == (12, 0)


@pytest.mark.parametrize("flags", ["S", "FA", "R"])
def test_packet_that_means_something_to_the_table_goes_there(service: Plane, flags: str) -> None:
    burst(service)
    at_mark(service, ack(flags=flags))
    assert told(service) == (12, 0)


def test_known_connection_goes_by_the_tables_when_the_revision_changes(service: Plane) -> None:
    burst(service)
    spoil_circuits(service)
    assert at_mark(service, ack()) == "balanced"
    service.state.renew()
    assert at_mark(service, ack()) == "no_circuit"


def test_connection_that_loses_its_place_is_told_before(service: Plane) -> None:
    burst(service)
    place, _ = (int(at) for at in np.argwhere(flows(service)["packets"])[0])
    assert told(service) == (1, 10)
    # two others come to the place: in the shoes of the first's own flow, under other names
    for table in (flows(service), names(service)):
        table[place, 1] = table[place, 0]
    flows(service)["daddr"][place, 0] ^= np.uint32(1 << 30)
    flows(service)["packets"][place, 0] = 0
    names(service)[place] = (2, 2)
    at_mark(service, ack())
    assert told(service)[0] == 12


def test_header_of_a_connection_is_made_once(service: Plane, keys: Plane) -> None:
    packet = bytes(
        Ether(src="02:00:00:00:00:01", dst=ROUTER_MAC)
        / IPv6(src="fd01::1", dst="fd09::1")
        / TCP(sport=4000, dport=80, flags="A")
    )
    port = service.engines[1].hosts[0]
    first, second, third = (service.run("mark", packet, port)[1] for _ in range(3))
    assert first == second == third
    spoil_key(keys)
    mapped(keys.maps.tag_starts, np.dtype(("u1", 64)))[:] = 0
    assert service.run("mark", packet, port)[1] == first
    service.state.renew()
    assert service.run("mark", packet, port)[1] != first


def test_circuit_that_is_taken_away_alone_ends_what_was_cached(alone: Plane) -> None:
    cached(alone, host())
    before = desired()
    one, *others = before.engines
    without = replace(
        before,
        generation=2,
        engines=(replace(one, circuits=tuple(c for c in one.circuits if c.spi != 5)), *others),
    )
    assert alone.state.apply(without).mismatches == 0
    assert at_mark(alone, host()) == "no_circuit"


def test_flow_cached_while_its_rule_is_taken_away_is_forgotten(
    alone: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed = Map.remove

    def later(self: Map, key: bytes) -> bool:
        # a packet comes between the new revision and the removal
        if self.name == "rules":
            until(lambda: flows(alone)["saddr"].any(), lambda: at_mark(alone, host()))
        return removed(self, key)

    with_rules = desired(
        classes=(ApplicationClass(1, 300, 5),),
        rules=(
            FlowRule(1, "10.1.0.1", "10.2.0.1", 17, 1234, 80, 1),
            FlowRule(1, "10.1.0.9", "10.2.0.1", 17, 1234, 80, 1),
        ),
    )
    assert alone.state.apply(with_rules).mismatches == 0
    port = alone.engines[1].hosts[0]
    assert SteeringHeader.decode(alone.run("mark", host(), port)[1][14:]).application == 300
    empty(alone)
    monkeypatch.setattr(Map, "remove", later)
    without = replace(with_rules, generation=2, rules=with_rules.rules[1:])
    assert alone.state.apply(without).mismatches == 0
    assert SteeringHeader.decode(alone.run("mark", host(), port)[1][14:]).application == 0


def test_packet_that_ends_a_connection_ends_what_was_cached_even_when_it_is_not_sent_on(
    service: Plane,
) -> None:
    burst(service)
    assert at_mark(service, ack(flags="FA") + bytes(1614)) == "closed"
    spoil_circuits(service)
    assert at_mark(service, ack()) == "no_circuit"


def test_flow_of_a_service_that_is_gone_is_no_demand(service: Plane) -> None:
    burst(service)
    assert service.state.apply(desired(3)).mismatches == 0
    assert at_mark(service, ack()) == "no_demand"
    assert at_mark(service, ack(5000)) == "no_demand"


def test_first_packet_of_a_service_that_is_gone_is_no_demand(service: Plane) -> None:
    at_mark(service, ack(5001, flags="S"))
    assert service.state.apply(desired(3)).mismatches == 0
    assert at_mark(service, ack(5001, flags="S")) == "no_demand"

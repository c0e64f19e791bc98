"""What is broken, missing, full or not ours: each has an outcome that is written down."""

import errno
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether

from bus.keys import derive_key
from dataplane import loader, syscall
from dataplane.bpffs import mount_bpffs
from dataplane.errors import AttachError, BpfError, DataplaneError, LoadError
from dataplane.maps import (
    CONNECTIONS,
    EVENT_PAGES,
    FRESH,
    MAP_NAMES,
    cache_processors,
    open_maps,
)
from dataplane.ports import attach_engine
from dataplane.twin import Machine, Tables
from headers.files.network import Engine
from headers.packet import SteeringHeader, steer_frame
from headers.packet.steering import Echo, echo_frame
from tests.bpf.conftest import ROUTER_MAC, SECRET, Plane
from tests.bpf.test_bpf_budget import serving
from tests.bpf.tools import drop_program

KEY = derive_key(SECRET, "tag", 0)
DROP, XDP_PASS = 1, 2
HOST = bytes.fromhex("020000000001")
ROUTER = bytes.fromhex(ROUTER_MAC.replace(":", ""))
MAP_CREATE = 0
HASH = 1


def packets() -> dict[str, bytes]:
    """Return a packet of every kind, whole."""
    ether = Ether(src="02:00:00:00:00:01", dst=ROUTER_MAC)
    four = IP(src="10.1.0.1", dst="10.2.0.1")
    six = IPv6(src="fd01::1", dst="fd02::1")
    here = {
        "udp": ether / four / UDP(sport=1, dport=2) / (b"x" * 30),
        "tcp": ether / four / TCP(sport=1, dport=2) / (b"x" * 30),
        "options": ether
        / IP(src="10.1.0.1", dst="10.2.0.1", options=b"\x01" * 8)
        / UDP()
        / (b"x" * 30),
        "vlan": ether / Dot1Q(vlan=7) / four / UDP() / (b"x" * 30),
        "six": ether / six / TCP() / (b"x" * 30),
        "six and vlan": ether / Dot1Q(vlan=7) / six / UDP() / (b"x" * 30),
        "service": ether / IP(src="10.1.0.1", dst="10.9.0.1") / TCP(dport=80) / (b"x" * 30),
        "arp": ether / ARP() / (b"x" * 30),
    }
    found = {name: bytes(packet) for name, packet in here.items()}
    header = SteeringHeader(5, 1, 2).tagged(KEY, "10.1.0.1", "10.2.0.1")
    found["steered"] = steer_frame(found["udp"], header)
    found["steered six"] = steer_frame(
        found["six"], SteeringHeader(5, 1, 2, next_protocol=2).tagged(KEY, "fd01::1", "fd02::1")
    )
    found["nested"] = found["steered"][:17] + b"\x03" + found["steered"][18:38] + found["steered"]
    found["steered and vlan"] = found["steered"][:12] + b"\x81\x00\x00\x07" + found["steered"][12:]
    for name, flags in (("echo", 0), ("answer", 2)):
        found[name] = echo_frame(
            KEY,
            SteeringHeader(5, 1, 2, flags=flags),
            Echo(9, 1, 3, 4),
            source_mac=HOST,
            target_mac=ROUTER,
        )
    return found


@pytest.fixture
def alone(plane: Plane) -> Iterator[Plane]:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    assert plane.state.apply(serving(2, insert_rate=0)).mismatches == 0
    yield plane
    os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize("name", packets())
def test_packet_cut_at_any_length_does_what_the_twin_says(alone: Plane, name: str) -> None:
    machine = Machine(Tables.from_maps(alone.maps))
    whole = packets()[name]
    ports = {
        "mark": alone.engines[1].hosts[0],
        "balance": alone.engines[1].hosts[0],
        "steer": alone.engines[2].fabric,
    }
    for program, port in ports.items():
        for length in range(14, len(whole) + 1):
            frame = whole[:length]
            verdict, out = alone.run(program, frame, port)
            twin = getattr(machine, program)(frame, port)
            assert verdict == twin.verdict, (program, length)
            assert verdict == DROP or out == twin.frame, (program, length)
            assert twin.reasons


def test_virtual_address_passes_while_balance_is_not_there(alone: Plane) -> None:
    programs, slot = alone.maps.programs, (0).to_bytes(4, "little")
    packet, before = packets()["service"], alone.reasons(1)
    assert programs.remove(slot)
    try:
        for _ in range(3):
            assert alone.run("mark", packet, alone.engines[1].hosts[0]) == (XDP_PASS, packet)
    finally:
        programs.set(slot, alone.programs["balance"].to_bytes(4, "little"))
    assert alone.reasons(1) == before


def test_every_map_holds_as_much_as_is_promised(loaded: Plane) -> None:
    processors = cache_processors()
    promised = {
        "ports": 65536,
        "domain": 1,
        "prefixes": 16384,
        "prefixes_by_length": 16384,
        "prefixes6": 16384,
        "classes": 1024,
        "rules": 16384,
        "class_table": 256,
        "class_demands": 4096,
        "buckets": 1024 * 256,
        "edge_circuits": 16384,
        "hops": 16384 * 4,
        "down": 256,
        "keys": 256,
        "customers": 1024,
        "grants": 4096,
        "neighbours": 16384,
        "instances": 4096,
        "services": 1024,
        "backends": 4096,
        "connections": CONNECTIONS,
        "replicas": CONNECTIONS,
        "fresh_flows": FRESH * processors,
        "budgets": processors,
        "tx_ports": 1024,
        "programs": 4,
        "demand_counters": 1024,
        "circuit_counters": 16384,
        "class_counters": 256,
        "reason_counters": 256 * 64,
        "events": EVENT_PAGES * 4096,
        "samples": 256 * 4096,
    }
    held = {name: getattr(loaded.maps, name).entries for name in promised}
    assert held == promised


def made(kind: int, key: int, value: int, entries: int) -> int:
    """Make a map; return its descriptor."""
    return syscall.bpf(MAP_CREATE, struct.pack("<IIIII", kind, key, value, entries, 0))[0]


@pytest.fixture
def pins(tmp_path: Path) -> Iterator[Path]:
    """A bpffs of its own."""
    where = tmp_path / "bpf"
    mount_bpffs(where)
    (where / "maps").mkdir()
    yield where
    subprocess.run(["umount", str(where)], check=True)


def carried(pins: Path, before: int, after: int) -> int:
    syscall.pin(before, pins / "maps" / "connections")
    return loader._carried("connections", before, after, pins)


def test_table_is_made_larger_with_its_content(pins: Path) -> None:
    before, after = made(HASH, 4, 8, 4), made(HASH, 4, 8, 9)
    for number in range(3):
        syscall.update(before, bytes([number] * 4), bytes([number + 1] * 8))
    assert carried(pins, before, after) == after
    now = syscall.get(pins / "maps" / "connections")
    assert sorted(syscall.keys(now, 4)) == [bytes([number] * 4) for number in range(3)]
    assert syscall.lookup(now, bytes([2] * 4), 8) == bytes([3] * 8)


def test_table_smaller_than_its_content_is_refused(pins: Path) -> None:
    before, after = made(HASH, 4, 8, 4), made(HASH, 4, 8, 2)
    for number in range(3):
        syscall.update(before, bytes([number] * 4), bytes(8))
    with pytest.raises(LoadError, match="connections holds 3 entries, more than the 2 asked for"):
        carried(pins, before, after)
    assert len(syscall.keys(syscall.get(pins / "maps" / "connections"), 4)) == 3


def test_table_of_another_layout_is_refused_with_what_to_do(pins: Path) -> None:
    before, after = made(HASH, 4, 8, 4), made(HASH, 4, 16, 4)
    with pytest.raises(LoadError, match=r"connections .* another .*\(foresteer detach\)"):
        carried(pins, before, after)


def test_maps_of_an_unknown_layout_are_refused_with_what_to_do(
    pins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pins / "layout-99").mkdir()
    nothing: Any = ({}, dict.fromkeys(MAP_NAMES, -1), None)
    monkeypatch.setattr(loader, "_compiled_in_two", lambda *_: nothing)
    with pytest.raises(LoadError, match=r"layout-99 .*\(foresteer detach\)"):
        loader.compile_and_pin(pins, tmp_path / "stub")
    assert [path.name for path in pins.glob("*-*")] == ["layout-99"]


def test_map_of_another_size_is_refused_when_opened(pins: Path) -> None:
    syscall.pin(made(HASH, 4, 999, 4), pins / "maps" / "ports")
    with pytest.raises(LoadError, match=r"ports pinned below .* another version"):
        open_maps(pins)


def test_maps_that_are_not_there_are_named(pins: Path) -> None:
    with pytest.raises(BpfError) as caught:
        open_maps(pins)
    assert caught.value.errno == errno.ENOENT


def test_pins_that_are_on_no_bpffs_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: Any = ({}, {name: made(HASH, 4, 4, 1) for name in MAP_NAMES}, None)
    monkeypatch.setattr(loader, "_compiled_in_two", lambda *_: there)
    with pytest.raises(LoadError, match="cannot load below"):
        loader.compile_and_pin(tmp_path / "pins", tmp_path / "stub")


def test_without_privilege_one_line_says_what_is_missing(tmp_path: Path) -> None:
    where = tmp_path / "bpf"
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.setuid(65534)
        try:
            mount_bpffs(where)
            words = "mounted"
        except (DataplaneError, OSError) as error:
            words = str(error)
        os.write(write, words.encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as pipe:
        words = pipe.read()
    assert "root" in words or "Permission denied" in words
    assert "\n" not in words


@pytest.fixture
def port() -> Iterator[str]:
    name = f"fsb{os.getpid() % 10000}"
    add_port(name)
    yield name
    subprocess.run(["ip", "link", "del", name], check=False, capture_output=True)


def add_port(name: str) -> None:
    subprocess.run(
        ["ip", "link", "add", name, "up", "type", "veth", "peer", "name", f"{name}p"], check=True
    )


def attach(plane: Plane, name: str, number: int = 9) -> Any:
    return attach_engine(
        Engine(f"b{number}", number, (f"{name}p",), name, 1),
        plane.maps,
        plane.pins,
        max_frame=1614,
        router_mac=ROUTER,
    )


def forget_port(plane: Plane, attached: Any) -> None:
    for number in (attached.fabric, *attached.hosts):
        plane.maps.ports.set(number.to_bytes(4, "little"), bytes(plane.maps.ports.value_size))
    for link in (plane.pins / "links").glob("b9:*"):
        link.unlink()


def test_interface_with_anothers_program_is_left_to_it(loaded: Plane, port: str) -> None:
    link = syscall.attach_xdp(drop_program(), socket.if_nametoindex(port))
    with pytest.raises(AttachError, match=f"{port} of engine b9.* another XDP program"):
        attach(loaded, port)
    os.close(link)
    forget_port(loaded, attach(loaded, port))


def test_interface_that_two_engines_claim_is_refused(loaded: Plane, port: str) -> None:
    attached = attach(loaded, port)
    with pytest.raises(AttachError, match="as one of engine number 9 has"):
        attach(loaded, port, 10)
    forget_port(loaded, attached)


def test_interface_that_disappears_is_named_and_taken_again_when_it_is_back(
    loaded: Plane, port: str
) -> None:
    attached = attach(loaded, port)
    subprocess.run(["ip", "link", "del", port], check=True)
    with pytest.raises(AttachError, match=f"there is no interface {port}"):
        attach(loaded, port)
    add_port(port)
    again = attach(loaded, port)
    assert again.fabric != attached.fabric
    forget_port(loaded, attached)
    forget_port(loaded, again)

"""The real programs in the real kernel: loaded once, run by BPF_PROG_TEST_RUN on real veths."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dataplane import loader, syscall
from dataplane.bpffs import mount_bpffs
from dataplane.desired import State
from dataplane.keys import write_keys
from dataplane.maps import REASON_SLOTS, REASONS, Maps, open_maps, read_counters
from dataplane.ports import Attached, attach_engine
from headers.files.network import Engine
from headers.messages import (
    ApplyEngines,
    EdgeCircuit,
    EngineDemand,
    EngineDesired,
    Hop,
    Neighbour,
)

SECRET = bytes(range(32))
ROUTER_MAC = "02:f0:00:00:00:01"
HOST_MAC = "02:00:00:00:00:07"
XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT = 1, 2, 3, 4


@dataclass
class Plane:
    """Two engines on veths, with circuit 5 from the first to the second and 6 through it."""

    maps: Maps
    state: State
    engines: dict[int, Attached]
    programs: dict[str, int]
    pins: Path

    def run(self, program: str, packet: bytes, ifindex: int) -> tuple[int, bytes]:
        return syscall.run_program(self.programs[program], packet, ifindex)

    def reasons(self, engine: int) -> dict[str, int]:
        table = read_counters(self.maps.reason_counters)
        return {
            name: int(table[engine * REASON_SLOTS + position][0])
            for position, name in enumerate(REASONS)
        }


def desired(generation: int = 1, **changes: object) -> ApplyEngines:
    fields = {
        "term": 1,
        "generation": generation,
        "epoch": 0,
        "forecast": 77,
        "router_mac": ROUTER_MAC,
        "engines": (
            EngineDesired(
                1,
                (
                    EngineDemand("10.2.0.0/16", (5,) * 256),
                    EngineDemand("10.3.0.0/16", (0,) * 256),
                    EngineDemand("10.4.0.0/16", (99,) * 256),
                ),
                (EdgeCircuit(5, 2 << 16, 1 << 28, 1), EdgeCircuit(6, 3 << 16, 1 << 28, 2)),
                (),
                (),
            ),
            EngineDesired(
                2,
                (),
                (),
                (Hop(5, 1, deliver=True), Hop(6, 2, deliver=False, next_mac="02:00:00:00:00:99")),
                (Neighbour("10.2.0.1", HOST_MAC),),
            ),
        ),
        **changes,
    }
    return ApplyEngines(**fields)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    base = tmp_path_factory.mktemp("plane")
    pins = base / "bpf"
    mount_bpffs(pins)
    loader.ensure_loaded(pins, base / "stub")
    names = []
    for engine in (1, 2):
        for port in ("h", "f"):
            name = f"fst{os.getpid() % 10000}{port}{engine}"
            names.append(name)
            subprocess.run(
                ["ip", "link", "add", name, "up", "type", "veth", "peer", "name", f"{name}p"],
                check=True,
            )
    maps = open_maps(pins)
    write_keys(maps, SECRET, 0)
    engines = {
        number: attach_engine(
            Engine(f"t{number}", number, (names[2 * number - 2],), names[2 * number - 1], 1),
            maps,
            pins,
            max_frame=1614,
            router_mac=bytes.fromhex(ROUTER_MAC.replace(":", "")),
        )
        for number in (1, 2)
    }
    programs = {name: syscall.get(pins / name) for name in loader.PROGRAMS}
    yield Plane(maps, State(maps, engines), engines, programs, pins)
    subprocess.run(["umount", str(pins)], check=True)
    for name in names:
        subprocess.run(["ip", "link", "del", name], check=True)


@pytest.fixture
def plane(loaded: Plane) -> Plane:
    loaded.state.term = 0
    done = loaded.state.apply(desired())
    assert done.mismatches == 0
    return loaded

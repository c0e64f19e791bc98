"""Real programs on real veths beside their twin, with every map filled."""

import ctypes
import os
import socket
import struct
import subprocess
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from pathlib import Path

import numpy as np

from dataplane import loader, syscall
from dataplane.agent import mount_bpffs
from dataplane.desired import State
from dataplane.keys import write_keys
from dataplane.maps import (
    BUDGET,
    EVENT,
    FLOW_ENTRY_DTYPE,
    FRESH,
    REASON_SLOTS,
    REASONS,
    U32,
    Maps,
    flow_key,
    mapped,
    open_maps,
    read_counters,
)
from dataplane.ports import Attached, attach_engine
from dataplane.ringbuf import RingBuffer
from dataplane.twin import Machine, Tables
from dataplane.twin.tables import Route
from headers.files.network import Engine
from headers.messages import (
    ApplicationClass,
    ApplyEngines,
    Backend,
    EdgeCircuit,
    EngineDemand,
    EngineDesired,
    FlowRule,
    Grant,
    Hop,
    InstanceHere,
    Neighbour,
    Service,
)

SECRET = bytes(range(32))
ROUTER_MAC = "02:f0:00:00:00:01"
CONNECTIONS = 1024
EVENT_PAGES = 4
CUSTOMER = 9
MAX_FRAME = 1614
V4_ROUTED, V6_ROUTED = "10.77", "fd77"
_VERSION = 1 << 28


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _buckets(*numbers: int) -> tuple[int, ...]:
    return tuple(numbers[i % len(numbers)] for i in range(256))


def desired(generation: int, *, epoch: int = 0, insert_rate: int = 1 << 31) -> ApplyEngines:
    """Return a state in which every table has content, and every kind of hole is to be found."""
    one = EngineDesired(
        1,
        demands=(
            EngineDemand("10.2.0.0/16", _buckets(5, 6, 7), _buckets(8, 0)),
            EngineDemand("10.2.0.0/16", _buckets(10), (), 2),
            EngineDemand("10.2.3.0/24", _buckets(9), _buckets(5)),
            EngineDemand("10.3.0.0/16", _buckets(0)),
            EngineDemand("10.4.0.0/16", _buckets(99)),
            EngineDemand("0.0.0.0/2", _buckets(7)),
            EngineDemand("fd02::/32", _buckets(5, 7), _buckets(8)),
            EngineDemand("fd02:0:3::/48", _buckets(0)),
        ),
        circuits=(
            EdgeCircuit(5, 2 << 16, _VERSION, 1),
            EdgeCircuit(6, 3 << 16 | 4, _VERSION | 3 << 24 | 7 << 8, 2),
            EdgeCircuit(7, 4 << 16, _VERSION, 1),
            EdgeCircuit(8, 3 << 16, _VERSION, 1),
            EdgeCircuit(9, 4 << 16, _VERSION, 3),
            EdgeCircuit(10, 2 << 16, _VERSION | 15 << 24, 1),
        ),
        hops=(Hop(21, 1, deliver=True),),
        neighbours=(Neighbour("10.1.0.9", "02:00:00:00:00:19"),),
        services=(
            Service("10.9.0.1", 6, 80, _buckets(1, 2), _buckets(2, 1), 1),
            Service("10.9.0.1", 17, 53, _buckets(3)),
            Service("10.9.0.2", 6, 443, _buckets(40)),
            Service("10.9.0.3", 17, 9, _buckets(4, 5)),
            Service("fd09::1", 6, 80, _buckets(1, 6)),
        ),
        instances=(
            InstanceHere(7, "02:00:00:00:01:07"),
            InstanceHere(8, "02:00:00:00:01:08", 12),
        ),
    )
    two = EngineDesired(
        2,
        (),
        (EdgeCircuit(22, 1 << 16, _VERSION, 1),),
        (
            Hop(5, 1, deliver=True),
            Hop(6, 2, deliver=False, next_mac="02:00:00:00:00:99"),
            Hop(10, 1, deliver=True),
        ),
        (
            Neighbour("10.2.0.1", "02:00:00:00:00:21"),
            Neighbour("10.2.0.2", "02:00:00:00:00:22", 7),
            Neighbour("fd02::1", "02:00:00:00:00:61"),
        ),
        instances=(InstanceHere(3, "02:00:00:00:02:03"), InstanceHere(4, "02:00:00:00:02:04", 5)),
    )
    three = EngineDesired(
        3,
        (),
        (),
        (Hop(25, 1, deliver=True), Hop(8, 1, deliver=True), Hop(8, 2, deliver=False)),
        (Neighbour("10.2.0.1", "02:00:00:00:00:31"),),
    )
    return ApplyEngines(
        1,
        generation,
        epoch,
        77,
        ROUTER_MAC,
        (one, two, three),
        backends=(
            Backend(1, 2, 3, _buckets(5), _buckets(8)),
            Backend(2, 2, 4, _buckets(5, 10)),
            Backend(3, 1, 7),
            Backend(4, 1, 8),
            Backend(5, 1, 99),
            Backend(6, 4, 1, _buckets(98)),
        ),
        classes=(
            ApplicationClass(1, 300, 5, ports=((6, 80),), dscp=(46,)),
            ApplicationClass(2, 2, 9, ports=((17, 5000),), source_ports=((6, 22),), dscp=(10,)),
            ApplicationClass(3, 3, 1),
        ),
        rules=(
            FlowRule(1, "10.1.0.9", "10.2.0.1", 17, 1000, 1001, 3),
            FlowRule(1, "fd01::9", "fd02::1", 6, 1000, 1001, 3),
        ),
        grants=(Grant(CUSTOMER, 70, 5, 4), Grant(CUSTOMER, 71, 99, 4), Grant(CUSTOMER, 72, 6, 15)),
        insert_rate=insert_rate,
    )


class Runner:
    """BPF_PROG_TEST_RUN with buffers that stay."""

    def __init__(self) -> None:
        self._data = ctypes.create_string_buffer(4096)
        self._out = ctypes.create_string_buffer(4096)
        self._context = ctypes.create_string_buffer(24)
        self._attr = ctypes.create_string_buffer(128)
        self._call = ctypes.CDLL(None, use_errno=True).syscall

    def run(self, program: int, frame: bytes, ifindex: int) -> tuple[int, bytes]:
        """Return verdict and frame."""
        size = len(frame)
        ctypes.memmove(self._data, frame, size)
        struct.pack_into("<6I", self._context, 0, 0, size, 0, ifindex, 0, 0)
        struct.pack_into(
            "<IIIIQQIIIIQQII",
            self._attr,
            0,
            program,
            0,
            size,
            4096,
            ctypes.addressof(self._data),
            ctypes.addressof(self._out),
            1,
            0,
            24,
            0,
            ctypes.addressof(self._context),
            0,
            0,
            0,
        )
        if self._call(321, 10, self._attr, 128) < 0:
            raise OSError(ctypes.get_errno(), "BPF_PROG_TEST_RUN")
        verdict, _, length = struct.unpack_from("<III", self._attr, 4)
        return verdict, self._out.raw[:length]


@dataclass
class World:
    """Three engines: 1 has a plain and a customer's port, 2 steers, 3 drops what it refuses."""

    maps: Maps
    state: State
    engines: dict[int, Attached]
    programs: dict[str, int]
    pins: Path
    machine: Machine
    ring: RingBuffer
    base: dict[str, np.ndarray] = field(default_factory=dict)

    def ports(self) -> dict[str, int]:
        return {
            "host": self.engines[1].hosts[0],
            "customer": self.engines[1].hosts[1],
            "fabric1": self.engines[1].fabric,
            "fabric2": self.engines[2].fabric,
            "fabric3": self.engines[3].fabric,
        }

    def configure(self, wanted: ApplyEngines, down: frozenset[int] = frozenset()) -> None:
        """Hold maps to a state, and give the twin the same."""
        done = self.state.apply(wanted)
        assert done.mismatches == 0
        for engine in range(256):
            self.state.mark_down(engine, down=engine in down)
        self.renew()

    def renew(self) -> None:
        """Let the twin read the maps again; what both remember stays."""
        self.machine.tables = Tables.from_maps(self.maps, self.fib)
        budgets = mapped(self.maps.budgets, np.dtype("<u8,<u8"))
        budgets[:] = np.zeros(1, np.dtype("<u8,<u8"))
        self.machine.tokens = self.machine.budget_ns = 0

    def forget(self) -> None:
        """Empty connection tables and rings on both sides."""
        for key in self.maps.connections.items():
            self.maps.connections.remove(key)
        fresh = mapped(self.maps.fresh_flows, np.dtype("<u8,<u8"))
        fresh[: FRESH * 2] = np.zeros(1, np.dtype("<u8,<u8"))
        self.machine.connections.clear()
        self.machine.fresh.clear()
        self.ring.read()
        self.machine.events.clear()

    def waiting(self) -> dict[bytes, tuple[int, int]]:
        """Return what the cache holds of connections and has not told their table yet."""
        entries = mapped(self.maps.flow_cache, np.dtype((FLOW_ENTRY_DTYPE, 2))).reshape(-1)
        found = {}
        for entry in entries[entries["packets"] > 0]:
            rest = int(entry["rest"])
            engine = self.machine.tables.ports[rest >> 16].engine
            ports = int(entry["ports"]).to_bytes(4, "little")
            key = flow_key(
                entry["saddr"].tobytes(),
                entry["daddr"].tobytes(),
                int.from_bytes(ports[:2], "big"),
                int.from_bytes(ports[2:], "big"),
                rest & 0xFF,
                engine,
            )
            found[key] = int(entry["packets"]), int(entry["bytes"])
        return found

    def zero(self) -> None:
        """Begin counting here."""
        for name in ("reason", "demand", "circuit", "class"):
            self.base[name] = read_counters(getattr(self.maps, f"{name}_counters"))

    def counted(self, name: str) -> np.ndarray:
        """Return what was counted since: int64 [entries, 2]."""
        now = read_counters(getattr(self.maps, f"{name}_counters"))
        return now.astype(np.int64) - self.base[name].astype(np.int64)

    def reasons(self) -> dict[tuple[int, str], tuple[int, int]]:
        table = self.counted("reason").reshape(-1, REASON_SLOTS, 2)
        return {
            (engine, name): (int(table[engine, at, 0]), int(table[engine, at, 1]))
            for engine in self.engines
            for at, name in enumerate(REASONS)
            if table[engine, at].any()
        }

    def fib(self, family: int, src: bytes, dst: bytes, length: int, _ifindex: int) -> Route | None:
        """Say what the routes made below do."""
        if family == 6:
            # the kernel forwards nothing that comes from one link or from many
            source = IPv6Address(src)
            if source.is_multicast or source.is_link_local or source.is_loopback:
                return None
        prefix = bytes([10, 77]) if family == 4 else bytes.fromhex("fd77")
        if not dst.startswith(prefix) or length > 1500:
            return None
        return self.route


def make(base: Path, prefix: str = "fz") -> World:
    """Build the world in the present network namespace, pinned below ``base``."""
    pins = base / "bpf"
    mount_bpffs(pins)
    loader.ensure_loaded(pins, base / "stub", CONNECTIONS, EVENT_PAGES)
    names = [f"{prefix}{n}" for n in ("h1", "c1", "f1", "h2", "f2", "h3", "f3", "r0")]
    for name in names:
        _ip("link", "add", name, "type", "veth", "peer", "name", f"{name}p")
        for end in (name, f"{name}p"):
            # nobody but the fuzzer sends here: no router solicitations, no multicast reports
            _ip("link", "set", end, "addrgenmode", "none")
            _ip("link", "set", end, "multicast", "off")
            _ip("link", "set", end, "up")
        for family in ("ipv4", "ipv6"):
            Path(f"/proc/sys/net/{family}/conf/{name}/forwarding").write_text("1")
    out = f"{prefix}r0"
    _ip("addr", "add", "192.168.77.1/30", "dev", out)
    _ip("-6", "addr", "add", "fd99::1/126", "dev", out, "nodad")
    _ip("neigh", "add", "192.168.77.2", "lladdr", "02:00:00:00:77:04", "dev", out)
    _ip("-6", "neigh", "add", "fd99::2", "lladdr", "02:00:00:00:77:04", "dev", out)
    _ip("route", "add", f"{V4_ROUTED}.0.0/16", "via", "192.168.77.2")
    _ip("-6", "route", "add", f"{V6_ROUTED}::/16", "via", "fd99::2")
    maps = open_maps(pins)
    write_keys(maps, SECRET, 0, [CUSTOMER])
    engines = {}
    for number, hosts in ((1, ("h1", "c1")), (2, ("h2",)), (3, ("h3",))):
        engines[number] = attach_engine(
            Engine(
                f"e{number}",
                number,
                tuple(prefix + host for host in hosts),
                f"{prefix}f{number}",
                1,
                customers=((f"{prefix}c1", CUSTOMER),) if number == 1 else (),
            ),
            maps,
            pins,
            max_frame=MAX_FRAME,
            router_mac=bytes.fromhex(ROUTER_MAC.replace(":", "")),
            drop_refused=number == 3,
        )
    state = State(maps, engines)
    state.set_seed(0x1234_5678_9ABC_DEF0)
    programs = {name: syscall.get(pins / name) for name in ("mark", "steer", "balance")}
    world = World(
        maps,
        state,
        engines,
        programs,
        pins,
        Machine(Tables()),
        RingBuffer(maps.events, EVENT.size),
    )
    mac = Path(f"/sys/class/net/{out}/address")
    text = mac.read_text() if mac.exists() else _mac(out)
    world.route = Route(
        socket.if_nametoindex(out),
        bytes.fromhex(text.strip().replace(":", "")),
        bytes.fromhex("020000007704"),
    )
    return world


def _mac(name: str) -> str:
    found = subprocess.run(
        ["ip", "-br", "link", "show", name], check=True, capture_output=True, text=True
    )
    return found.stdout.split()[2]


def pin_to_one_processor() -> int:
    """Stay on one processor, as the caches and budgets of each are its own; return which."""
    first = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {first})
    return first


__all__ = ["BUDGET", "U32", "Runner", "World", "desired", "make", "pin_to_one_processor"]

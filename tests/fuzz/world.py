"""Real programs on real veths beside their twin, with every map filled."""

import ctypes
import os
import socket
import struct
import subprocess
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import numpy as np

from dataplane import loader, syscall
from dataplane.bpffs import mount_bpffs
from dataplane.desired import State
from dataplane.keys import write_keys
from dataplane.maps import (
    CONNECTION,
    CONNECTION_OPEN,
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
from dataplane.twin.balance import FRESH_SHIFT
from dataplane.twin.memory import Connection
from dataplane.twin.tables import Route
from headers.files.network import Engine
from headers.messages import ApplyEngines
from tests.fuzz.frames import HASH_SEED, NO_WAY, NO_WAY6, SECRETS
from tests.fuzz.states import CUSTOMER, ROUTER_MAC

CONNECTIONS = 1024
EVENT_PAGES = 4
MAX_FRAME = 1614
V4_ROUTED, V4_ELSEWHERE, V6_ROUTED = "10.77", "10.78", "fd77"
FRESH_DTYPE = np.dtype([("hash", "<u8"), ("backend", "<u4"), ("seen", "<u4")])


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


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
    processor: int
    route: Route
    elsewhere: int
    interfaces: tuple[str, ...]
    base: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.flows = mapped(self.maps.flow_cache, np.dtype((FLOW_ENTRY_DTYPE, 2))).reshape(-1)
        self.budgets = mapped(self.maps.budgets, np.dtype("<u8,<u8"))
        every = mapped(self.maps.fresh_flows, FRESH_DTYPE)
        self.fresh = every[self.processor * FRESH : (self.processor + 1) * FRESH]
        self.slots = {
            slot: value
            for slot in range(1024)
            if (value := self.maps.tx_ports.get(U32.pack(slot))) is not None
        }
        self.absent: set[int] = set()

    def close(self) -> None:
        """Take away what ``make`` made, so that another one can be in the same namespace."""
        self.maps.close()
        subprocess.run(["umount", str(self.pins)], check=True)
        for name in self.interfaces:
            _ip("link", "del", name)
        _ip("route", "del", "unreachable", f"{NO_WAY}/32")
        _ip("-6", "route", "del", "unreachable", f"{NO_WAY6}/128")

    def ports(self) -> dict[str, int]:
        return {
            "host": self.engines[1].hosts[0],
            "customer": self.engines[1].hosts[1],
            "fabric1": self.engines[1].fabric,
            "fabric2": self.engines[2].fabric,
            "fabric3": self.engines[3].fabric,
            "host2": self.engines[2].hosts[0],
            "out": self.elsewhere,
        }

    def configure(self, wanted: ApplyEngines) -> None:
        """Hold maps to a state as the agent does, and give the twin the same."""
        done = self.state.apply(wanted)
        assert done.mismatches == 0
        self.renew()

    def put_down(self, engines: frozenset[int]) -> None:
        """Say which engines are down; nothing else changes, and no cache is told."""
        for engine in range(256):
            self.state.mark_down(engine, down=engine in engines)
        self.machine.tables.down = set(engines)

    def renew(self) -> None:
        """Let the twin read the maps again; what both remember stays."""
        self.machine.tables = Tables.from_maps(self.maps, self.fib)
        self.budgets[:] = np.zeros(1, self.budgets.dtype)
        self.machine.tokens = self.machine.budget_ns = 0

    def forget(self) -> None:
        """Empty the tables of connections and first packets on both sides."""
        for key in self.maps.connections.items():
            self.maps.connections.remove(key)
        self.fresh[:] = np.zeros(1, self.fresh.dtype)
        for name in ("packets", "bytes"):
            self.flows[name] = 0
        self.machine.connections.clear()
        self.machine.fresh.clear()

    def fill(self, room: int) -> None:
        """Fill the connection table with flows that never come, but for some room."""
        held = self.machine.connections
        for number in range(self.maps.connections.entries - room - len(held)):
            key = flow_key(number.to_bytes(4, "big"), b"fill", 1, 1, 250, 1)
            if key not in held:
                self.maps.connections.set(
                    key, CONNECTION.pack(1, 1, 0, 0, 1, CONNECTION_OPEN, 0, 0, 0, 0, 0, 0)
                )
                held[key] = Connection(1, CONNECTION_OPEN, 1, 1)

    def age(self, seconds: int) -> None:
        """Make every first packet seen older."""
        times = seconds << 30 - FRESH_SHIFT
        mine = self.fresh[self.fresh["hash"] != 0]
        self.fresh["seen"][self.fresh["hash"] != 0] = mine["seen"] - np.uint32(times)
        self.machine.fresh = {
            at: (h, backend, then - times) for at, (h, backend, then) in self.machine.fresh.items()
        }

    def waiting(self) -> dict[bytes, tuple[int, int]]:
        """Return what the cache holds of connections and has not told their table yet."""
        found: dict[bytes, tuple[int, int]] = {}
        for entry in self.flows[self.flows["packets"] > 0]:
            rest = int(entry["rest"])
            engine = rest >> 16
            ports = int(entry["ports"]).to_bytes(4, "little")
            key = flow_key(
                entry["saddr"].tobytes(),
                entry["daddr"].tobytes(),
                int.from_bytes(ports[:2], "big"),
                int.from_bytes(ports[2:], "big"),
                rest & 0xFF,
                engine,
            )
            packets, size = found.get(key, (0, 0))
            found[key] = packets + int(entry["packets"]), size + int(entry["bytes"])
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
        if family == 4 and dst.startswith(bytes([10, 78])) and length <= 1500:
            return Route(self.elsewhere, bytes(6), bytes(6))
        prefix = bytes([10, 77]) if family == 4 else bytes.fromhex("fd77")
        nowhere = dst in (IPv4Address(NO_WAY).packed, NO_WAY6.packed)
        if nowhere or not dst.startswith(prefix) or length > 1500:
            return None
        return self.route


def make(base: Path, prefix: str = "fz") -> World:
    """Build the world in the present network namespace, pinned below ``base``."""
    pins = base / "bpf"
    mount_bpffs(pins)
    loader.ensure_loaded(pins, base / "stub", CONNECTIONS, EVENT_PAGES)
    names = [f"{prefix}{n}" for n in ("h1", "c1", "f1", "h2", "f2", "h3", "f3", "r0", "n0")]
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
    # a route that leads to no port of ours
    _ip("addr", "add", "192.168.78.1/30", "dev", f"{prefix}n0")
    _ip("neigh", "add", "192.168.78.2", "lladdr", "02:00:00:00:78:04", "dev", f"{prefix}n0")
    _ip("route", "add", f"{V4_ELSEWHERE}.0.0/16", "via", "192.168.78.2")
    _ip("-6", "route", "add", f"{V6_ROUTED}::/16", "via", "fd99::2")
    _ip("route", "add", "unreachable", f"{NO_WAY}/32")
    _ip("-6", "route", "add", "unreachable", f"{NO_WAY6}/128")
    maps = open_maps(pins)
    write_keys(maps, SECRETS[0], 0, [CUSTOMER])
    engines = {}
    for number, hosts in ((1, ("h1", "c1")), (2, ("h2", "r0")), (3, ("h3",))):
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
    state.set_seed(HASH_SEED)
    programs = {name: syscall.get(pins / name) for name in ("mark", "steer", "balance")}
    mac = Path(f"/sys/class/net/{out}/address")
    text = mac.read_text() if mac.exists() else _mac(out)
    return World(
        maps,
        state,
        engines,
        programs,
        pins,
        Machine(Tables()),
        RingBuffer(maps.events, EVENT.size),
        pin_to_one_processor(),
        Route(
            socket.if_nametoindex(out),
            bytes.fromhex(text.strip().replace(":", "")),
            bytes.fromhex("020000007704"),
        ),
        socket.if_nametoindex(f"{prefix}n0"),
        tuple(names),
    )


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

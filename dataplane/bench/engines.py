"""Our own engines on the bench: attached and filled as the agent would do it."""

import ipaddress
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bus.keys import tag_key
from dataplane import loader, syscall
from dataplane.bench.compile import NO_TAG
from dataplane.bench.rig import XDP, Rig, compile_child, mac_text
from dataplane.bench.traffic import CIRCUITS, HOST_MAC, ROUTER_MAC, VIP, VIP_PORT, Frames
from dataplane.connections import CONNECTION_DTYPE
from dataplane.desired import State
from dataplane.keys import write_keys
from dataplane.maps import CONNECTION_OPEN, CONNECTIONS, EVENT, EVENT_DTYPE, EVENT_OPENED, open_maps
from dataplane.ports import attach_engine
from dataplane.ringbuf import RingBuffer
from headers.files.network import Engine
from headers.messages import (
    ApplyEngines,
    Backend,
    EdgeCircuit,
    EngineDemand,
    EngineDesired,
    Hop,
    Service,
)

SECRET = bytes(range(32))
TAG_KEY = tag_key(SECRET, 0)
LARGE = 1 << 21
"""Connections that a table for a million of them holds; the other is as large as by default."""
NUMBER = 1
SI = 2
BACKENDS = 16
VIP_NUMBER = int(ipaddress.IPv4Address(VIP))
_NETWORKS = 256
_BUCKETS = 256
_MAX_FRAME = 1614
_SEED = 0x0123456789ABCDEF
_NO_LIMIT = (1 << 32) - 1
_UPDATE_BATCH = 26
FLOW_DTYPE = np.dtype(
    [
        ("saddr", ">u4"),
        ("saddr_rest", "u1", 12),
        ("daddr", ">u4"),
        ("daddr_rest", "u1", 12),
        ("sport", ">u2"),
        ("dport", ">u2"),
        ("protocol", "u1"),
        ("family", "u1"),
        ("engine", "<u2"),
    ]
)


def desired(insert_rate: int = _NO_LIMIT) -> ApplyEngines:
    """Return an engine's state.

    256 demands over CIRCUITS circuits, each of them forwarded; one service over BACKENDS backends
    behind another engine.
    """
    random = np.random.default_rng(23)

    def buckets(most: int) -> tuple[int, ...]:
        return tuple(int(x) for x in random.integers(1, most + 1, _BUCKETS))

    engine = EngineDesired(
        NUMBER,
        demands=tuple(
            EngineDemand(f"10.{network}.0.0/16", buckets(CIRCUITS)) for network in range(_NETWORKS)
        ),
        circuits=tuple(EdgeCircuit(n, 2 << 16, 1 << 28, SI) for n in range(1, CIRCUITS + 1)),
        hops=tuple(
            Hop(n, SI, deliver=False, next_mac=mac_text(HOST_MAC)) for n in range(1, CIRCUITS + 1)
        ),
        neighbours=(),
        services=(Service(VIP, 6, VIP_PORT, buckets(BACKENDS)),),
    )
    return ApplyEngines(
        term=1,
        generation=1,
        epoch=0,
        forecast=1,
        router_mac=mac_text(ROUTER_MAC),
        engines=(engine,),
        backends=tuple(Backend(n, 2, n, buckets(CIRCUITS)) for n in range(1, BACKENDS + 1)),
        insert_rate=insert_rate,
    )


def flows(frames: Frames) -> NDArray[np.void]:
    """Return the connection table's keys for frames of traffic.PLAIN: [n]."""
    keys = np.zeros(len(frames), FLOW_DTYPE)
    for name in ("saddr", "daddr", "sport", "dport", "protocol"):
        keys[name] = frames[name]
    keys["family"] = 4
    keys["engine"] = NUMBER
    return keys


class EngineOnBench:
    """The programs and maps of one engine, filled, attached nowhere."""

    def __init__(
        self, rig: Rig, stub: Path, capacity: int = CONNECTIONS, *, no_tag: bool = True
    ) -> None:
        """Load and fill them, with a table for ``capacity`` connections.

        The engine's host port is where frames come in, its fabric port the one to the sink: so
        mark, balance and steer all send there.

        Raises:
            DataplaneError: the programs cannot be loaded, attached or filled.
        """
        home = rig.pins / f"engine-{capacity}"
        home.mkdir()
        loader.ensure_loaded(home, stub, capacity, 1024)
        self.maps = open_maps(home)
        write_keys(self.maps, SECRET, 0)
        engine = Engine("bench", NUMBER, (XDP.ends[1],), XDP.ends[2], 1)
        attached = attach_engine(
            engine, self.maps, home, max_frame=_MAX_FRAME, router_mac=ROUTER_MAC
        )
        self.state = State(self.maps, {NUMBER: attached})
        self.state.set_seed(_SEED)
        self.state.apply(desired())
        for link in (home / "links").iterdir():
            link.unlink()
        for port in (XDP.ends[1], XDP.ends[2]):
            rig.wait_free(port)
        if no_tag:
            compile_child("no-tag", home, stub, capacity)
        names = ("mark", "steer", "balance", *((NO_TAG,) if no_tag else ()))
        self.programs = {program: syscall.get(home / program) for program in names}
        self._events = RingBuffer(self.maps.events, EVENT.size)

    def enter(self, frames: Frames) -> None:
        """Enter the connections that frames of traffic.PLAIN belong to."""
        keys = flows(frames)
        values = np.zeros(len(keys), CONNECTION_DTYPE)
        values["opened_ns"] = values["last_ns"] = 1
        values["backend"] = np.arange(len(keys)) % BACKENDS + 1
        values["state"] = CONNECTION_OPEN
        held = syscall.Buf(keys.tobytes()), syscall.Buf(values.tobytes())
        attributes = struct.pack(
            "<QQQQIIQQ",
            *(0, 0, held[0].address, held[1].address),
            *(len(keys), self.maps.connections.fd, 0, 0),
        )
        syscall.bpf(_UPDATE_BATCH, attributes)

    def take_opened(self) -> int:
        """Forget the connections that were entered since the last call; return how many."""
        events = self._events.read().view(EVENT_DTYPE).reshape(-1)
        opened = np.ascontiguousarray(events["flow"][events["kind"] == EVENT_OPENED])
        if len(opened):
            syscall.delete_batch(self.maps.connections.fd, opened.tobytes(), len(opened))
        return len(opened)

"""Our own engines on the bench: attached and filled as the agent would do it."""

from pathlib import Path

import numpy as np

from bus import derive_key
from dataplane import loader, syscall
from dataplane.agent import write_keys
from dataplane.bench.rig import XDP, mac_text
from dataplane.bench.traffic import CIRCUITS, HOST_MAC, ROUTER_MAC
from dataplane.desired import State
from dataplane.maps import open_maps
from dataplane.ports import attach_engine
from headers.files.network import Engine
from headers.messages import ApplyEngines, EdgeCircuit, EngineDemand, EngineDesired, Hop

SECRET = bytes(range(32))
TAG_KEY = derive_key(SECRET, "tag", 0)
SI = 2
_NUMBER = 1
_NETWORKS = 256
_BUCKETS = 256
_MAX_FRAME = 1614


def desired() -> ApplyEngines:
    """Return an engine's state: 256 demands over CIRCUITS circuits, each of them forwarded."""
    random = np.random.default_rng(23)
    demands = tuple(
        EngineDemand(
            f"10.{network}.0.0/16",
            tuple(int(x) for x in random.integers(1, CIRCUITS + 1, _BUCKETS)),
        )
        for network in range(_NETWORKS)
    )
    circuits = tuple(EdgeCircuit(n, 2 << 16, 1 << 28, SI) for n in range(1, CIRCUITS + 1))
    hops = tuple(
        Hop(n, SI, deliver=False, next_mac=mac_text(HOST_MAC)) for n in range(1, CIRCUITS + 1)
    )
    engine = EngineDesired(_NUMBER, demands, circuits, hops, ())
    return ApplyEngines(
        term=1,
        generation=1,
        epoch=0,
        forecast=1,
        router_mac=mac_text(ROUTER_MAC),
        engines=(engine,),
    )


def set_up_engine(pins: Path, stub: Path) -> dict[str, int]:
    """Load the programs and fill their maps; return the programs, by name, attached nowhere.

    The engine's host port is where frames come in, its fabric port the one to the sink: so both
    mark and steer send there.

    Raises:
        DataplaneError: the programs cannot be loaded, attached or filled.
    """
    home = pins / "engine"
    home.mkdir()
    loader.ensure_loaded(home, stub)
    maps = open_maps(home)
    write_keys(maps, SECRET, 0)
    engine = Engine("bench", _NUMBER, (XDP.ends[1],), XDP.ends[2], 1)
    attached = attach_engine(engine, maps, home, max_frame=_MAX_FRAME, router_mac=ROUTER_MAC)
    State(maps, {_NUMBER: attached}).apply(desired())
    for link in (home / "links").iterdir():
        link.unlink()
    return {name: syscall.get(home / name) for name in loader.PROGRAMS}

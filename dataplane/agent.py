"""The engine agent: one per machine, it holds the engines there to what the brain wants.

Packets flow without it: programs, maps and links are pinned, and an agent that starts again opens
the pins and goes on from what the kernel has.
"""

import asyncio
import json
import os
import signal
import socket
import time
from collections import Counter
from pathlib import Path

from bus import Bus, BusError, Instance, derive_key
from bus.subjects import AGENT_STATUS, INVENTORY, agent_apply, agent_counters
from dataplane import loader
from dataplane.desired import RefusedError, State, mac_bytes, prefix_of
from dataplane.errors import AttachError, DataplaneError
from dataplane.maps import (
    KEY_SLOT,
    REASON_SLOTS,
    REASONS,
    U32,
    Maps,
    open_maps,
    read_counters,
)
from dataplane.ports import Attached, attach_engine, detach_engine
from headers.files.network import Network, load_network, network_to_dict
from headers.messages import (
    AgentStatus,
    ApplyEngines,
    CounterReport,
    CounterRequest,
    DemandCounter,
    EngineApplied,
)

VERSION = "0.1.0"
ROUTER_MAC = "02:f0:00:00:00:01"
STATUS_PERIOD_S = 1.0


def mount_bpffs(directory: Path) -> None:
    """Mount a bpffs at a directory unless one is there.

    Raises:
        DataplaneError: mounting is not allowed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with Path("/proc/self/mounts").open() as mounts:
        if any(line.split()[1:3] == [str(directory), "bpf"] for line in mounts):
            return
    if os.spawnvp(os.P_WAIT, "mount", ["mount", "-t", "bpf", "bpf", str(directory)]):
        raise DataplaneError(f"no bpffs can be mounted at {directory}: run as root")


def write_keys(maps: Maps, secret: bytes, epoch: int) -> None:
    """Make the tag keys of an epoch and of the one before it valid, and no others."""
    valid = {epoch & 0xFF, (epoch - 1) & 0xFF}
    for number in range(256):
        current = maps.keys.get(U32.pack(number)) or bytes(KEY_SLOT.size)
        if number in valid:
            key = derive_key(secret, "tag", number)
            wanted = KEY_SLOT.pack(
                int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little"), 1, 0
            )
        else:
            wanted = bytes(KEY_SLOT.size)
        if current != wanted:
            maps.keys.set(U32.pack(number), wanted)


class Agent:
    """Serves the engines of a network file that are on this machine."""

    def __init__(self, instance: Instance, network: Network, pins: Path, name: str) -> None:
        self.instance = instance
        self.network = network
        self.pins = pins
        self.name = name
        self.started_s = time.monotonic()
        self.refused: Counter[str] = Counter()
        self.engines: dict[int, Attached] = {}
        self.maps: Maps | None = None
        self.state: State | None = None

    def load(self) -> None:
        """Load the programs, attach the engines, open the maps.

        Raises:
            DataplaneError: in words, what is missing.
        """
        mount_bpffs(self.pins)
        loader.ensure_loaded(self.pins, self.instance.directory / "kernel-stub")
        self.maps = open_maps(self.pins)
        write_keys(self.maps, self.instance.secret(), 0)
        for location in self.network.locations:
            try:
                self.engines[location.engine.number] = attach_engine(
                    location.engine,
                    self.maps,
                    self.pins,
                    max_frame=self.network.max_frame,
                    router_mac=mac_bytes(ROUTER_MAC),
                )
            except AttachError as error:
                self.refused["attach"] += 1
                print(f"engine {location.engine.name}: {error}", flush=True)
        if not self.engines:
            raise DataplaneError("no engine of the network could be attached")
        self.state = State(self.maps, self.engines)

    def detach(self) -> None:
        """Take everything off again."""
        if self.maps is not None:
            for attached in self.engines.values():
                detach_engine(attached, self.maps, self.pins)

    async def apply(self, wanted: ApplyEngines) -> EngineApplied:
        """Hold the engines to a state, and say what it took."""
        if self.state is None:
            raise DataplaneError("the engines are not loaded")
        try:
            done = self.state.apply(wanted)
        except RefusedError as error:
            self.refused["apply"] += 1
            return EngineApplied(wanted.generation, 0, 0, 0, 0, str(error))
        return EngineApplied(
            wanted.generation, done.written, done.removed, done.moved_buckets, done.mismatches
        )

    async def counters(self, _request: CounterRequest) -> CounterReport:
        """Read all counters."""
        if self.state is None or self.maps is None:
            raise DataplaneError("the engines are not loaded")
        demands = read_counters(self.maps.demand_counters)
        at = time.monotonic()
        reasons = read_counters(self.maps.reason_counters)
        rows = []
        for key, slot in self.state.slots().items():
            engine, prefix = prefix_of(key)
            packets, size = (int(x) for x in demands[slot])
            rows.append(DemandCounter(engine, prefix, packets, size))
        return CounterReport(
            self.name, at, self.state.generation, tuple(rows), self._reasons(reasons.tolist())
        )

    def _reasons(self, table: list[list[int]]) -> dict[int, dict[str, int]]:
        return {
            number: {
                name: table[number * REASON_SLOTS + position][0]
                for position, name in enumerate(REASONS)
                if table[number * REASON_SLOTS + position][0]
            }
            for number in self.engines
        }

    def status(self) -> AgentStatus:
        """Return what the agent says of itself every second."""
        state = self.state
        return AgentStatus(
            self.name,
            tuple(self.engines),
            state.term if state else 0,
            state.generation if state else 0,
            self.started_s,
            VERSION,
            dict(self.refused),
        )

    async def serve(self, stop: asyncio.Event) -> None:
        """Speak to the brain until told to stop; the bus may come and go."""
        bus = await Bus.connect(self.instance.bus_address(), f"agent {self.name}", timeout_s=60)
        await bus.subscribe(agent_apply(self.name), self.apply)
        await bus.subscribe(agent_counters(self.name), self.counters)
        told = False
        while not stop.is_set():
            if not told:
                told = await self._tell_inventory(bus)
            await bus.publish(AGENT_STATUS, self.status())
            try:
                await asyncio.wait_for(stop.wait(), STATUS_PERIOD_S)
            except TimeoutError:
                continue
        await bus.close()

    async def _tell_inventory(self, bus: Bus) -> bool:
        """Put the network file where the brain finds it; return whether that worked."""
        content = json.dumps(network_to_dict(self.network)).encode()
        try:
            await bus.put(INVENTORY, content)
        except BusError:
            return False
        return True


async def _main(instance: Instance, network_file: Path, pins: Path, name: str, keep: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    agent = Agent(instance, load_network(network_file), pins, name)
    agent.load()
    print(f"{len(agent.engines)} engines attached", flush=True)
    try:
        await agent.serve(stop)
    finally:
        if not keep:
            agent.detach()


def run(
    instance: Instance, network_file: Path, pins: Path, name: str = "", *, keep: bool = True
) -> None:
    """Be the agent until a signal; with ``keep`` the programs stay when it ends.

    Raises:
        DataplaneError: the engines cannot be attached.
        BusError: the bus does not answer.
        FileError: the network file is wrong.
    """
    asyncio.run(_main(instance, network_file, pins, name or socket.gethostname(), keep))

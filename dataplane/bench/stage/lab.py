"""Three stages with real agents: an edge, two engines that spread a virtual address, a far edge.

    client ── engine 1 ─┬─ engine 2 ─┬─ engine 4 ── servers a and b
                        └─ engine 3 ─┘              (answers go back by engine 1 directly)

All lines go through one Open vSwitch that knows circuits. Engine 1 and 4 have one agent, 2 and 3
their own: each is a machine of its own but for the kernel. New connections go to server a by
engine 2, and to b by engine 3, so a connection that goes on by the other engine is broken unless
that one knows it.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bus import Bus, BusError, Instance
from bus.subjects import AGENT_STATUS, agent_apply, agent_shadows
from dataplane import syscall
from dataplane.bench.stage.core_switch import CoreSwitch
from dataplane.bench.stage.nodes import Node, run, veth
from dataplane.errors import DataplaneError
from dataplane.maps import FLOW_KEY, REPLICA, U32
from headers.files import network as files
from headers.messages import (
    AgentStatus,
    ApplyEngines,
    AssignShadows,
    Backend,
    EdgeCircuit,
    EngineApplied,
    EngineDemand,
    EngineDesired,
    Hop,
    InstanceHere,
    Neighbour,
    Probe,
    Service,
    ShadowAssignment,
    ShadowPlace,
    ShadowsAssigned,
)

ROUTER_MAC, VERSION = "02:f0:00:00:00:01", 1 << 28
VIRTUAL, TCP_PORT, UDP_PORT = "10.9.0.1", 80, 9999
EDGE, FIRST, SECOND, FAR = 1, 2, 3, 4
AGENTS = {"edges": (EDGE, FAR), "first": (FIRST,), "second": (SECOND,)}
PORTS = {"first": 6611, "second": 6612}
CIRCUITS = {
    11: (EDGE, FIRST), 12: (EDGE, SECOND), 21: (FIRST, FAR), 22: (SECOND, FAR), 31: (FAR, EDGE),
    41: (FIRST, EDGE), 42: (SECOND, EDGE), 43: (FIRST, SECOND), 44: (SECOND, FIRST),
    51: (FAR, FIRST), 52: (FAR, SECOND),
}  # fmt: skip
PROBES = (
    Probe(EDGE, FIRST, 11, 1, 41, 1), Probe(EDGE, SECOND, 12, 1, 42, 1),
    Probe(FAR, FIRST, 51, 1, 21, 1), Probe(FAR, SECOND, 52, 1, 22, 1),
)  # fmt: skip
CLIENTS = tuple(f"10.1.0.{n}" for n in range(1, 9))
ALL = 256


class StageLab:
    """The hosts, engines, switch, agents, and a bus to speak to them by."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.instance = Instance(self.directory / "instance")
        self.hosts = {name: Node(name) for name in ("client", "a", "b")}
        self.engines = {n: Node(f"e{n}") for n in (EDGE, FIRST, SECOND, FAR)}
        self.host_ports: dict[int, tuple[str, ...]] = {
            EDGE: ("e1h",), FIRST: (), SECOND: (), FAR: ("e4h",),
        }  # fmt: skip
        # both servers are behind one port of their engine
        self.rack = Node("rack")
        self.rack.run("ip", "link", "add", "br0", "type", "bridge")
        self.rack.run("ip", "link", "set", "br0", "up")
        veth("r0", self.rack, "e4h", self.engines[FAR])
        # what is redirected to a veth arrives only where its peer polls
        self.rack.run("ethtool", "-K", "r0", "gro", "on")
        for host, port, node in (
            ("client", "e1h", self.engines[EDGE]),
            ("a", "r1", self.rack),
            ("b", "r2", self.rack),
        ):
            veth("eth0", self.hosts[host], port, node)
            self.hosts[host].run("ethtool", "-K", "eth0", "gro", "on")
        for port in ("r0", "r1", "r2"):
            self.rack.run("ip", "link", "set", port, "master", "br0")
        for n, node in self.engines.items():
            veth(f"e{n}f", node, f"core{n}", None, 1600)
            node.run("ip", "link", "add", "br0", "type", "bridge")
            node.run("ip", "link", "set", "br0", "up", "mtu", "1500")
            for port in (*self.host_ports[n], f"e{n}f"):
                node.run("ip", "link", "set", port, "master", "br0")
        for number, address in enumerate(CLIENTS):
            self._address("client", f"{address}/16", first=not number)
        for host, address in (("a", "10.4.0.1/16"), ("b", "10.4.0.2/16")):
            self._address(host, address, first=True)
            self.hosts[host].run("ip", "addr", "add", f"{VIRTUAL}/32", "dev", "lo")
        self.network = self.directory / "network.json"
        self.network.write_text(json.dumps(files.network_to_dict(self._network())))
        self.core: CoreSwitch | None = None
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.generation = 0
        self.heard: dict[str, AgentStatus] = {}
        self.instance.ensure_bus()
        self.bus: Bus

    def _address(self, host: str, address: str, *, first: bool) -> None:
        node = self.hosts[host]
        node.run("ip", "addr", "add", address, "dev", "eth0")
        if first:
            gateway = f"10.{address.split('.')[1]}.255.254"
            node.run("ip", "neigh", "add", gateway, "lladdr", ROUTER_MAC, "dev", "eth0")
            node.run("ip", "route", "add", "default", "via", gateway)

    def _network(self) -> files.Network:
        agent_of = {n: name for name, numbers in AGENTS.items() for n in numbers}
        locations = tuple(
            files.Location(
                f"L{n}", n, f"10.{n}.0.0/16", f"10.{n}.255.254",
                files.Engine(
                    f"e{n}", n, self.host_ports[n], f"e{n}f", 1, node.pid, f"core{n}",
                    agent=agent_of[n], stage="spread" if n in {FIRST, SECOND} else "",
                ),
            )
            for n, node in self.engines.items()
        )  # fmt: skip
        places = tuple(files.AgentAddress(name, "127.0.0.1", p) for name, p in PORTS.items())
        return files.Network("stages", locations, (), max_frame=1614, agents=places)

    def mac(self, host: str) -> str:
        """Return a host's MAC address."""
        link = json.loads(self.hosts[host].run("ip", "-j", "link", "show", "eth0"))[0]
        return str(link["address"])

    def start_agent(self, name: str) -> None:
        """Start an agent; it runs until it is killed."""
        self.children[name] = subprocess.Popen(
            [
                *(sys.executable, "-c", "from dataplane.commands import engine; engine()"),
                *("--network", str(self.network), "--name", name),
                *("--instance", str(self.instance.directory)),
            ],
            stdout=(self.directory / f"{name}.log").open("ab"),
            stderr=subprocess.STDOUT,
        )

    def kill_agent(self, name: str) -> None:
        """Kill an agent."""
        self.children[name].kill()
        self.children[name].wait(10)

    def desired(self, name: str, *, first_choice: int = FIRST) -> ApplyEngines:
        """Return an agent's state; ``first_choice``: where engine 1 brings virtual addresses."""
        self.generation += 1

        def engine(n: int, **more: Any) -> EngineDesired:
            return EngineDesired(
                n,
                more.get("demands", ()),
                tuple(
                    EdgeCircuit(spi, end << 16, VERSION, 1)
                    for spi, (start, end) in CIRCUITS.items()
                    if start == n
                ),
                tuple(Hop(spi, 1, deliver=True) for spi, ends in CIRCUITS.items() if ends[1] == n),
                more.get("neighbours", ()),
                more.get("services", ()),
                instances=more.get("instances", ()),
            )

        backends: tuple[Backend, ...] = ()
        if name == "edges":
            here, there = (11, 12) if first_choice == FIRST else (12, 11)
            engines: tuple[EngineDesired, ...] = (
                engine(
                    EDGE,
                    demands=(EngineDemand(f"{VIRTUAL}/32", (here,) * ALL, (there,) * ALL),),
                    neighbours=tuple(Neighbour(x, self.mac("client")) for x in CLIENTS),
                ),
                engine(
                    FAR,
                    demands=(EngineDemand("10.1.0.0/16", (31,) * ALL),),
                    instances=(InstanceHere(1, self.mac("a")), InstanceHere(2, self.mac("b"))),
                ),
            )
        else:
            (n,) = AGENTS[name]
            circuit = {FIRST: 21, SECOND: 22}[n]
            backends = tuple(Backend(10 * n + i, FAR, i, (circuit,) * ALL) for i in (1, 2))
            # a by the first engine, b by the second
            chosen = (10 * n + n - 1,) * ALL
            services = (
                Service(VIRTUAL, 6, TCP_PORT, chosen),
                Service(VIRTUAL, 17, UDP_PORT, chosen),
            )
            engines = (engine(n, services=services),)
        numbers = AGENTS[name]
        return ApplyEngines(
            1, self.generation, 0, 1, ROUTER_MAC, engines, backends,
            insert_rate=1 << 20,
            probes=tuple(probe for probe in PROBES if probe.engine in numbers),
        )  # fmt: skip

    async def start(self) -> None:
        """Start switch and agents, and give them their state."""
        self.core = CoreSwitch(self.directory / "ovs", {f"core{n}": n for n in self.engines})
        self.core.forward({spi: end for spi, (_, end) in CIRCUITS.items()})
        self.bus = await Bus.connect(self.instance.bus_address(), "test", timeout_s=10)
        await self.bus.subscribe(AGENT_STATUS, self._hear)
        for name in AGENTS:
            self.start_agent(name)
        for name in AGENTS:
            await self.apply(name)

    async def _hear(self, status: AgentStatus) -> None:
        self.heard[status.agent] = status

    async def apply(self, name: str, **changes: Any) -> None:
        """Have an agent hold its state; wait for the agent if it is just starting."""
        deadline = time.monotonic() + 60
        while True:
            try:
                wanted = self.desired(name, **changes)
                reply: EngineApplied = await self.bus.request(
                    agent_apply(name), wanted, timeout_s=3
                )
            except BusError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)
                continue
            if reply.error or reply.mismatches:
                raise DataplaneError(f"agent {name}: {reply}")
            return

    async def replicate(self) -> None:
        """Have engines 2 and 3 be each other's shadows, and wait until they follow."""
        self.generation += 1
        places = {
            n: ShadowPlace(n, "127.0.0.1", PORTS[name])
            for n, name in ((FIRST, "first"), (SECOND, "second"))
        }
        message = AssignShadows(
            1,
            self.generation,
            60.0,
            (
                ShadowAssignment(FIRST, 1, (places[SECOND],)),
                ShadowAssignment(SECOND, 1, (places[FIRST],)),
            ),
        )
        for name in PORTS:
            reply: ShadowsAssigned = await self.bus.request(agent_shadows(name), message)
            if reply.error:
                raise DataplaneError(f"agent {name}: {reply.error}")
        await self.until(lambda: self.phases() == {"following"}, 10, "both follow each other")

    def phases(self) -> set[str]:
        """Return the phases of all ends of both streams, ``missing`` where one is not there."""
        ends = [end for name in PORTS if name in self.heard for end in self.heard[name].streams]
        return {end.phase for end in ends} if len(ends) == 4 else {"missing"}

    async def until(self, condition: Any, seconds: float, what: str) -> float:
        """Wait until something is so; return how long that took, in seconds."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > seconds:
                raise DataplaneError(f"not within {seconds} s: {what}")
            await asyncio.sleep(0.005)
        return time.monotonic() - began

    def down(self, engine: int) -> bool:
        """Return whether the edges hold an engine for dead, as their programs see it."""
        with self._map("edges", "down") as fd:
            return syscall.lookup(fd, U32.pack(engine), 4) != bytes(4)

    def break_engine(self, engine: int) -> None:
        """Take an engine's data plane away: nothing comes in or out."""
        self.engines[engine].run("ip", "link", "set", f"e{engine}f", "down")

    def mend_engine(self, engine: int) -> None:
        """Bring it back, with the tables that it had."""
        self.engines[engine].run("ip", "link", "set", f"e{engine}f", "up")

    @contextlib.contextmanager
    def _map(self, agent: str, name: str) -> Iterator[int]:
        fd = syscall.get(self.instance.directory / f"bpf.{agent}" / "maps" / name)
        try:
            yield fd
        finally:
            os.close(fd)

    def connections(self, agent: str) -> int:
        """Return how many connections an agent's engines hold."""
        with self._map(agent, "connections") as fd:
            return len(syscall.keys(fd, FLOW_KEY.size))

    def replicas(self, agent: str) -> dict[bytes, tuple[int, int]]:
        """Return the replicas in the kernel's table of an agent: backend and primary."""
        with self._map(agent, "replicas") as fd:
            keys = syscall.keys(fd, FLOW_KEY.size)
            values = ((key, syscall.lookup(fd, key, REPLICA.size)) for key in keys)
            return {key: REPLICA.unpack(value) for key, value in values if value is not None}

    def traffic(self, host: str, *words: str) -> "subprocess.Popen[str]":
        """Start ``stage_traffic`` at a host."""
        return self.hosts[host].start(sys.executable, "-m", "dataplane.bench.stage.traffic", *words)

    def serve(self) -> None:
        """Have both servers answer."""
        for host in ("a", "b"):
            self.traffic(host, "serve", host, VIRTUAL, str(TCP_PORT))

    def ask(self, count: int, seconds: float) -> "tuple[subprocess.Popen[str], Path]":
        """Start connections at the client; return the process and what it writes at its end."""
        out = self.directory / f"asked{time.monotonic_ns()}.json"
        words = (str(out), str(count), str(seconds), VIRTUAL, str(TCP_PORT), *CLIENTS)
        return self.traffic("client", "ask", *words), out

    def close(self) -> None:
        """End everything that was started here."""
        for child in self.children.values():
            child.kill()
            child.wait()
        self.instance.stop("bus")
        if self.core is not None:
            self.core.close()
        for n in self.engines:
            run("ip", "link", "del", f"core{n}")
        for node in (*self.hosts.values(), *self.engines.values(), self.rack):
            node.holder.kill()
            node.holder.wait()

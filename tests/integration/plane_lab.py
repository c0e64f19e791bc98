"""Two engines with a real agent and real hosts, and nothing above them.

``python -m tests.integration.plane_lab SCENARIO RESULT``, in namespaces of its own. The hosts know
nothing of steering; the engines are joined directly, or by an Open vSwitch that knows circuits.
"""

import asyncio
import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from bus import Bus, Instance
from bus.subjects import AGENT_STATUS, agent_apply, agent_counters
from dataplane.bench.stage.core_switch import CoreSwitch
from dataplane.bench.stage.nodes import Node, run, veth
from headers.files import network as files
from headers.messages import (
    AgentStatus,
    ApplyEngines,
    CounterReport,
    CounterRequest,
    EdgeCircuit,
    EngineApplied,
    EngineDemand,
    EngineDesired,
    Hop,
    Neighbour,
    Probe,
)
from topologies.lab.namespaces import loopback_up

ROUTER_MAC = "02:f0:00:00:00:01"
VERSION = 1 << 28
AGENT = "plane"
THERE, BACK = (11, 12), (21,)
"""Circuits from engine 1 to engine 2, and back."""
PREFIXES = {1: ("10.1.0.0/16", "fd01::/64"), 2: ("10.2.0.0/16", "fd02::/64")}


def die_with_parent() -> None:
    """Have the kernel end this process with the one that started it."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class PlaneLab:
    """Host 1, engine 1, the core, engine 2, host 2; the agent; a bus to speak to it by."""

    def __init__(self, *, core: str = "direct", connections: int = 131072) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="plane"))
        self.instance = Instance(self.directory / "instance")
        self.connections = connections
        self.core = core
        self.hosts = {n: Node(f"h{n}") for n in (1, 2)}
        self.nodes = {n: Node(f"e{n}") for n in (1, 2)}
        self.pace = self.directory / "pace"
        source = Path(__file__).with_name("pace.c")
        run("gcc", "-O2", "-o", str(self.pace), str(source))
        for n in (1, 2):
            veth("eth0", self.hosts[n], f"e{n}h", self.nodes[n])
            self.hosts[n].run("ethtool", "-K", "eth0", "gro", "on")
            self._address(n)
        if core == "direct":
            veth("e1f", self.nodes[1], "e2f", self.nodes[2], 1600)
        else:
            for n in (1, 2):
                veth(f"e{n}f", self.nodes[n], f"core{n}", None, 1600)
        for n in (1, 2):
            node = self.nodes[n]
            node.run("ip", "link", "add", "br0", "type", "bridge")
            node.run("ip", "link", "set", "br0", "up", "mtu", "1500")
            for port in (f"e{n}h", f"e{n}f"):
                node.run("ip", "link", "set", port, "master", "br0")
        self.network = self.directory / "network.json"
        self.write_network()
        self.child: subprocess.Popen[bytes] | None = None
        self.generation = 0
        self.epoch = 0
        self.instance.ensure_bus()

    def _address(self, n: int) -> None:
        host, other = self.hosts[n], 3 - n
        host.run("ip", "addr", "add", f"10.{n}.0.1/16", "dev", "eth0")
        host.run("ip", "-6", "addr", "add", f"fd0{n}::1/64", "dev", "eth0", "nodad")
        for family, gateway, prefix in (
            ("-4", f"10.{n}.255.254", PREFIXES[other][0]),
            ("-6", f"fd0{n}::ffff", PREFIXES[other][1]),
        ):
            host.run("ip", family, "neigh", "add", gateway, "lladdr", ROUTER_MAC, "dev", "eth0")
            host.run("ip", family, "route", "add", prefix, "via", gateway)

    def mac(self, n: int) -> str:
        """Return a host's MAC address."""
        link = json.loads(self.hosts[n].run("ip", "-j", "link", "show", "eth0"))[0]
        return str(link["address"])

    def write_network(self, **changes: Any) -> None:
        """Write the network file that the agent is given."""
        locations = tuple(
            files.Location(
                f"L{n}",
                n,
                f"10.{n}.0.0/16",
                f"10.{n}.255.254",
                files.Engine(
                    f"e{n}",
                    n,
                    (f"e{n}h",),
                    f"e{n}f",
                    1,
                    self.nodes[n].pid,
                    f"core{n}" if self.core == "ovs" else None,
                ),
            )
            for n in (1, 2)
        )
        network = files.Network("plane", locations, (), max_frame=1614)
        self.network.write_text(json.dumps(files.network_to_dict(replace(network, **changes))))

    def start_agent(self, *, patch: str = "", without: Collection[str] = ()) -> None:
        """Start the agent; ``patch``: Python run before it, to make it another version.

        ``without``: environment variables that it is not given.
        """
        code = f"{patch}\nfrom controller.cli import main\nmain()"
        self.child = subprocess.Popen(
            [
                *(sys.executable, "-c", code, "engine", "--network", str(self.network)),
                *("--instance", str(self.instance.directory), "--name", AGENT),
                *("--connections", str(self.connections)),
            ],
            env={name: value for name, value in os.environ.items() if name not in without},
            stdout=(self.directory / "agent.log").open("ab"),
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent,
        )

    def stop_agent(self, number: int = signal.SIGKILL) -> None:
        """End the agent."""
        if self.child is not None:
            self.child.send_signal(number)
            self.child.wait(10)

    def desired(self, table: tuple[int, ...] | None = None, **changes: Any) -> ApplyEngines:
        """Return a state: traffic 1 to 2 on two circuits by ``table``, back on one."""
        self.generation += 1
        table = table or (THERE[0],) * 256

        def engine(n: int, buckets: tuple[int, ...]) -> EngineDesired:
            other = 3 - n
            starts, ends = (THERE, BACK) if n == 1 else (BACK, THERE)
            return EngineDesired(
                n,
                tuple(EngineDemand(prefix, buckets) for prefix in PREFIXES[other]),
                tuple(EdgeCircuit(spi, other << 16, VERSION, 1) for spi in starts),
                tuple(Hop(spi, 1, deliver=True) for spi in ends),
                (
                    Neighbour(f"10.{n}.0.1", self.mac(n)),
                    Neighbour(f"fd0{n}::1", self.mac(n)),
                ),
            )

        state = ApplyEngines(
            1,
            self.generation,
            self.epoch,
            self.generation,
            ROUTER_MAC,
            (engine(1, table), engine(2, (BACK[0],) * 256)),
            probes=(Probe(1, 2, THERE[0], 1, BACK[0], 1), Probe(2, 1, BACK[0], 1, THERE[0], 1)),
        )
        return replace(state, **changes)

    def start_core(self) -> None:
        """Start an Open vSwitch that forwards by circuit, and carries nothing else."""
        core = CoreSwitch(self.directory / "ovs", {f"core{n}": n for n in (1, 2)})
        core.forward({**dict.fromkeys(THERE, 2), **dict.fromkeys(BACK, 1)})

    async def apply(self, bus: Bus, wanted: ApplyEngines) -> EngineApplied:
        """Send a state to the agent as a brain does; it must be held in full."""
        reply: EngineApplied = await bus.request(agent_apply(AGENT), wanted, timeout_s=5)
        assert (reply.error, reply.mismatches) == ("", 0), reply
        return reply

    async def ready(self, bus: Bus, seconds: float = 15.0) -> None:
        """Wait until the agent answers."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                await bus.request(agent_counters(AGENT), CounterRequest(), timeout_s=0.5)
            except Exception:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.02)
            else:
                return

    async def counters(self, bus: Bus) -> CounterReport:
        """Ask the agent for its counters."""
        report: CounterReport = await bus.request(agent_counters(AGENT), CounterRequest())
        return report

    async def status(self, bus: Bus) -> AgentStatus:
        """Wait for the agent's next status."""
        told: asyncio.Future[AgentStatus] = asyncio.get_running_loop().create_future()

        async def take(status: AgentStatus) -> None:
            if not told.done():
                told.set_result(status)

        await bus.subscribe(AGENT_STATUS, take)
        return await asyncio.wait_for(told, 5)

    async def bus(self) -> Bus:
        """Connect to the bus."""
        return await Bus.connect(self.instance.bus_address(), "test", timeout_s=10)

    def receive(self, flows: int, seconds: float, port: int = 9999) -> "subprocess.Popen[str]":
        """Start counting at host 2."""
        child = self.hosts[2].start(str(self.pace), "recv", str(port), str(flows), str(seconds))
        assert child.stdout is not None
        assert child.stdout.readline() == "listening\n"
        return child

    def send(
        self, rate: float, flows: int, seconds: float, address: str = "10.2.0.1", port: int = 9999
    ) -> "subprocess.Popen[str]":
        """Start numbered packets from host 1."""
        return self.hosts[1].start(
            *(str(self.pace), "send", address, str(port), str(flows), str(rate), str(seconds))
        )

    def close(self) -> None:
        """End everything that was started here."""
        self.stop_agent()
        self.instance.stop("bus")
        for node in (*self.hosts.values(), *self.nodes.values()):
            node.holder.kill()
            node.holder.wait()


def result_of(child: "subprocess.Popen[str]", seconds: float = 60) -> dict[str, int]:
    """Return what a pace process printed at its end."""
    out, _ = child.communicate(timeout=seconds)
    found: dict[str, int] = json.loads(out.splitlines()[-1])
    return found


def main() -> int:
    """Run one scenario."""
    scenario, result = sys.argv[1:]
    out = os.open(result, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    loopback_up()
    from tests.integration import plane_scenarios

    found: dict[str, Any] = {}
    try:
        found = asyncio.run(getattr(plane_scenarios, scenario)())
    except BaseException:
        found = {"error": traceback.format_exc(), "logs": {}}
        for log in Path("/tmp").glob("plane*/agent.log"):
            found["logs"][str(log)] = log.read_text()[-3000:]
    finally:
        os.write(out, json.dumps({**found, "said": []}).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

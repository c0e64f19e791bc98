"""Real switches and the real southbound, with a test in the brain's place.

``python -m tests.integration.south_lab MODULE.SCENARIO RESULT`` runs in namespaces of its own,
which take everything with them when it ends. The module is one of tests/integration.
"""

import importlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bus import Instance
from bus.frames import Unpacker, pack
from bus.instance import unix_address
from controller.act import ROUTER_MAC
from headers.files.network import Engine, Location, Network, NetworkLink
from headers.messages import Applied, ApplySwitches, NetworkLinks, SwitchDesired
from topologies.lab import ovs
from topologies.lab.namespaces import loopback_up
from topologies.lab.supervisor import southbound_command

PORT = 6653
DEADLINE_S = 20.0
ENGINE_PORT = 1


def shell(command: str) -> str:
    """Run a command; return what it says."""
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def until(condition: Callable[[], Any], what: str, seconds: float = DEADLINE_S) -> float:
    """Wait for a condition; return how long it took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.005)
    return time.monotonic() - began


class Brain:
    """The brain's end of the socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)

        def connected() -> bool:
            try:
                self._socket.connect(unix_address(path))
            except OSError:
                return False
            return True

        until(connected, "the southbound listens")
        self.network: NetworkLinks | None = None
        self.heard: list[tuple[float, NetworkLinks]] = []
        self._applied: dict[int, Applied] = {}
        self.ended = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        unpacker = Unpacker()
        while data := self._socket.recv(1 << 18):
            for body in unpacker.feed(data):
                if isinstance(body, NetworkLinks):
                    self.network = body
                    self.heard.append((time.monotonic(), body))
                elif isinstance(body, Applied):
                    self._applied[body.generation] = body
        self.ended = True

    def apply(self, states: Sequence[SwitchDesired], generation: int = 1, term: int = 1) -> Applied:
        """Send a state and return the answer."""
        self._applied.pop(generation, None)
        self._socket.sendall(pack(ApplySwitches(term, generation, ROUTER_MAC, tuple(states))))
        until(lambda: generation in self._applied, "the southbound answers")
        return self._applied[generation]

    def refused(self, name: str) -> int:
        """Return a counter of what the southbound refused, as last heard."""
        return self.network.refused.get(name, 0) if self.network else 0

    def switches(self) -> set[int]:
        """Return the switches that are there."""
        return {switch.dpid for switch in self.network.switches} if self.network else set()


class South:
    """Open vSwitch bridges with cables between them, and a southbound."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="south"))
        self.instance = Instance(self.directory / "instance")
        os.environ["FORESTEER_INSTANCE"] = str(self.instance.directory)
        # nobody else is brain or bus here
        self.locks = [self.instance.hold(name) for name in ("brain", "bus")]
        ovs.start_database(self.instance)
        self.children: list[Any] = [ovs.start_switch(self.instance)]
        ovs.wait_switch()
        self._ports: dict[str, int] = {}
        self.cables: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {}

    def bridge(self, number: int, controller: str = f"tcp:127.0.0.1:{PORT}") -> None:
        """Add a switch sN with an engine's port; eN is the engine's end of it."""
        name = f"s{number}"
        shell(
            f"ovs-vsctl add-br {name} -- set bridge {name} datapath_type=netdev fail_mode=secure"
            f" protocols=OpenFlow13 other_config:datapath-id={number:016x}"
            f" other_config:disable-in-band=true"
            f" -- set-controller {name} {controller}"
            f" -- set controller {name} max_backoff=1000 inactivity_probe=5000"
        )
        self._ports[name] = 0
        shell(f"ip link add {name}-1 type veth peer name e{number}")
        self._plug(name, f"{name}-1")
        shell(f"ip link set e{number} up; ethtool -K e{number} tx off")

    def _plug(self, bridge: str, interface: str) -> int:
        self._ports[bridge] += 1
        port = self._ports[bridge]
        shell(f"ip link set {interface} up")
        shell(
            f"ovs-vsctl add-port {bridge} {interface}"
            f" -- set interface {interface} ofport_request={port}"
        )
        return port

    def cable(self, one: int, other: int) -> None:
        """Connect two switches; the interfaces are called sN-P."""
        a, b = f"s{one}", f"s{other}"
        ends = f"{a}-{self._ports[a] + 1}", f"{b}-{self._ports[b] + 1}"
        shell(f"ip link add {ends[0]} type veth peer name {ends[1]}")
        self.cables[f"{one}-{other}"] = (
            (one, self._plug(a, ends[0])),
            (other, self._plug(b, ends[1])),
        )

    def southbound(self, *arguments: str) -> Any:
        """Start the southbound."""
        command = [*southbound_command(PORT), *arguments]
        child = self.instance.start_once("southbound", command)
        self.children.append(child)
        return child

    def brain(self) -> Brain:
        """Connect as a brain does."""
        return Brain(self.instance.southbound_socket)

    def restart_switches(self) -> float:
        """Kill ovs-vswitchd and start it again; return when that was."""
        pid = self.instance.pid("vswitchd")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        self.children[0].wait()
        shell("ip link del ovs-netdev")
        self.children[0] = ovs.start_switch(self.instance)
        return time.monotonic()

    def network(self) -> Network:
        """Return the inventory: a location per switch, named by its number."""
        numbers = sorted(int(name[1:]) for name in self._ports)
        return Network(
            "south",
            tuple(
                Location(
                    str(n),
                    n,
                    f"10.{n}.0.0/16",
                    f"10.{n}.255.254",
                    Engine(f"e{n}", n, (f"e{n}h",), f"e{n}f", ENGINE_PORT),
                )
                for n in numbers
            ),
            tuple(
                NetworkLink(str(a), str(b), 20e6)
                for (one, _), (other, _) in self.cables.values()
                for a, b in ((one, other), (other, one))
            ),
        )

    def flows(self, bridge: str) -> list[str]:
        """Return a switch's flows as ovs-ofctl prints them."""
        text = shell(f"ovs-ofctl -O OpenFlow13 dump-flows {bridge}")
        return [line.strip() for line in text.splitlines() if "priority" in line]

    def logs(self) -> dict[str, str]:
        """Return the last lines of every log, for when something fails."""
        folder = self.instance.directory / "logs"
        return {path.name: path.read_text()[-3000:] for path in folder.glob("*.log")}


def matches(flows: Sequence[str]) -> set[str]:
    """Return flows without what changes: ages and counters."""
    return {
        re.sub(r"(duration|n_packets|n_bytes|idle_age|hard_age)=[^,]*, ?", "", line)
        for line in flows
    }


def main() -> int:
    """Run one scenario."""
    scenario, result = sys.argv[1:]
    out = os.open(result, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    loopback_up()
    module, _, function = scenario.rpartition(".")
    found: dict[str, Any] = {}
    south: South | None = None
    try:
        south = South()
        found = getattr(importlib.import_module(f"tests.integration.{module}"), function)(south)
    except BaseException:
        found = {"error": traceback.format_exc(), "logs": south.logs() if south else {}}
    os.write(out, json.dumps(found).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

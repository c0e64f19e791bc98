"""A small real network for one scenario: ``python -m tests.integration.lab SCENARIO RESULT``.

It runs in namespaces of its own, which take everything with them when it ends. The scenario is a
function of tests/integration/scenarios.py, or MODULE.FUNCTION; what it returns is written as JSON.
"""

import importlib
import json
import logging
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bus import Instance
from headers.files import Link, Node, Topology
from topologies.fabric import FabricTopo
from topologies.lab.demo import ROUTER_MAC, raise_priority
from topologies.lab.namespaces import loopback_up
from topologies.lab.network import LabNetwork
from topologies.lab.replay import Replay
from topologies.lab.supervisor import Supervisor

TICK_S = 1.0
NAMES = "ABCD"
PAIRS = ("AB", "BC", "CD", "DA", "AC")


def square() -> Topology:
    """Four locations in a ring with one diagonal: every pair has more than one path."""
    links = tuple(Link(a, b, 100.0) for pair in PAIRS for a, b in (pair, pair[::-1]))
    return Topology("square", tuple(Node(n) for n in NAMES), links)


class Lab:
    """The network, what was said about it, and a replay of steady traffic."""

    def __init__(
        self, topology: Topology | None = None, *, tick_s: float = TICK_S, **fabric: Any
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="lab"))
        self.instance = Instance(self.directory / "instance")
        os.environ["FORESTEER_INSTANCE"] = str(self.instance.directory)
        (self.instance.directory / "config.yaml").write_text(f"tick_s: {tick_s}\n")
        self.said: list[str] = []
        self.supervisor = Supervisor(self.instance, self.said.append)
        topo = FabricTopo(topology or square(), 20.0, **fabric)
        self.network = LabNetwork(self.instance, topo, self.supervisor)
        self.tick_s = tick_s

    def start(self) -> float:
        """Start it; return the seconds that took."""
        began = time.monotonic()
        self.network.start()
        return time.monotonic() - began

    def host(self, number: int) -> Any:
        """Return a host of the Mininet network."""
        return self.network.net[f"h{number}"]

    def replay(self, packets_per_s: float, seconds: float) -> tuple[Replay, Any]:
        """Start steady traffic between all pairs; return it and its process."""
        rates = np.full((1, 4, 4), packets_per_s)
        replay = Replay(
            self.directory, self.network.hosts(), rates, router_mac=ROUTER_MAC, step_s=seconds
        )
        replay.start_at(time.monotonic() + 0.2)
        return replay, self.instance.start_once("replay", replay.command)

    def until(self, condition: Callable[[], bool], seconds: float, what: str) -> float:
        """Wait for a condition; return how long it took."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > seconds:
                raise AssertionError(f"{what}: not within {seconds} s")
            time.sleep(0.02)
        return time.monotonic() - began

    def flows(self, switch: str) -> str:
        """Return a switch's flows as ovs-ofctl prints them."""
        out: str = self.network.net[switch].cmd(f"ovs-ofctl -O OpenFlow13 dump-flows {switch}")
        return out

    def logs(self) -> dict[str, str]:
        """Return the last lines of every log, for when something fails."""
        folder = self.instance.directory / "logs"
        return {path.name: path.read_text()[-3000:] for path in folder.glob("*.log")}


def main() -> int:
    """Run one scenario."""
    logging.basicConfig(level=logging.WARNING)
    scenario, result = sys.argv[1:]
    out = os.open(result, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    loopback_up()
    raise_priority()
    module, _, name = scenario.rpartition(".")
    scenarios = importlib.import_module(f"tests.integration.{module or 'scenarios'}")

    found: dict[str, Any] = {}
    lab: Lab | None = None
    try:
        lab = getattr(scenarios, "lab", Lab)()
        found = getattr(scenarios, name)(lab)
    except BaseException:
        found = {"error": traceback.format_exc(), "logs": lab.logs() if lab else {}}
    finally:
        os.write(out, json.dumps({**found, "said": lab.said if lab else []}).encode())
        if lab is not None:
            lab.network.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The plan in force of a running lab, and whether its switches do what it says."""

import asyncio
import re
import subprocess
from collections.abc import Iterable
from dataclasses import replace

from bus import Bus
from controller.memory import kept_plan
from controller.state import Circuit, CircuitFilter, FirewallRule, Plan
from headers.files.network import load_network
from tests.integration.lab import Lab
from tests.integration.south_trace import Left, Steered, leaves, packet, steered

ENGINE_PORT = 1
ANYTHING = "udp:4444"
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 132: "sctp"}
_COOKIE = re.compile(r"cookie=(0x[0-9a-f]+)")


def in_force(lab: Lab) -> Plan:
    """Return the plan that the brain keeps for the next one."""
    network = load_network(lab.instance.network_file)

    async def ask() -> Plan | None:
        bus = await Bus.connect(lab.instance.bus_address(), "test", timeout_s=5)
        try:
            return (await kept_plan(bus, network))[1]
        finally:
            await bus.close()

    plan = asyncio.run(ask())
    assert plan is not None
    return plan


class Switches:
    """Where links leave and arrive, and what the switches hold."""

    def __init__(self, lab: Lab) -> None:
        def at(port: str) -> tuple[int, int]:
            switch, _, number = port[1:].partition("-eth")
            return int(switch), int(number)

        core = lab.network.topo.core
        self.out = {f"{link.src}>{link.dst}": at(port) for link, port, _ in core}
        self.into = {f"{link.src}>{link.dst}": at(peer) for link, _, peer in core}
        self._wires = {self.out[name]: self.into[name] for name in self.out}
        names = lab.network.topo.topology.names
        self.dpid = {name: number for number, name in enumerate(names, 1)}

    def held(self) -> set[tuple[int, int, int]]:
        """Return (switch, circuit, generation) of every flow of a circuit."""
        found = set()
        for dpid in self.dpid.values():
            flows = subprocess.run(
                ["ovs-ofctl", "-O", "OpenFlow13", "dump-flows", f"s{dpid}"],
                capture_output=True, text=True, check=True,
            ).stdout  # fmt: skip
            for number in _COOKIE.findall(flows):
                cookie = int(number, 16)
                found.add((dpid, cookie >> 24 & 0xFFFFFF, cookie & 0xFFFFFF))
        return found

    def missing(self, plan: Plan) -> set[tuple[int, int, int]]:
        """Return what of a plan's circuits and backups no switch on their ways holds."""
        wanted = {
            (self.dpid[place], one.spi, one.generation)
            for one in plan.circuits
            for links in (one.links, one.backup)
            for place in stations(links)
        }
        return wanted - self.held()

    def follow(self, sent: Steered, dpid: int, came_in: int) -> tuple[list[int], Left | None]:
        """Follow a packet; return the switches, and how it left the last one."""
        path = []
        for _ in range(40):
            path.append(dpid)
            left = leaves(f"s{dpid}", came_in, sent)
            if left is None or left.port == ENGINE_PORT:
                return path, left
            sent = Steered(left.header, sent.inner)
            dpid, came_in = self._wires[dpid, left.port]
        raise AssertionError(f"a loop: {path}")

    def wrong(self, circuit: Circuit, inner: Iterable[tuple[str, bool]] = ()) -> list[str]:
        """Return where a circuit, its backup or its firewall is not as planned.

        ``inner``: packets as ``protocol:port``, and whether each may pass.
        """
        found = []
        source, target = f"10.{self.dpid[circuit.src]}.0.1", f"10.{self.dpid[circuit.dst]}.0.1"
        start = self.dpid[circuit.src]
        way = [self.dpid[place] for place in stations(circuit.links)]
        asked = tuple(inner) or ((ANYTHING, True),)
        for name, passes in asked:
            protocol, _, port = name.partition(":")
            sent = steered(circuit.spi, packet(source, target, protocol, int(port or 0)))
            path, left = self.follow(sent, start, ENGINE_PORT)
            if passes and (path != way or left is None or left.header.protected):
                found.append(f"{circuit}: {name} goes {path}, {left}")
            if not passes and left is not None:
                found.append(f"{circuit}: {name} passes by {path}")
        if circuit.backup:
            # as the source's group sends it when the first link is dead
            protocol, _, port = next((x for x, passes in asked if passes), ANYTHING).partition(":")
            sent = steered(circuit.spi, packet(source, target, protocol, int(port or 0)))
            header = replace(sent.header, protected=True)
            path, left = self.follow(Steered(header, sent.inner), *self.into[circuit.backup[0]])
            ways = [self.dpid[place] for place in stations(circuit.backup)][1:]
            if left is None or path != ways:
                found.append(f"{circuit}: its backup goes {path}, {left}")
        return found


def stations(links: Iterable[str]) -> list[str]:
    """Return the locations that a path of links passes."""
    names = list(links)
    return [names[0].split(">")[0], *(name.split(">")[1] for name in names)] if names else []


def meant(filters: CircuitFilter | None, protocol: str, port: int) -> bool:
    """Return whether a firewall lets a packet pass, by its rules as they are written."""
    if filters is None:
        return True
    for rule in sorted(filters.rules, key=lambda rule: -rule.priority):
        if _matches(rule, protocol, port):
            return rule.allow
    return filters.allow_rest


def _matches(rule: FirewallRule, protocol: str, port: int) -> bool:
    named = PROTOCOLS.get(rule.protocol, "")
    return (not rule.protocol or named == protocol) and rule.destination_port in {0, port}

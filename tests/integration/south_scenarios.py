"""What is done to real switches through the real southbound; the tests say what must be seen."""

import socket
import time
from dataclasses import replace
from typing import Any

from controller.act import Ports, switch_states
from controller.state import Circuit, CircuitFilter, FirewallRule, Plan
from headers.messages import SwitchDesired
from tests.integration.south_lab import PORT, Brain, South, shell, until
from tests.integration.south_trace import Left, Steered, leaves, packet, steered

CABLES = ((1, 2), (2, 3), (3, 4), (1, 5), (5, 4), (2, 5))
"""A path 1-2-3-4, a way around by 5, and a cable between."""

RULES = (
    FirewallRule("no-telnet", False, 900, protocol=6, destination_port=23),
    FirewallRule("web", True, 500, "10.1.0.0/16", "10.4.0.0/16", 6, 0, 443),
    FirewallRule("dns", True, 400, destination="10.4.0.53/32", destination_port=53),
    FirewallRule("not-these", False, 300, source="10.1.9.0/24"),
    FirewallRule("ping", True, 200, protocol=1),
    FirewallRule("sctp", True, 100, protocol=132, source_port=4000),
)
DIRECT = Circuit(5, "1", "4", ("1>2", "2>3", "3>4"), 7, ("1>5", "5>4"))
SHUT = Circuit(6, "1", "4", ("1>2", "2>3", "3>4"), 8, ("1>5", "5>4"), name="shut")
PLAIN = Circuit(7, "4", "1", ("4>3", "3>2", "2>1"), 9)
OPEN = Circuit(8, "1", "4", ("1>5", "5>4"), 10, name="open")
FILTERS = (
    CircuitFilter(6, RULES, allow_rest=False, generation=8),
    CircuitFilter(8, RULES[:1], allow_rest=True, generation=10),
)
CIRCUITS = (DIRECT, SHUT, PLAIN, OPEN)
INNER = {
    "telnet": packet("10.1.0.1", "10.4.0.1", "tcp", 23),
    "web": packet("10.1.0.1", "10.4.0.1", "tcp", 443),
    "web elsewhere": packet("10.1.0.1", "10.5.0.1", "tcp", 443),
    "dns by udp": packet("10.1.0.1", "10.4.0.53", "udp", 53),
    "dns by tcp": packet("10.1.0.1", "10.4.0.53", "tcp", 53),
    "dns of those": packet("10.1.9.1", "10.4.0.53", "udp", 53),
    "ping": packet("10.1.0.1", "10.4.0.1", "icmp"),
    "ping of those": packet("10.1.9.1", "10.4.0.1", "icmp"),
    "sctp": packet("10.1.0.1", "10.4.0.1", "sctp", 9),
    "sctp by another port": packet("10.1.0.1", "10.4.0.1", "sctp", 9, 4001),
    "anything": packet("10.1.0.1", "10.4.0.1", "udp", 4444),
}
ALLOWED = {"web", "dns by udp", "dns by tcp", "dns of those", "ping", "sctp"}


def ready(south: South, *arguments: str, controller: str = f"tcp:127.0.0.1:{PORT}") -> Brain:
    """Start switches and southbound; wait until all links are known."""
    for number in range(1, 6):
        south.bridge(number, controller)
    for one, other in CABLES:
        south.cable(one, other)
    south.southbound(*arguments)
    brain = south.brain()
    until(
        lambda: (
            brain.network is not None
            and len(brain.network.switches) == 5
            and len(brain.network.links) == 2 * len(CABLES)
        ),
        "switches and links are found",
    )
    return brain


def ports(south: South) -> Ports:
    """Return where links leave and arrive."""
    out, into = {}, {}
    for one, other in south.cables.values():
        for a, b in ((one, other), (other, one)):
            out[f"{a[0]}>{b[0]}"], into[f"{a[0]}>{b[0]}"] = a, b
    return Ports(out, into)


def states(
    south: South,
    circuits: tuple[Circuit, ...] = CIRCUITS,
    filters: tuple[CircuitFilter, ...] = FILTERS,
) -> tuple[SwitchDesired, ...]:
    """Return what the switches should hold for circuits."""
    routes = {"1": {"4": "1>5"}, "5": {"4": "5>4"}}
    plan = Plan(1, 1, 1, circuits, (), routes, {}, 0.5, "two-stage", "a test")
    return switch_states(south.network(), plan, circuits, ports(south), filters)


def follow(south: South, sent: Steered, start: int) -> tuple[list[int], Left | None]:
    """Follow a packet from an engine; return the switches, and how it left the last one."""
    known = ports(south)
    wires = {known.out[name]: known.into[name] for name in known.out}
    at, came_in, path = start, 1, []
    for _ in range(20):
        path.append(at)
        left = leaves(f"s{at}", came_in, sent)
        if left is None or left.port == 1:
            return path, left
        sent = Steered(left.header, sent.inner)
        at, came_in = wires[at, left.port]
    raise AssertionError(f"a loop: {path}")


def traced(south: South) -> dict[str, Any]:
    """Ask Open vSwitch where every circuit and every rule sends packets, links up and down."""
    brain = ready(south)
    applied = brain.apply(states(south))
    seen: dict[str, Any] = {
        "applied": [[s.dpid, s.error, s.mismatches, len(s.refused)] for s in applied.switches],
        "paths": {},
        "rules": {},
    }
    web = INNER["web"]
    for circuit in CIRCUITS:
        sent = steered(circuit.spi, web)
        path, left = follow(south, sent, int(circuit.src))
        seen["paths"][str(circuit.spi)] = [path, *_compared(sent, left)]
    for spi in (SHUT.spi, OPEN.spi):
        for name, inner in INNER.items():
            sent = steered(spi, inner)
            path, left = follow(south, sent, 1)
            seen["rules"][f"{spi} {name}"] = [path, *_compared(sent, left)]
    for cable in ("1-2", "2-3", "3-4"):
        ends = [f"s{dpid}-{port}" for dpid, port in south.cables[cable]]
        for end in ends:
            shell(f"ip link set {end} down")
        until(
            lambda ends=ends: all(
                "LINK_DOWN" in shell(f"ovs-ofctl -O OpenFlow13 dump-ports-desc {e[:2]} {e[3:]}")
                for e in ends
            ),
            "the switches see it",
        )
        for circuit in (DIRECT, SHUT):
            for name in ("web", "anything"):
                sent = steered(circuit.spi, INNER[name])
                path, left = follow(south, sent, 1)
                key = f"{circuit.spi} {name} without {cable}"
                seen["paths"][key] = [path, *_compared(sent, left)]
        for end in ends:
            shell(f"ip link set {end} up")
    return seen


def _compared(sent: Steered, left: Left | None) -> list[Any]:
    """Return whether the packet arrived, protected or not, its TTL, and its header as sent."""
    if left is None:
        return [False, False, 0, False]
    got, was = left.header, sent.header
    same = (got.circuit, got.si, got.tag, got.context()) == (
        *(was.circuit, was.si, was.tag),
        was.context(),
    )
    return [True, got.protected, got.ttl, same]


def packets(south: South) -> dict[str, Any]:
    """Send real packets through firewalls: they arrive bit by bit, or not at all."""
    brain = ready(south)
    brain.apply(states(south))
    ends = {}
    for number in (1, 4):
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x894F))
        end.bind((f"e{number}", 0))
        end.settimeout(0.5)
        ends[number] = end
    seen: dict[str, Any] = {}
    for dead in ("", "2-3"):
        if dead:
            for dpid, port in south.cables[dead]:
                shell(f"ip link set s{dpid}-{port} down")
            until(
                lambda: "LINK_DOWN" in shell("ovs-ofctl -O OpenFlow13 dump-ports-desc s2 3"),
                "the switch sees it",
            )
        for spi in (DIRECT.spi, SHUT.spi):
            for name, inner in INNER.items():
                frame = steered(spi, inner).frame()
                ends[1].send(frame)
                seen[f"{spi} {name} {dead}".strip()] = _received(ends[4], frame)
    # an echo of the engines passes every firewall
    echo = steered(SHUT.spi, INNER["anything"])
    echo = replace(echo, header=replace(echo.header, oam=True, next_protocol=0))
    ends[1].send(echo.frame())
    seen["echo"] = _received(ends[4], echo.frame())
    return seen


def _received(end: Any, sent: bytes) -> list[Any] | None:
    """Return the positions of what differs in the frame that arrives, None if none does."""
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        try:
            got, address = end.recvfrom(2048)
        except TimeoutError:
            return None
        if address[2] == 4:  # our own
            continue
        if len(got) < len(sent):
            return ["short"]
        return [i for i in range(len(sent)) if got[i] != sent[i]]
    return None

"""What is done to real switches through the real southbound; the tests say what must be seen."""

import os
import signal
import subprocess
import time
from typing import Any

from controller.act import Ports, switch_states
from controller.state import Circuit, CircuitFilter, FirewallRule, Plan
from headers.messages import Label, SwitchDesired
from tests.integration.south_lab import PORT, Brain, South, matches, shell, until
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
    import socket

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
    from dataclasses import replace

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


def full(south: South) -> dict[str, Any]:
    """Give a switch room for few flows; ask for more circuits than fit."""
    brain = ready(south)
    brain.apply(states(south, (DIRECT,), ()), 1)
    shell(
        "ovs-vsctl -- --id=@ft create Flow_Table flow_limit=20 overflow_policy=refuse"
        " -- set Bridge s2 flow_tables:0=@ft"
    )
    many = tuple(
        Circuit(spi, "1", "4", ("1>2", "2>3", "3>4"), 20, ("1>5", "5>4")) for spi in range(20, 60)
    )
    changed = Circuit(5, "1", "4", DIRECT.links, 20)
    applied = brain.apply(states(south, (changed, *many), ()), 2)
    refused = {s.dpid: [[r.spi, r.reason] for r in s.refused] for s in applied.switches}
    held = {
        int(line.split("nsh_spi=")[1].split()[0].split(",")[0], 16)
        for line in south.flows("s2")
        if "nsh_spi" in line
    }
    fine = brain.apply(states(south, (changed,), ()), 3)
    return {
        "refused": refused,
        "errors": [s.error for s in applied.switches],
        "held": sorted(held),
        "flows": len(south.flows("s2")),
        "then": [[s.dpid, s.error, len(s.refused), s.mismatches] for s in fine.switches],
    }


def restarts(south: South) -> dict[str, Any]:
    """Restart the switches, then the southbound: refilled at once, and nothing written twice."""
    brain = ready(south)
    wanted = states(south)
    brain.apply(wanted)
    before = {f"s{n}": matches(south.flows(f"s{n}")) for n in range(1, 6)}
    south.restart_switches()
    until(lambda: len(brain.switches()) < 5, "the southbound sees them go")
    until(lambda: len(brain.switches()) == 5, "they are back", 30)
    back = time.monotonic()

    def same() -> bool:
        return all(matches(south.flows(name)) == flows for name, flows in before.items())

    refilled = until(same, "all is as it was")
    refilled_s = time.monotonic() - back

    south.children[-1].send_signal(signal.SIGKILL)
    south.children[-1].wait()
    ages = {n: _ages(south.flows(n)) for n in before}
    time_before = time.monotonic()
    south.southbound()
    other = south.brain()
    until(lambda: len(other.switches()) == 5, "the new one has them")
    applied = other.apply(wanted, 1, term=2)
    again = other.apply(wanted, 2, term=2)
    old = other.apply(wanted, 1, term=2)
    elapsed = time.monotonic() - time_before
    after = {n: _ages(south.flows(n)) for n in before}
    younger = [
        flow
        for name, flows in ages.items()
        for flow, age in flows.items()
        if after[name].get(flow, 0.0) < age + elapsed * 0.5
    ]
    return {
        "refilled_s": [refilled, refilled_s],
        "counts": [[s.dpid, s.added, s.removed, s.mismatches] for s in applied.switches],
        "again": [[s.dpid, s.added, s.removed, s.mismatches] for s in again.switches],
        "old": old.error,
        "younger": younger,
        "flows": sum(map(len, after.values())),
    }


def _ages(flows: list[str]) -> dict[str, float]:
    ages = {}
    for line in flows:
        age = float(line.split("duration=")[1].split("s")[0])
        ages[next(iter(matches([line])))] = age
    return ages


def mends(south: South) -> dict[str, Any]:
    """Tamper with a switch: what is ours comes back, what is not stays, and both are counted."""
    brain = ready(south)
    brain.apply(states(south))
    before = matches(south.flows("s2"))
    groups = shell("ovs-ofctl -O OpenFlow13 dump-groups s2")
    shell("ovs-ofctl -O OpenFlow13 add-flow s2 cookie=7,priority=3,in_port=2,actions=drop")
    shell("ovs-ofctl -O OpenFlow13 add-group s2 group_id=9,type=all,bucket=output:2")
    shell("ovs-ofctl -O OpenFlow13 del-flows s2 dl_type=0x894f,nsh_spi=5")
    seen: dict[str, Any] = {"groups": groups.count("group_id")}

    def ours() -> set[str]:
        return {line for line in matches(south.flows("s2")) if "cookie=0xf0e5" in line}

    seen["deleted_s"] = until(lambda: ours() == before, "the flow is back")
    shell("ovs-ofctl -O OpenFlow13 del-groups s2")
    seen["groups_s"] = until(
        lambda: (
            shell("ovs-ofctl -O OpenFlow13 dump-groups s2").count("group_id") == seen["groups"]
            and ours() == before
        ),
        "groups and their flows are back",
    )
    seen["foreign"] = [line for line in south.flows("s2") if "cookie=0x7," in line]
    applied = brain.apply(states(south), 2)
    seen["applied"] = {s.dpid: [s.foreign, s.mismatches, s.added] for s in applied.switches}
    until(lambda: brain.refused("flows_mended") > 0 or not shell("ip link set s5-1 down"), "told")
    seen["mended"] = brain.refused("flows_mended")
    return seen


def silent(south: South) -> dict[str, Any]:
    """Cut a cable that keeps its carrier: BFD notices, and the port counts as down."""
    brain = ready(south)
    (a, b) = south.cables["2-3"]
    for dpid, port in (a, b):
        shell(
            f"ovs-vsctl set interface s{dpid}-{port} bfd:enable=true bfd:min_tx=100 bfd:min_rx=100"
        )

    def up(end: tuple[int, int]) -> bool:
        assert brain.network is not None
        return any(
            port.up
            for switch in brain.network.switches
            for port in switch.ports
            if (switch.dpid, port.number) == tuple(end)
        )

    def state() -> str:
        return shell(f"ovs-vsctl get interface s{a[0]}-{a[1]} bfd_status:state").strip()

    until(lambda: state() == "up" and up(a) and up(b), "BFD is up")
    shell(f"tc qdisc add dev s{a[0]}-{a[1]} clsact")
    began = time.monotonic()
    # both ways, at one end: nothing goes in or out, and the carrier stays
    for side in ("ingress", "egress"):
        shell(f"tc filter add dev s{a[0]}-{a[1]} {side} matchall action drop")
    until(lambda: not up(a) and not up(b), "both ends are down")
    noticed = time.monotonic() - began
    lost = {tuple(link) for link in brain.network.lost} if brain.network else set()
    return {
        "noticed_s": noticed,
        "carrier": shell(f"cat /sys/class/net/s{a[0]}-{a[1]}/carrier").strip(),
        "lost": (*a, *b) in lost and (*b, *a) in lost,
    }


def strangers(south: South) -> dict[str, Any]:
    """A switch that nobody knows, a switch twice, and a state that names neither."""
    brain = ready(south)
    brain.apply(states(south))
    south.bridge(9)
    until(lambda: brain.refused("unknown_dpid") > 0, "the stranger is refused")
    seen: dict[str, Any] = {"flows": len(south.flows("s9")), "switches": sorted(brain.switches())}
    shell("ovs-vsctl del-br s9")
    shell(
        "ovs-vsctl add-br t1 -- set bridge t1 datapath_type=netdev fail_mode=secure"
        " protocols=OpenFlow13 other_config:datapath-id=0000000000000001"
        f" other_config:disable-in-band=true -- set-controller t1 tcp:127.0.0.1:{PORT}"
    )
    shell("ip link set s5-1 down")  # some news, which carries the counters

    def told() -> bool:
        shell("ip link set s5-1 up; ip link set s5-1 down")
        return brain.refused("duplicate_dpid") > 0

    until(told, "the second one is refused")
    seen["twice"] = sorted(brain.switches())
    seen["t1"] = len(south.flows("t1"))
    return seen


def secure(south: South) -> dict[str, Any]:
    """OpenFlow over TLS, with certificates of both sides, and without."""
    folder = south.directory / "pki"
    folder.mkdir()

    def run(command: str) -> None:
        subprocess.run(command, shell=True, check=True, capture_output=True, cwd=folder)

    run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem"
    )
    for name in ("controller", "switch"):
        run(
            f"openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
        )
        run(
            f"openssl x509 -req -days 2 -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem"
        )
    run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=other -keyout other.key -out other.pem"
    )
    shell(f"ovs-vsctl set-ssl {folder}/switch.key {folder}/switch.pem {folder}/ca.pem")
    brain = ready(
        south,
        "--ofp-ssl-listen-port", "6654",
        "--ctl-privkey", f"{folder}/controller.key",
        "--ctl-cert", f"{folder}/controller.pem",
        "--ca-certs", f"{folder}/ca.pem",
        controller="ssl:127.0.0.1:6654",
    )  # fmt: skip
    applied = brain.apply(states(south))
    seen: dict[str, Any] = {
        "applied": [[s.dpid, s.error, s.mismatches] for s in applied.switches],
        "flows": len(south.flows("s1")),
    }
    # nobody without a certificate of ours, and nobody in plain
    for name, with_key in (("stranger", "-cert other.pem -key other.key"), ("nobody", "")):
        seen[name] = shell(
            f"cd {folder} && timeout 5 openssl s_client -connect 127.0.0.1:6654 {with_key}"
            " -quiet </dev/null 2>&1 | tail -3"
        )
    plain = subprocess.run(
        ["timeout", "5", "python3", "-c",
         "import socket;s=socket.create_connection(('127.0.0.1',6654));s.settimeout(4);"
         "s.sendall(bytes.fromhex('0400000800000001'));print(s.recv(99))"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    seen["plain"] = plain.stdout

    def told() -> bool:
        shell("ip link set s5-1 up; ip link set s5-1 down")
        return brain.refused("tls_handshake") >= 3

    until(told, "they are counted")
    seen["switches"] = sorted(brain.switches())
    return seen


def one_label(dpid: int, label: Label) -> SwitchDesired:
    """Return a state of one label."""
    return SwitchDesired(dpid, (), (label,), ())


_ = os

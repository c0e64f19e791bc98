"""What happens to real switches, and what the southbound makes of it; the tests say what."""

import contextlib
import re
import signal
import socket
import subprocess
import threading
import time
from typing import Any

from controller.state import Circuit
from tests.integration.south_lab import South, matches, shell, until
from tests.integration.south_scenarios import DIRECT, INNER, ready, states
from tests.integration.south_trace import steered
from topologies.lab import ovs

ROUNDS = 5
PER_S = 2000
SO_RCVBUFFORCE = 33


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
        int(re.findall("nsh_spi=(0x[0-9a-f]+)", line)[0], 16)
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

    until(same, "all is as it was")
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
        "refilled_s": refilled_s,
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

    def well(end: tuple[int, int]) -> bool:
        session = shell(f"ovs-appctl bfd/show s{end[0]}-{end[1]}")
        return len(re.findall("Session State: up", session)) == 2 and "now" in session

    until(lambda: well(a) and well(b), "BFD is up")
    began = time.monotonic()
    # what is sent is thrown away behind the switches' backs, and the carrier stays
    for dpid, port in (a, b):
        said = shell(f"tc qdisc add dev s{dpid}-{port} root pfifo limit 0")
        assert not said, said
    until(lambda: not up(a) and not up(b), "both ends are down")
    noticed = time.monotonic() - began
    lost = {tuple(link) for link in brain.network.lost} if brain.network else set()
    return {
        "noticed_s": noticed,
        "carrier": "LOWER_UP" in shell(f"ip link show s{a[0]}-{a[1]}"),
        "lost": (*a, *b) in lost and (*b, *a) in lost,
    }


def failover(south: South) -> dict[str, Any]:
    """Lower each link of a protected circuit in turn under traffic; count what is lost."""
    brain = ready(south)
    pid = south.instance.pid("vswitchd")
    assert pid is not None
    ovs.make_room(pid)
    brain.apply(states(south))
    seen: dict[str, Any] = {}
    for cable in ("1-2", "2-3", "3-4"):
        ends = [f"s{dpid}-{port}" for dpid, port in south.cables[cable]]
        seen[cable] = [_lost(ends) for _ in range(ROUNDS)]
    return seen


def _carries(end: str) -> bool:
    """Whether the switch takes a port for live."""
    text = shell(f"ovs-ofctl -O OpenFlow13 dump-ports-desc {end.split('-', maxsplit=1)[0]}")
    return "LIVE" in text.split(f"({end})")[1].split("current")[0]


def _lost(ends: list[str]) -> float:
    """Return for how many ms packets were lost when a cable's ends went down."""
    frame = steered(DIRECT.spi, INNER["anything"]).frame()
    arrived: set[int] = set()
    ways: tuple[set[int], set[int]] = (set(), set())
    stop = threading.Event()
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x894F)) as receiver,
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender,
    ):
        receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        receiver.bind(("e4", 0))
        receiver.settimeout(0.2)
        sender.bind(("e1", 0))

        def receive() -> None:
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    got, address = receiver.recvfrom(2048)
                    if address[2] != 4:
                        number = int.from_bytes(got[-4:], "big")
                        arrived.add(number)
                        ways[got[18] >> 7].add(number)

        thread = threading.Thread(target=receive)
        thread.start()
        began, number, lower = time.perf_counter(), 0, None
        while number < PER_S:
            if time.perf_counter() - began >= number / PER_S:
                sender.send(frame[:-4] + number.to_bytes(4, "big"))
                number += 1
            if number == PER_S // 2 and lower is None:
                batch = "".join(f"link set {end} down\n" for end in ends)
                lower = subprocess.Popen(["ip", "-batch", "-"], stdin=subprocess.PIPE)
                assert lower.stdin is not None
                lower.stdin.write(batch.encode())
                lower.stdin.close()
        time.sleep(0.3)
        stop.set()
        thread.join()
    for end in ends:
        shell(f"ip link set {end} up")
    until(lambda: all(_carries(end) for end in ends), "the cable is back")
    # the path until then, the backup from then on
    assert max(ways[0]) < min(ways[1]), (max(ways[0]), min(ways[1]))
    return (number - len(arrived)) / PER_S * 1000

"""What happens to real switches, and what the southbound makes of it; the tests say what."""

import re
import signal
import time
from typing import Any

from controller.state import Circuit
from tests.integration.south_lab import South, matches, shell, until
from tests.integration.south_scenarios import DIRECT, ready, states


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

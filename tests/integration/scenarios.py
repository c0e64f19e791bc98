"""What is done to a real network, and what is seen; the tests say what must be seen."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from bus import Bus
from bus.subjects import agent_counters
from headers.files.network import load_network
from headers.messages import CounterReport, CounterRequest
from headers.packet.steering import MAX_CIRCUIT
from tests.integration.lab import Lab

KILLED = ("southbound", "brain", "decide", "agent", "bus")


def counters(lab: Lab) -> dict[str, int]:
    """Return the engines' packets by reason, all engines together."""

    async def ask() -> CounterReport:
        bus = await Bus.connect(lab.instance.bus_address(), "test", timeout_s=5)
        try:
            reply: CounterReport = await bus.request(
                agent_counters(os.uname().nodename), CounterRequest(), timeout_s=3
            )
            return reply
        finally:
            await bus.close()

    total: dict[str, int] = {}
    for reasons in asyncio.run(ask()).reasons.values():
        for name, count in reasons.items():
            total[name] = total.get(name, 0) + count
    return total


def steers(lab: Lab) -> dict[str, Any]:
    """Ping, TCP and the flows, on circuits."""
    seconds = lab.start()
    before = counters(lab)
    ping = lab.host(1).cmd("ping -c5 -i0.05 10.3.0.1")
    lab.host(3).cmd("iperf3 -s -1 -D")
    lab.until(lambda: ":5201" in lab.host(3).cmd("ss -Htln"), 10, "iperf3 listens")
    tcp = lab.host(1).cmd("iperf3 -c 10.3.0.1 -t 2 -J | grep -m1 -A9 sum_received")
    after = counters(lab)
    return {
        "start_s": seconds,
        "ping": ping,
        "tcp": tcp,
        "marked": after["marked"] - before.get("marked", 0),
        "delivered": after["delivered"] - before.get("delivered", 0),
        "flows": lab.flows("s1"),
        "state": lab.instance.state(),
    }


def _pid(lab: Lab, name: str) -> int | None:
    if name == "decide":
        found = lab.instance.state().get("decide_pid")
        return int(found) if found else None
    return lab.instance.pid(name)


def kills(lab: Lab) -> dict[str, Any]:
    """Kill each process in turn while traffic flows, and let the loop go on after each."""
    lab.start()
    lab.until(lambda: (lab.instance.state().get("tick") or 0) >= 1, 10, "the loop ticks")
    replay, process = lab.replay(60.0, 300.0)
    lab.until(lambda: replay.counts("received").sum() > 500, 10, "traffic flows")
    seen: dict[str, Any] = {}
    for name in KILLED:
        pid = _pid(lab, name)
        assert pid is not None, name
        tick = lab.instance.state()["tick"]
        os.kill(pid, signal.SIGKILL)

        def back(name: str = name, pid: int = pid, tick: int = tick) -> bool:
            state = lab.instance.state()
            new = _pid(lab, name)
            return bool(
                new not in (None, pid)
                and state.get("ready")
                and state["southbound"]
                and state["bus"]
                and (state["tick"] or 0) > tick + 1
            )

        seen[name] = lab.until(back, 25, f"{name} is back and the loop goes on")
    replay.stop()
    process.wait(10)
    sent, received = replay.counts("sent").sum(), replay.counts("received").sum()
    return {
        "back_s": seen,
        "sent": int(sent),
        "received": int(received),
        "rule_errors": lab.instance.state()["rule_errors"],
        "state": lab.instance.state(),
        "counters": counters(lab),
    }


def control(lab: Lab) -> dict[str, Any]:
    """The same traffic with nobody killed: what is lost here is not lost to a kill."""
    lab.start()
    replay, process = lab.replay(60.0, 20.0)
    process.wait(40)
    return {
        "sent": int(replay.counts("sent").sum()),
        "received": int(replay.counts("received").sum()),
        "reordered": int(replay.counts("reordered").sum()),
    }


def switch_restart(lab: Lab) -> dict[str, Any]:
    """Kill ovs-vswitchd: it is started again and refilled, and packets flow again."""
    lab.start()
    before = lab.flows("s1")
    pid = lab.instance.pid("vswitchd")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    lab.until(lambda: any("vswitchd" in line for line in lab.said), 25, "it is said")
    ping = lambda: "1 received" in lab.host(1).cmd("ping -c1 -W1 10.3.0.1")  # noqa: E731
    waited = lab.until(ping, 20, "packets flow again")
    lab.until(
        lambda: _matches(lab.flows("s1")) == _matches(before), 10, "the flows are as they were"
    )
    return {"waited_s": waited, "before": before, "after": lab.flows("s1")}


def _matches(flows: str) -> set[str]:
    """Return the flows without what changes: cookies, ages and counters."""
    return {
        re.sub(r"(cookie|duration|n_packets|n_bytes|idle_age|hard_age)=[^,]*, ?", "", line).strip()
        for line in flows.splitlines()
        if "priority" in line
    }


def link_down(lab: Lab) -> dict[str, Any]:
    """Take a core link down at both ends: circuits avoid it at once, and return with it."""
    lab.start()
    lab.until(lambda: (lab.instance.state().get("tick") or 0) >= 1, 10, "the loop ticks")
    port = next(
        port for link, port, _ in lab.network.topo.core if (link.src, link.dst) == ("A", "C")
    )
    peer = next(
        peer for link, _, peer in lab.network.topo.core if (link.src, link.dst) == ("A", "C")
    )
    used = f'output:"{port}"'
    assert used in lab.flows("s1")

    def at(port: str, state: str) -> None:
        subprocess.run(["ip", "link", "set", port, state], check=True)

    began = time.monotonic()
    for end in (port, peer):
        at(end, "down")
    ping = lambda: "1 received" in lab.host(1).cmd("ping -c1 -W0.2 10.3.0.1")  # noqa: E731
    waited = lab.until(ping, 10, "packets go around")
    lab.until(lambda: not _labels(lab, used), 10, "no circuit uses the link")
    moved = time.monotonic() - began
    for end in (port, peer):
        at(end, "up")
    lab.until(lambda: bool(_labels(lab, used)), 15, "circuits use the link again")
    return {"waited_s": waited, "moved_s": moved, "ready": lab.instance.state()["ready"]}


def _labels(lab: Lab, used: str) -> list[str]:
    return [line for line in lab.flows("s1").splitlines() if "nsh_spi" in line and used in line]


def injected(lab: Lab) -> dict[str, Any]:
    """The README's example: a hand-made steering packet on an engine's fabric side."""
    lab.start()
    circuits = [
        int(spi, 16)
        for line in lab.flows("s3").splitlines()
        for spi in re.findall(r"nsh_spi=(0x[0-9a-f]+)", line)
        if "s3-eth1" in line
    ]
    # those above are on their way around a dead link
    circuit = next(spi for spi in circuits if spi <= MAX_CIRCUIT)
    seen: dict[str, Any] = {"circuit": circuit}
    for kind, extra in (("good", []), ("wrong", ["--wrong-tag"])):
        made = subprocess.run(
            [
                sys.executable,
                "-m",
                "controller.cli",
                "packet",
                "make",
                "--circuit",
                str(circuit),
                "--source",
                "10.1.0.1",
                "--destination",
                "10.3.0.1",
                "--payload",
                kind,
                *extra,
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        before = counters(lab)
        arrived = _capture(lab, 3, lambda made=made: _send("s3-eth1", made))
        after = counters(lab)
        seen[kind] = {
            "arrived": arrived,
            "counted": {
                name: after[name] - before.get(name, 0)
                for name in after
                if after[name] != before.get(name, 0) and name != "plain"
            },
        }
    return seen


def _send(interface: str, frame: str) -> None:
    """Send a frame with scapy out of the switch's port, into the engine's fabric side."""
    subprocess.run(
        [
            sys.executable,
            "-c",
            (
                "import sys, headers.packet.scapy_layer\n"
                "from scapy.all import Ether, sendp\n"
                f"sendp(Ether(bytes.fromhex('{frame}')), iface='{interface}', verbose=False)"
            ),
        ],
        check=True,
    )


def _capture(lab: Lab, number: int, act: Callable[[], None]) -> str:
    """Return what tcpdump sees of UDP at a host while something is done.

    By the host's own shell: Mininet's popen leaves a chroot when it enters the mount namespace.
    """
    seen, ready = lab.directory / "seen", lab.directory / "ready"
    lab.host(number).cmd(
        f"timeout 20 tcpdump -lnA -c1 -i h{number}-eth0 udp port 9 > {seen} 2> {ready} &"
    )
    lab.until(lambda: ready.exists() and "listening" in ready.read_text(), 10, "tcpdump listens")
    act()
    lab.until(lambda: "UDP" in seen.read_text(), 10, "the packet arrives")
    lab.host(number).cmd("wait")
    return seen.read_text()


def engine_down(lab: Lab) -> dict[str, Any]:
    """Take one engine's program off its fabric port; wait until it counts as down, and back."""
    lab.start()
    lab.until(lambda: lab.instance.state()["ready"], 30, "ready")
    pins = lab.instance.directory / "bpf" / "links"
    engine = load_network(lab.instance.network_file).locations[1].engine
    link, number = pins / f"{engine.name}:{engine.fabric_port}", engine.number
    lab.until(lambda: lab.instance.state()["tick"] >= 2, 20, "ticks")
    before = lab.instance.state()["alarms"]
    link.unlink()
    alarm = f"engine {number} does not answer"
    noticed = lab.until(
        lambda: any(alarm in text for text in lab.instance.state()["alarms"]), 20, "down"
    )
    pid = lab.instance.pid("agent")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    lab.until(lambda: lab.instance.pid("agent") not in (None, pid), 20, "another agent")
    back = lab.until(lambda: not lab.instance.state()["alarms"], 20, "up again")
    return {"before": before, "noticed_s": noticed, "back_s": back}


def table_full(lab: Lab) -> dict[str, Any]:
    """Leave a switch no room for another flow, then take a link away that circuits use."""
    lab.start()
    lab.until(lambda: (lab.instance.state().get("tick") or 0) >= 1, 10, "the loop ticks")
    held = len([line for line in lab.flows("s2").splitlines() if "table=0" in line])
    subprocess.run(
        [
            *("ovs-vsctl", "--", "--id=@full", "create", "Flow_Table", f"flow_limit={held}"),
            *("overflow_policy=refuse", "--", "set", "Bridge", "s2", "flow_tables:0=@full"),
        ],
        check=True,
        capture_output=True,
    )
    replay, process = lab.replay(60.0, 300.0)
    lab.until(lambda: replay.counts("received").sum() > 500, 10, "traffic flows")
    for link, port, peer in lab.network.topo.core:
        if {link.src, link.dst} == {"A", "C"}:
            for end in (port, peer):
                subprocess.run(["ip", "link", "set", end, "down"], check=True)
    log = lab.instance.directory / "logs" / "brain.log"
    lab.until(lambda: "switch 2: table full" in log.read_text(), 15, "the switch refuses")
    tick = lab.instance.state()["tick"]
    lab.until(lambda: lab.instance.state()["tick"] > tick + 3, 20, "the loop goes on")
    before = replay.counts("sent").sum(), replay.counts("received").sum()
    lab.until(lambda: replay.counts("sent").sum() > before[0] + 2000, 20, "traffic goes on")
    replay.stop()
    process.wait(10)
    sent, received = replay.counts("sent").sum(), replay.counts("received").sum()
    spis = {
        name: set(re.findall("nsh_spi=(0x[0-9a-f]+)", lab.flows(name))) for name in ("s1", "s2")
    }
    return {
        "sent": int(sent - before[0]),
        "received": int(received - before[1]),
        "held": held,
        "flows": len([line for line in lab.flows("s2").splitlines() if "table=0" in line]),
        "rule_errors": lab.instance.state()["rule_errors"],
        "circuits": {name: len(found) for name, found in spis.items()},
        "said_by_brain": [x for x in log.read_text().splitlines() if "table full" in x][-3:],
    }

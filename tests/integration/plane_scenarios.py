"""What happens to packets while things happen to their engines."""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bus import Bus
from bus.keys import derive_key
from controller.decide.buckets import rebalance
from dataplane.bench.stage.nodes import Node, run, veth
from dataplane.netns import network_namespace
from dataplane.shaping import shape_link
from dataplane.twin.packets import Parsed, flow_hash
from headers.messages import ApplicationClass, CounterReport, Grant, Neighbour
from headers.packet import SteeringHeader
from tests.integration.plane_lab import ROUTER_MAC, THERE, PlaneLab, result_of

RATE = 20_000
FLOWS = 200
NEXT_VERSION = """
import dataplane.loader as loader
child = (
    "import sys, dataplane.loader as loader;"
    "text = loader.source;"
    "loader.source = lambda *files: text(*files) + '/* the next version */' + chr(10);"
    "sys.exit(loader.main())"
)
text, start = loader.source, loader.subprocess.Popen
loader.source = lambda *files: text(*files) + '/* the next version */' + chr(10)
class Next(start):
    def __init__(self, command, **options):
        if "dataplane.loader" in command:
            at = command.index("-m")
            command = [command[0], "-c", child, *command[at + 2:]]
        super().__init__(command, **options)
loader.subprocess.Popen = Next
"""
"""Python that makes the agent another version: same maps, another program text."""


async def _flowing(
    lab: PlaneLab, act: Callable[[], Awaitable[Any]], seconds: float
) -> tuple[dict[str, Any], Any]:
    """Have packets flow and do something meanwhile; return what was counted, and what was done."""
    receiver = lab.receive(FLOWS, seconds + 1.0)
    sender = lab.send(RATE, FLOWS, seconds)
    await asyncio.sleep(0.5)
    done = await act()
    sent = await asyncio.to_thread(result_of, sender)
    received = await asyncio.to_thread(result_of, receiver)
    return {**sent, **received}, done


def reasons(report: CounterReport) -> dict[str, int]:
    """Return the counters of all engines, added up."""
    total: dict[str, int] = {}
    for engine in report.reasons.values():
        for name, count in engine.items():
            total[name] = total.get(name, 0) + count
    return total


async def _started(lab: PlaneLab, **agent: Any) -> Bus:
    lab.start_agent(**agent)
    bus = await lab.bus()
    await lab.ready(bus)
    await lab.apply(bus, lab.desired())
    return bus


async def disturbances() -> dict[str, Any]:
    """Kill and upgrade the agent, rotate the key, change weights a hundred times: under traffic."""
    lab = PlaneLab()
    bus = await _started(lab)
    found: dict[str, Any] = {}

    async def nothing() -> None:
        await asyncio.sleep(1.0)

    async def kill() -> float:
        lab.stop_agent(signal.SIGKILL)
        await asyncio.sleep(0.5)
        began = time.monotonic()
        lab.start_agent()
        await lab.ready(bus)
        return time.monotonic() - began

    async def upgrade() -> list[str]:
        before = (await lab.status(bus)).programs
        lab.stop_agent(signal.SIGTERM)
        lab.start_agent(patch=NEXT_VERSION)
        await lab.ready(bus)
        return [before, (await lab.status(bus)).programs]

    async def rotate() -> int:
        for _ in range(3):
            lab.epoch += 1
            await lab.apply(bus, lab.desired())
            await asyncio.sleep(0.2)
        return (await lab.status(bus)).epoch

    async def weights() -> dict[str, float]:
        return await _weights(lab, bus)

    for name, act, seconds in (
        ("control", nothing, 2.0),
        ("kill", kill, 4.0),
        ("upgrade", upgrade, 8.0),
        ("rotate", rotate, 3.0),
        ("weights", weights, 6.0),
    ):
        counted, said = await _flowing(lab, act, seconds)
        found[name] = {**counted, "said": said}
    found["reasons"] = reasons(await lab.counters(bus))
    lab.close()
    return found


async def _weights(lab: PlaneLab, bus: Bus) -> dict[str, float]:
    """Change weights a hundred times; return the share of flows that moved, and that had to."""
    pick = random.Random(7)
    seed = int.from_bytes(derive_key(lab.instance.secret(), "flow-hash", 0, 8), "little")
    flows = [
        Parsed(4, bytes([10, 1, 0, 1]), bytes([10, 2, 0, 1]), 17, 64, 0, 20000 + n, 9999)
        for n in range(4096)
    ]
    buckets = [flow_hash(seed, flow) % 256 for flow in flows]
    table = rebalance(None, dict.fromkeys(THERE, 0.5))
    await lab.apply(bus, lab.desired(table))
    moved, needed = 0, 0.0
    for _ in range(100):
        share = pick.random()
        before = table
        table = rebalance(before, {THERE[0]: share, THERE[1]: 1 - share})
        await lab.apply(bus, lab.desired(table))
        moved += sum(before[b] != table[b] for b in buckets)
        needed += abs(before.count(THERE[0]) - table.count(THERE[0])) / 256
    return {"moved": moved / len(flows), "needed": needed}


async def _first_packet(lab: PlaneLab) -> tuple[Bus, float]:
    """Start the agent; return the bus, and the seconds until a packet has passed."""
    # measuring coverage has a price in memory and time, which is not the agent's
    measured = [name for name in os.environ if name.startswith("COVERAGE")]
    began = time.monotonic()
    lab.start_agent(without=measured)
    bus = await lab.bus()
    await lab.ready(bus)
    await lab.apply(bus, lab.desired())
    lab.hosts[1].run("ping", "-c1", "-W1", "10.2.0.1")
    return bus, time.monotonic() - began


async def cold_start() -> dict[str, Any]:
    """Measure how fast the agent starts where nothing is compiled or pinned yet."""
    lab = PlaneLab(connections=1 << 20)
    _, cold = await _first_packet(lab)
    lab.close()
    return {"cold_s": cold}


async def memory() -> dict[str, Any]:
    """Measure the agent's memory idle and with a million connections, and how fast it starts."""
    from dataplane.maps import CONNECTION, FLOW_KEY, open_maps
    from dataplane.syscall import update_batch

    lab = PlaneLab(connections=1 << 20)
    bus, cold = await _first_packet(lab)
    idle = _resident(lab)
    lab.stop_agent(signal.SIGKILL)
    _, again = await _first_packet(lab)
    maps = open_maps(lab.instance.directory / "bpf")
    now = time.monotonic_ns()
    count = 1_000_000
    for start in range(0, count, 50_000):
        keys = b"".join(
            FLOW_KEY.pack(n.to_bytes(16, "little"), b"\x0a" * 16, 1, 2, 6, 4, 1)
            for n in range(start, start + 50_000)
        )
        value = CONNECTION.pack(now, now, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0)
        update_batch(maps.connections.fd, keys, value * 50_000, 50_000)
    deadline = time.monotonic() + 60
    known = 0
    while known < count and time.monotonic() < deadline:
        known = (await lab.status(bus)).connections
    full = _resident(lab)
    lab.close()
    return {
        "cold_s": cold,
        "again_s": again,
        "idle_mib": idle,
        "full_mib": full,
        "connections": known,
    }


def _resident(lab: PlaneLab) -> float:
    assert lab.child is not None
    status = Path(f"/proc/{lab.child.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


async def transfers() -> dict[str, Any]:
    """Move TCP through mark, Open vSwitch and pop, IPv4 and IPv6; the hosts know nothing."""
    lab = PlaneLab(core="ovs")
    lab.start_core()
    bus = await _started(lab)
    found: dict[str, Any] = {}
    server = lab.hosts[2].start("iperf3", "-s")
    await asyncio.sleep(0.3)
    for name, address in (("ipv4", "10.2.0.1"), ("ipv6", "fd02::1")):
        before = reasons(await lab.counters(bus))
        report = json.loads(
            lab.hosts[1].run("iperf3", "-c", address, "-t", "2", "-J", "--connect-timeout", "3000")
        )
        after = reasons(await lab.counters(bus))
        found[name] = {
            "bits_per_s": report["end"]["sum_received"]["bits_per_second"],
            "counted": {k: after[k] - before.get(k, 0) for k in after if after[k] != before.get(k)},
        }
    server.kill()
    # echoes went both ways all the time
    status = await lab.status(bus)
    found["echoes"] = [[e.sent, e.received, e.round_trip_s, e.down] for e in status.echoes]
    lab.close()
    return found


async def priorities() -> dict[str, Any]:
    """Overfill a shaped link with two kinds of traffic; one of them has a higher priority."""
    lab = PlaneLab(core="ovs")
    lab.start_core()
    bus = await _started(lab)
    state = lab.desired()
    premium = ApplicationClass(1, 1, 12, ports=((17, 7777),))
    await lab.apply(bus, replace(state, classes=(premium,)))
    pins = lab.instance.directory / "bpf"
    found: dict[str, Any] = {}
    for shaped in (False, True):
        if shaped:
            # where Open vSwitch sends towards engine 2
            await asyncio.to_thread(shape_link, "core2", 8e6, pins)
        receivers = [lab.receive(10, 5, port) for port in (7777, 9999)]
        senders = [lab.send(3000, 10, 3, port=7777), lab.send(10000, 10, 3, port=9999)]
        sent = [await asyncio.to_thread(result_of, sender) for sender in senders]
        got = [await asyncio.to_thread(result_of, receiver) for receiver in receivers]
        found["shaped" if shaped else "open"] = {
            "premium": [sent[0]["sent"], got[0]["received"]],
            "rest": [sent[1]["sent"], got[1]["received"]],
        }
    report = await lab.counters(bus)
    found["applications"] = {str(k): v[0] for k, v in report.applications.items()}
    lab.close()
    return found


async def wrong_tags() -> dict[str, Any]:
    """Send packets with wrong tags faster than anybody would by accident: that is an alarm."""
    lab = PlaneLab()
    bus = await _started(lab)
    quiet = await lab.status(bus)
    header = SteeringHeader(THERE[0], 1, 2, tag=12345)
    inner = bytes.fromhex("4500001c000000004011") + bytes(2) + bytes([10, 1, 0, 1, 10, 2, 0, 1])
    frame = bytes.fromhex("02f00000000102f000000001894f") + header.encode() + inner + bytes(8)
    with network_namespace(lab.nodes[1].pid):
        out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        out.bind(("e1f", 0))
    for _ in range(30):
        for _ in range(10):
            out.send(frame)
        await asyncio.sleep(0.1)
    status = await lab.status(bus)
    lab.close()
    return {
        "before": list(quiet.alarms),
        "alarms": list(status.alarms),
        "rate": status.wrong_tags_per_s,
    }


async def customers() -> dict[str, Any]:
    """Let a customer mark with its own key; the edge puts its packets on what was granted."""
    lab = PlaneLab()
    network = json.loads(lab.network.read_text())
    network["locations"][0]["engine"]["customers"] = [["e1h", 9]]
    lab.network.write_text(json.dumps(network))
    bus = await _started(lab)
    # the customer's own box: host 1 sends into it, it marks towards the edge
    inside, box = Node("inside"), lab.hosts[1]
    box.run("ip", "addr", "flush", "dev", "eth0")
    veth("eth0", inside, "in0", box, 1500)
    box.run("ip", "link", "set", "eth0", "mtu", "1600")
    lab.nodes[1].run("ip", "link", "set", "e1h", "mtu", "1600")
    box.run("ip", "link", "add", "br0", "type", "bridge")
    for port in ("in0", "eth0"):
        box.run("ip", "link", "set", port, "master", "br0")
    box.run("ip", "link", "set", "br0", "up")
    inside.run("ip", "addr", "add", "10.1.0.1/16", "dev", "eth0")
    inside.run("ip", "neigh", "add", "10.1.255.254", "lladdr", ROUTER_MAC, "dev", "eth0")
    inside.run("ip", "route", "add", "10.2.0.0/16", "via", "10.1.255.254")
    mac = json.loads(inside.run("ip", "-j", "link", "show", "eth0"))[0]["address"]
    state = lab.desired()
    back = replace(state.engines[0], neighbours=(Neighbour("10.1.0.1", mac),))
    grants = (Grant(9, 70, THERE[1], 3),)
    state = replace(state, engines=(back, state.engines[1]), grants=grants)
    await lab.apply(bus, state)
    secret = lab.directory / "customer"
    command = [sys.executable, "-m", "controller.cli", "keys", "customer", "9"]
    run(*command, "-o", str(secret), "--instance", str(lab.instance.directory))
    found: dict[str, Any] = {"mode": oct(secret.stat().st_mode & 0o777)}
    for name, circuit in (("granted", 70), ("refused", 71)):
        pins = lab.directory / f"customer-{name}" / "bpf"
        # a bpffs is mounted there by the command, which must live in the box's network only
        box.run(
            *(sys.executable, "-m", "controller.cli", "mark", "--inside", "in0"),
            *("--outside", "eth0", "--secret", str(secret), "--priority", "9"),
            *("--circuit", f"10.2.0.0/16={circuit}", "--pins", str(pins)),
        )
        before = reasons(await lab.counters(bus))
        command = inside.command("ping", "-c", "5", "-i", "0.05", "-W", "1", "10.2.0.1")
        pings = subprocess.run(command, check=False, capture_output=True, text=True).stdout
        after = reasons(await lab.counters(bus))
        found[name] = {
            "received": int(pings.split(" received")[0].split()[-1]),
            "counted": {k: after[k] - before.get(k, 0) for k in after if after[k] != before.get(k)},
        }
        run(sys.executable, "-m", "controller.cli", "detach", "--pins", str(pins))
        run("umount", str(pins))
    circuits = (await lab.counters(bus)).circuits
    found["on_granted_circuit"] = sum(c.packets for c in circuits if c.circuit == THERE[1])
    inside.holder.kill()
    lab.close()
    return found

"""What happens to packets while things happen to their engines."""

import asyncio
import json
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bus import Bus
from bus.keys import derive_key
from controller.decide.buckets import rebalance
from dataplane.twin.packets import Parsed, flow_hash
from headers.messages import CounterReport
from tests.integration.plane_lab import THERE, PlaneLab, result_of, run

RATE = 20_000
FLOWS = 200
NEXT_VERSION = (
    "import dataplane.loader as loader\n"
    "text = loader.source()\n"
    "loader.source = lambda: text + '\\n/* the next version */\\n'\n"
    "import subprocess\n"
    "real = subprocess.run\n"
    "def child(command, **options):\n"
    "    if 'dataplane.loader' in command:\n"
    "        at = command.index('-m')\n"
    "        code = 'import sys, dataplane.loader as l; t = l.source();'\n"
    "        code += 'l.source = lambda: t + chr(10) + \"/* the next version */\" + chr(10);'\n"
    "        code += 'sys.exit(l.main())'\n"
    "        command = [command[0], '-c', code, *command[at + 2:]]\n"
    "    return real(command, **options)\n"
    "loader.subprocess.run = child\n"
)
"""Python that makes the agent another version: same maps, another program text."""


async def _flowing(
    lab: PlaneLab, act: Callable[[], Awaitable[Any]], seconds: float
) -> tuple[dict[str, Any], Any]:
    """Have packets flow, do something meanwhile; return what was counted, and what that returned."""
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


async def memory() -> dict[str, Any]:
    """Measure the agent's memory idle and with a million connections, and how fast it starts."""
    from dataplane.maps import CONNECTION, FLOW_KEY, open_maps
    from dataplane.syscall import update_batch

    lab = PlaneLab(connections=1 << 20)
    run("true")
    began = time.monotonic()
    lab.start_agent()
    bus = await lab.bus()
    await lab.ready(bus)
    await lab.apply(bus, lab.desired())
    lab.hosts[1].run("ping", "-c1", "-W1", "10.2.0.1")
    cold = time.monotonic() - began
    idle = _resident(lab)
    lab.stop_agent(signal.SIGKILL)
    began = time.monotonic()
    lab.start_agent()
    await lab.ready(bus)
    await lab.apply(bus, lab.desired())
    lab.hosts[1].run("ping", "-c1", "-W1", "10.2.0.1")
    again = time.monotonic() - began
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
    """Move TCP through mark, Open vSwitch and pop, IPv4 and IPv6, between hosts that know nothing."""
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


async def liveness() -> dict[str, Any]:
    """Take an engine's programs away: it counts as down, and its edge uses the backup."""
    lab = PlaneLab()
    bus = await _started(lab)
    await asyncio.sleep(1.0)
    first = await lab.status(bus)
    # the programs at engine 2 are gone, the agent is not
    for link in (lab.instance.directory / "bpf" / "links").glob("e2:e2f"):
        link.unlink()
    began = time.monotonic()
    while not any(e.down for e in (await lab.status(bus)).echoes):
        assert time.monotonic() - began < 10, "nobody noticed"
    noticed = time.monotonic() - began
    status = await lab.status(bus)
    lab.stop_agent(signal.SIGKILL)
    lab.start_agent()
    await lab.ready(bus)
    await lab.apply(bus, replace(lab.desired(), generation=99))
    await asyncio.sleep(2.0)
    back = await lab.status(bus)
    lab.close()
    return {
        "round_trip_s": [e.round_trip_s for e in first.echoes],
        "noticed_s": noticed,
        "alarms": list(status.alarms),
        "back": [e.down for e in back.echoes],
    }

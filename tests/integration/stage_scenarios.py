"""What becomes of connections when engines of a stage fail, or only their agents."""

import asyncio
import json
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.integration.stage_lab import FIRST, SECOND, UDP_PORT, VIRTUAL, StageLab

OPENING_S = 30.0
EACH_S = 2.0
"""How long a failure and what comes after it take."""


async def _lab(*, replicated: bool = True) -> StageLab:
    lab = StageLab()
    lab.serve()
    await lab.start()
    if replicated:
        await lab.replicate()
    return lab


async def _open(lab: StageLab, count: int) -> None:
    """Wait until so many connections go by the first engine."""
    await lab.until(lambda: lab.connections("first") >= count, OPENING_S, "they are open")


async def _came(process: "subprocess.Popen[str]", out: Path) -> dict[str, Any]:
    """Wait for connections' end; return how many survived, by server, and the longest gaps."""
    await asyncio.to_thread(process.wait, 120)
    found = json.loads(out.read_text())
    whole = [one for one in found if not one["broken"]]
    return {
        "opened": len(found),
        "survived": len(whole),
        "servers": dict(Counter(one["name"] for one in whole)),
        "broken": dict(Counter(one["broken"] for one in found if one["broken"])),
        "gap_ms": sorted(1000 * one["gap_s"] for one in whole)[-5:],
    }


async def _failovers(count: int, *, replicated: bool, connections: int = 1000) -> dict[str, Any]:
    """Break engine 2 again and again while connections go by it; for half of it without the bus."""
    lab = await _lab(replicated=replicated)
    lasting = EACH_S * count + 6.0
    asked, out = lab.ask(connections, lasting)
    await _open(lab, connections)
    words = (str(lasting + 1), VIRTUAL, str(UDP_PORT))
    counting = [
        lab.traffic(host, "count", str(lab.directory / f"{host}.count"), *words)
        for host in ("a", "b")
    ]
    words = (str(EACH_S * count + 1), VIRTUAL, str(UDP_PORT))
    streaming = lab.traffic("client", "stream", str(lab.directory / "streamed"), *words)
    await asyncio.sleep(1.0)
    found: dict[str, Any] = {"streams": _streams(lab), "down_ms": [], "up_ms": []}
    for number in range(count):
        if number == (count + 1) // 2:
            found["streams_before"] = _streams(lab)
            lab.instance.stop("bus")
        began = time.monotonic()
        lab.break_engine(FIRST)
        found["down_ms"].append(1000 * await lab.until(lambda: lab.down(FIRST), 5, "dead"))
        await asyncio.sleep(EACH_S / 2)
        lab.mend_engine(FIRST)
        found["up_ms"].append(1000 * await lab.until(lambda: not lab.down(FIRST), 5, "alive"))
        await asyncio.sleep(max(0.0, began + EACH_S - time.monotonic()))
    found.update(await _came(asked, out))
    for process in (*counting, streaming):
        await asyncio.to_thread(process.wait, 30)
    found["udp"] = {
        name: json.loads((lab.directory / name).read_text())
        for name in ("streamed", "a.count", "b.count")
    }
    lab.close()
    return found


def _streams(lab: StageLab) -> list[dict[str, Any]]:
    return [
        {name: getattr(end, name) for name in ("primary", "role", "phase", "held", "lag_ms",
                                               "behind_ms", "diverged")}
        for status in lab.heard.values()
        for end in status.streams
    ]  # fmt: skip


async def failover() -> dict[str, Any]:
    """Engine 2 fails, four times, with replication."""
    return await _failovers(4, replicated=True)


async def failover_without() -> dict[str, Any]:
    """Engine 2 fails, and nobody knows its connections."""
    return await _failovers(1, replicated=False, connections=300)


async def kills() -> dict[str, Any]:
    """Engine 2 fails twenty times."""
    return await _failovers(20, replicated=True)


async def headless() -> dict[str, Any]:
    """Kill agents only: packets flow, nothing is taken over, and all is as before afterwards."""
    lab = await _lab()
    asked, out = lab.ask(300, 12.0)
    await _open(lab, 300)
    await lab.until(lambda: len(lab.replicas("second")) == 300, 5, "the shadow has them all")
    found: dict[str, Any] = {"before": len(lab.replicas("second"))}
    lab.kill_agent("second")
    await asyncio.sleep(1.0)
    found["left"] = len(lab.replicas("second"))
    lab.start_agent("second")
    await lab.apply("second")
    await lab.replicate()
    found["again"] = len(lab.replicas("second"))
    lab.kill_agent("first")
    await asyncio.sleep(1.0)
    found["taken_over"] = lab.down(FIRST) or lab.down(SECOND)
    lab.start_agent("first")
    await lab.apply("first")
    await lab.replicate()
    found["after"] = len(lab.replicas("second"))
    found.update(await _came(asked, out))
    await lab.until(lambda: not lab.replicas("second"), 30, "ended connections leave the shadow")
    lab.close()
    return found


async def switchover() -> dict[str, Any]:
    """Move all traffic from engine 2 to 3 and back, on purpose."""
    lab = await _lab()
    asked, out = lab.ask(300, 9.0)
    await _open(lab, 300)
    await lab.apply("edges", first_choice=SECOND)
    await asyncio.sleep(2.0)
    await lab.apply("edges", first_choice=FIRST)
    found = await _came(asked, out)
    lab.close()
    return found

"""What becomes of connections when engines of a stage fail, or only their agents."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataplane.bench.stage.lab import FIRST, SECOND, UDP_PORT, VIRTUAL, StageLab

OPENING_S = 30.0
EACH_S = 2.0
"""How long a failure and what comes after it take."""

WITHIN_S = 5.0
BURN = "import os\nwhile os.getppid() > 1: pass"


@dataclass(frozen=True, slots=True)
class Came:
    """What came of connections: how many were opened and survived whole, and by which servers.

    ``broken``: how many ended otherwise, by how; ``gaps_ms``: the longest time in which nothing of
    a connection arrived, of each that survived, sorted.
    """

    opened: int
    survived: int
    servers: Mapping[str, int]
    broken: Mapping[str, int]
    gaps_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Takeover:
    """An engine that failed again and again, while connections and a stream went by it.

    ``down_ms``: how long each failure took to be found; ``up_ms``: each return; ``sent``,
    ``received``: of the stream, per server; ``gaps_ms``: of the stream, those above 50 ms, sorted.
    ``lag_ms``: the shadow's 99th percentile before the first failure.
    """

    came: Came
    down_ms: tuple[float, ...]
    up_ms: tuple[float, ...]
    sent: int
    received: Mapping[str, int]
    gaps_ms: tuple[float, ...]
    lag_ms: float


async def _lab(directory: Path, *, replicated: bool = True) -> StageLab:
    lab = StageLab(directory)
    lab.serve()
    await lab.start()
    if replicated:
        await lab.replicate()
    return lab


async def _open(lab: StageLab, count: int) -> None:
    """Wait until so many connections go by the first engine."""
    await lab.until(lambda: lab.connections("first") >= count, OPENING_S, "connections are open")


async def _came(process: "subprocess.Popen[str]", out: Path) -> Came:
    """Wait for connections' end."""
    await asyncio.to_thread(process.wait, 150)
    found = json.loads(out.read_text())
    whole = [one for one in found if not one["broken"]]
    return Came(
        len(found),
        len(whole),
        dict(Counter(one["name"] for one in whole)),
        dict(Counter(one["broken"] for one in found if one["broken"])),
        tuple(sorted(1000 * one["gap_s"] for one in whole)),
    )


async def _fail(lab: StageLab) -> tuple[float, float]:
    """Break the first engine and mend it; return in how many ms each was found."""
    began = time.monotonic()
    lab.break_engine(FIRST)
    down_s = await lab.until(lambda: lab.down(FIRST), WITHIN_S, "engine 2 is found dead")
    await asyncio.sleep(EACH_S / 2)
    lab.mend_engine(FIRST)
    up_s = await lab.until(lambda: not lab.down(FIRST), WITHIN_S, "engine 2 is found alive")
    await asyncio.sleep(max(0.0, began + EACH_S - time.monotonic()))
    return 1000 * down_s, 1000 * up_s


async def takeover(
    directory: Path, count: int, connections: int, *, replicated: bool = True
) -> Takeover:
    """Have engine 2 fail ``count`` times under traffic; the second half of it without the bus.

    Raises:
        DataplaneError: a part of the lab does not come up, or a failure is not found.
    """
    lab = await _lab(directory, replicated=replicated)
    lasting = EACH_S * count + 6.0
    words = (str(lasting + OPENING_S), VIRTUAL, str(UDP_PORT))
    counting = {
        host: lab.traffic(host, "count", str(directory / f"{host}.count"), *words)
        for host in ("a", "b")
    }
    for process in counting.values():
        if process.stdout is not None:
            await asyncio.to_thread(process.stdout.readline)
    asked, out = lab.ask(connections, lasting)
    await _open(lab, connections)
    words = (str(EACH_S * count + 1), VIRTUAL, str(UDP_PORT))
    streaming = lab.traffic("client", "stream", str(directory / "streamed"), *words)
    await asyncio.sleep(1.0)
    lags = [end.lag_ms for status in lab.heard.values() for end in status.streams]
    found = []
    for number in range(count):
        if number == (count + 1) // 2:
            lab.instance.stop("bus")
        found.append(await _fail(lab))
    came = await _came(asked, out)
    await asyncio.to_thread(streaming.wait, 30)
    for process in counting.values():
        process.terminate()
        await asyncio.to_thread(process.wait, 30)
    counted = {host: json.loads((directory / f"{host}.count").read_text()) for host in counting}
    sent = json.loads((directory / "streamed").read_text())["sent"]
    lab.close()
    return Takeover(
        came,
        tuple(down for down, _ in found),
        tuple(up for _, up in found),
        sent,
        {host: one["received"] for host, one in counted.items()},
        tuple(sorted(1000 * gap for one in counted.values() for gap in one["gaps_s"] if gap)),
        max(lags, default=-1.0),
    )


@dataclass(frozen=True, slots=True)
class Detection:
    """How soon a dead engine was found, and how often a living one was held for dead meanwhile."""

    down_ms: tuple[float, ...]
    watched_s: float
    false_alarms: int
    loaded: bool


async def detection(directory: Path, count: int, watch_s: float, *, loaded: bool) -> Detection:
    """Have engine 2 fail ``count`` times, then watch it live; ``loaded``: all processors busy.

    Raises:
        DataplaneError: a part of the lab does not come up, or a failure is not found.
    """
    lab = await _lab(directory)
    burners = [
        subprocess.Popen([sys.executable, "-c", BURN])
        for _ in range(len(os.sched_getaffinity(0)) + 1 if loaded else 0)
    ]
    found = [(await _fail(lab))[0] for _ in range(count)]
    alarms, was, end = 0, False, time.monotonic() + watch_s
    while time.monotonic() < end:
        is_down = lab.down(FIRST) or lab.down(SECOND)
        alarms += is_down and not was
        was = is_down
        await asyncio.sleep(0.01)
    for burner in burners:
        burner.kill()
    lab.close()
    return Detection(tuple(found), watch_s, alarms, loaded)


async def headless(directory: Path, connections: int) -> dict[str, Any]:
    """Kill agents only; return the shadow's replicas at each step, and what came of connections."""
    lab = await _lab(directory)
    asked, out = lab.ask(connections, 12.0)
    await _open(lab, connections)

    def held() -> int:
        return len(lab.replicas("second"))

    await lab.until(lambda: held() == connections, WITHIN_S, "the shadow has them all")
    found: dict[str, Any] = {"before": held()}
    lab.kill_agent("second")
    await asyncio.sleep(1.0)
    found["left"] = held()
    lab.start_agent("second")
    await lab.apply("second")
    await lab.replicate()
    found["again"] = held()
    lab.kill_agent("first")
    await asyncio.sleep(1.0)
    found["taken_over"] = lab.down(FIRST) or lab.down(SECOND)
    lab.start_agent("first")
    await lab.apply("first")
    await lab.replicate()
    found["after"] = held()
    found["came"] = await _came(asked, out)
    await lab.until(lambda: not held(), 30, "ended connections leave the shadow")
    lab.close()
    return found


async def switchover(directory: Path, connections: int) -> Came:
    """Move all traffic from engine 2 to 3 and back, on purpose; return what came of connections."""
    lab = await _lab(directory)
    asked, out = lab.ask(connections, 9.0)
    await _open(lab, connections)
    await lab.apply("edges", first_choice=SECOND)
    await asyncio.sleep(2.0)
    await lab.apply("edges", first_choice=FIRST)
    came = await _came(asked, out)
    lab.close()
    return came

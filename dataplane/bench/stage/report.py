"""The figures of failing engines: what is promised first, then all that was seen."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from dataplane.bench.stage.failures import detection, switchover, takeover

CONNECTIONS: Final = 1000
FEW: Final = 300


def rank(values: Sequence[float], share: float) -> float:
    """Return the value that a share of them does not exceed; nan of none."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


async def measure(
    scratch: Path, kills: int, detections: int, watch_s: float, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Measure takeovers with and without replication, a switchover, and detection under load.

    Raises:
        DataplaneError: a part of the lab does not come up, or a failure is not found.
    """

    def place(name: str) -> Path:
        made = scratch / name
        made.mkdir()
        return made

    progress(f"{kills} failures under {CONNECTIONS} connections")
    taken = await takeover(place("takeover"), kills, CONNECTIONS)
    progress("a failure without replication")
    without = await takeover(place("without"), 1, FEW, replicated=False)
    progress("a planned switchover")
    moved = await switchover(place("switchover"), FEW)
    progress(f"{detections} failures on a loaded machine")
    found = await detection(place("detection"), detections, watch_s, loaded=True)
    return {
        "takeover": {
            "connections_open": taken.came.opened,
            "connections_survived": taken.came.survived,
            "gap_ms_p99": rank(taken.came.gaps_ms, 0.99),
            "stream_gap_ms_max": max(taken.gaps_ms, default=0.0),
            "without_replication_survived": without.came.survived / without.came.opened,
            "kills": len(taken.down_ms),
            "down_ms_max": max(taken.down_ms),
            "seen": asdict(taken),
        },
        "switchover": {
            "survived": moved.survived / moved.opened,
            "gap_ms_max": max(moved.gaps_ms, default=math.nan),
        },
        "detection_ms": {
            "max": max(found.down_ms),
            "p50": rank(found.down_ms, 0.5),
            "false_alarms": found.false_alarms,
            "watched_s": found.watched_s,
            "seen": list(found.down_ms),
        },
    }


def text(found: dict[str, Any]) -> str:
    """Return what to print."""
    taken, moved, seen = found["takeover"], found["switchover"], found["detection_ms"]
    lines = (
        f"engine killed {taken['kills']} times, half of them without the bus:",
        (
            f"  {taken['connections_survived']} of {taken['connections_open']} connections"
            f" survived, {100 * taken['without_replication_survived']:.0f} % without replication"
        ),
        (
            f"  longest gap of a connection: p99 {taken['gap_ms_p99']:.0f} ms;"
            f" of a stream of a datagram per ms: {taken['stream_gap_ms_max']:.0f} ms"
        ),
        (
            f"planned switchover: {100 * moved['survived']:.0f} % survived,"
            f" longest gap {moved['gap_ms_max']:.0f} ms (a piece is sent every 180 to 220)"
        ),
        (
            f"on a loaded machine a dead engine was found after {seen['p50']:.0f} ms,"
            f" {seen['max']:.0f} at most; {seen['false_alarms']} false alarms in"
            f" {seen['watched_s']:.0f} s"
        ),
    )
    return "\n".join(lines)

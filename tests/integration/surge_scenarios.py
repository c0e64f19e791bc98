"""A demand that jumps between two ticks: how long until the edge's first bucket has moved.

The brain is the real one, and its ticks are 5 s long, so that an answer within a second is not a
tick's. What is read is the table that the edge marks by, in the kernel.
"""

import contextlib
import os
import re
import time
from pathlib import Path
from typing import Any

import numpy as np

from dataplane.desired import prefix_key
from dataplane.maps import BUCKETS, DEMAND_SLOT, U32, mapped, open_maps
from tests.integration.lab import NAMES, Lab, square
from topologies.lab.demo import ROUTER_MAC
from topologies.lab.replay import Replay

SURGES = int(os.environ.get("FORESTEER_SURGES", "5"))
TICK_S = 5.0
USUAL_PER_S, SURGE_PER_S = 60.0, 2700.0
"""Packets of 1400 B: 0.7 Mb/s, and 31 Mb/s where links carry 20."""

LOOK_S = 0.002
LONGEST_S = 4.0
CIRCUIT = 0xFFFFFFFF
"""The lower half of a bucket; its backup is the upper one."""

SECONDS = 3000.0
LOGGED_S = 1.0
SEED = int(os.environ.get("FORESTEER_SEED", "20240311"))


def lab() -> Lab:
    """Return the lab of these scenarios."""
    return Lab(square(), tick_s=TICK_S)


class Edge:
    """The tables that the edges mark by, mapped into this process."""

    def __init__(self, lab: Lab) -> None:
        self._maps = open_maps(lab.instance.directory / "bpf")
        self._buckets = mapped(self._maps.buckets, np.dtype("<u8"))

    def circuits(self, src: int, dst: int) -> tuple[int, ...]:
        """Return the circuit of every bucket of a demand between locations, counted from 0."""
        value = self._maps.prefixes.get(prefix_key(src + 1, f"10.{dst + 1}.0.0/16"))
        assert value is not None
        slot = U32.unpack(value)[0] & DEMAND_SLOT
        return tuple((self._buckets[slot * BUCKETS : (slot + 1) * BUCKETS] & CIRCUIT).tolist())


def _log(lab: Lab) -> Path:
    return lab.instance.directory / "logs" / "brain.log"


def surges(lab: Lab) -> dict[str, Any]:
    """Have demands jump, one after the other, at any moment of a tick."""
    lab.start()
    lab.until(lambda: (lab.instance.state().get("tick") or 0) >= 1, 20, "the loop ticks")
    rates = np.full((1, 4, 4), USUAL_PER_S)
    replay = Replay(
        lab.directory, lab.network.hosts(), rates, router_mac=ROUTER_MAC, step_s=SECONDS
    )
    replay.start_at(time.monotonic() + 0.2)
    process = lab.instance.start_once("replay", replay.command)
    assert process is not None
    tick = lab.instance.state()["tick"]
    lab.until(lambda: lab.instance.state()["tick"] >= tick + 2, 30, "the traffic is known")
    edge, random = Edge(lab), np.random.default_rng(SEED)
    origin = lab.instance.settings()["origin_s"]
    pairs = [(a, b) for a in range(4) for b in range(4) if a != b]
    waiting = [pairs[number] for number in random.permutation(len(pairs))]
    seen = []
    for _ in range(SURGES):
        # one that lies on a single path, so that it must move
        pair = next(one for one in waiting if len(set(edge.circuits(*one))) == 1)
        waiting.remove(pair)
        # any moment of the tick after the one that still has something of the surge before
        tick = int((time.monotonic() - origin) / TICK_S) + 1
        due = origin + (tick + random.uniform()) * TICK_S
        lab.until(lambda due=due: time.monotonic() >= due, 3 * TICK_S, "it is time")
        before, logged = edge.circuits(*pair), _log(lab).stat().st_size
        began = time.monotonic()
        replay.change(*pair, SURGE_PER_S)
        moved = 0.0
        while not moved and time.monotonic() < began + LONGEST_S:
            time.sleep(LOOK_S)
            if edge.circuits(*pair) != before:
                moved = time.monotonic() - began
        replay.change(*pair, USUAL_PER_S)
        names = re.escape("→".join(NAMES[place] for place in pair))

        def told(names: str = names, at: int = logged) -> "re.Match[str] | None":
            return re.search(rf"{names} surges .*? expected", _log(lab).read_text()[at:])

        # it is logged once it is in force
        with contextlib.suppress(AssertionError):
            lab.until(lambda told=told: told() is not None, LOGGED_S, "the surge is logged")
        said = told()
        seen.append(
            {
                "pair": pair,
                "phase_s": (began - origin) % TICK_S,
                "moved_s": moved,
                "said": said.group(0) if said else "",
                "load": os.getloadavg()[0],
            }
        )
    replay.stop()
    process.wait(10)
    state = lab.instance.state()
    return {
        "seen": seen,
        "state": {name: state[name] for name in ("surges", "skipped_ticks", "rule_errors")},
        "log": _log(lab).read_text()[-8000:],
    }

"""Abilene with its own brain: processes killed while traffic flows; what is lost and rewritten."""

import os
import re
import signal
import subprocess
import time
from typing import Any

import numpy as np

from tests.integration.lab import Lab
from topologies.lab.demo import ROUTER_MAC
from topologies.lab.replay import Replay
from topologies.sources import from_topohub

EACH_PER_S = 15.0
SECONDS = 240.0
KILLED = ("southbound", "brain")
BACK_S, LOOK_S = 80.0, 0.7
YOUNGER_S = 0.2
"""Ages are asked for at slightly different moments."""

_CHANGING = re.compile(r"(duration|n_packets|n_bytes|idle_age|hard_age)=[^,]*, ?")


def lab() -> Lab:
    """Return the lab of these scenarios."""
    return Lab(from_topohub("abilene"), tick_s=3.0)


def ages(lab: Lab) -> dict[str, float]:
    """Return how old every flow of every switch is, in seconds, by switch and what it does.

    Its cookie too: a flow whose circuit was changed meanwhile is another one.
    """
    found = {}
    for switch in sorted(lab.network.topo.ports):
        if not switch.startswith("s"):
            continue
        done = subprocess.run(
            ["ovs-ofctl", "-O", "OpenFlow13", "dump-flows", switch],
            capture_output=True,
            text=True,
            check=False,  # a switch that is just restarting has none
        )
        for line in done.stdout.splitlines():
            if (age := re.search(r"duration=([0-9.]+)s", line)) is not None:
                found[f"{switch} {_CHANGING.sub('', line).strip()}"] = float(age[1])
    return found


class Rewritten:
    """Looks at all flows again and again: which were put in place anew, though they were there.

    One that a plan took away and a later one needs again is absent in between; one that a process
    which starts again puts over what is there is never, and has become younger.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.last = ages(lab)
        self.anew: set[str] = set()

    def look(self) -> None:
        """Compare with the look before; they should be a second apart or so."""
        found = ages(self._lab)
        self.anew |= {
            flow
            for flow in found.keys() & self.last.keys()
            if found[flow] < self.last[flow] - YOUNGER_S
        }
        self.last = found


def kills(lab: Lab) -> dict[str, Any]:
    """Kill the southbound, then the brain: what is lost, and which right flows are written anew."""
    lab.start()
    lab.until(lambda: (lab.instance.state().get("tick") or 0) >= 1, 20, "the loop ticks")
    rates = np.full((1, 12, 12), EACH_PER_S)
    replay = Replay(
        lab.directory, lab.network.hosts(), rates, router_mac=ROUTER_MAC, step_s=SECONDS, frame=200
    )
    replay.start_at(time.monotonic() + 0.2)
    process = lab.instance.start_once("replay", replay.command)
    lab.until(lambda: replay.counts("received").sum() > 3000, 20, "traffic flows")
    seen: dict[str, Any] = {}
    for name in KILLED:
        pid, tick = lab.instance.pid(name), lab.instance.state()["tick"]
        assert pid is not None
        rewritten = Rewritten(lab)
        before = set(rewritten.last)
        os.kill(pid, signal.SIGKILL)
        began = time.monotonic()

        def back(name: str = name, pid: int = pid, tick: int = tick) -> bool:
            state = lab.instance.state()
            again = lab.instance.pid(name) not in (None, pid)
            on = state.get("southbound") and state.get("ready") and (state.get("tick") or 0) > tick
            return bool(again and on)

        while not back():
            if time.monotonic() - began > BACK_S:
                raise AssertionError(f"{name} is not back after {BACK_S} s")
            time.sleep(LOOK_S)
            rewritten.look()
        back_s = time.monotonic() - began
        time.sleep(LOOK_S)
        rewritten.look()
        seen[name] = {
            "back_s": back_s,
            "before": len(before),
            "kept": len(before & rewritten.last.keys()),
            "anew": sorted(rewritten.anew),
        }
    replay.stop()
    assert process is not None
    process.wait(10)
    sent, received = replay.counts("sent").sum(), replay.counts("received").sum()
    return {"killed": seen, "sent": int(sent), "received": int(received)}


def restart(lab: Lab) -> dict[str, Any]:
    """Kill Open vSwitch: how long from the last switch's connection until all is as planned."""
    lab.start()
    lab.until(lambda: (lab.instance.state().get("tick") or 0) >= 1, 20, "the loop ticks")
    before = ages(lab)
    pid = lab.instance.pid("vswitchd")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    lab.until(lambda: lab.instance.state()["switches"] < 12, 20, "switches are away")
    lab.until(lambda: lab.instance.state()["switches"] == 12, 30, "all switches are connected")
    refilled = lab.until(lambda: len(ages(lab)) >= 0.95 * len(before), 20, "the flows are back")
    return {"refilled_s": refilled, "before": len(before), "after": len(ages(lab))}

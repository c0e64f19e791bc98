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


def unchanged(before: dict[str, float], after: dict[str, float]) -> set[str]:
    """Return the flows of those circuits, as ``ages`` names them, whose flows are all the same.

    A circuit that was taken down and set up on another path may share a switch with its old one:
    that flow was rightly written anew.
    """

    def circuits(flows: dict[str, float]) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for flow in flows:
            cookie = re.search(r"cookie=(0x[0-9a-f]+)", flow)
            found.setdefault(cookie[1] if cookie else "", set()).add(flow)
        return found

    old, new = circuits(before), circuits(after)
    return {flow for cookie, flows in old.items() if new.get(cookie) == flows for flow in flows}


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
        before, began = ages(lab), time.monotonic()
        os.kill(pid, signal.SIGKILL)

        def back(name: str = name, pid: int = pid, tick: int = tick) -> bool:
            state = lab.instance.state()
            again = lab.instance.pid(name) not in (None, pid)
            on = state.get("southbound") and state.get("ready") and (state.get("tick") or 0) > tick
            return bool(again and on)

        back_s = lab.until(back, 80, f"{name} is back and the loop goes on")
        after, passed = ages(lab), time.monotonic() - began
        kept = unchanged(before, after)
        # the age is asked for at slightly different times
        anew = [key for key in kept if after[key] < before[key] + 0.5 * passed]
        seen[name] = {"back_s": back_s, "before": len(before), "kept": len(kept), "anew": anew}
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

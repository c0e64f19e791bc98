"""Abilene with its own brain: a cable is cut, and the loop gives every circuit a backup again."""

import subprocess
import time
from collections import defaultdict
from typing import Any

import numpy as np

from controller.state import Circuit, Plan
from tests.integration.lab import Lab
from tests.integration.plan_trace import Switches, in_force
from tests.integration.protection_scenarios import bfd_up
from topologies.cabling import DOWN, SILENT, UP
from topologies.lab.demo import ROUTER_MAC
from topologies.lab.replay import Replay
from topologies.sources import from_topohub

TICK_S = 5.0
EACH_PER_S = 10.0
SECONDS = 600.0
LONGEST_S = 30.0
CUTS = (("loud", DOWN, ("DNVRng", "KSCYng")), ("silent", SILENT, ("WASHng", "ATLAng")))


def lab() -> Lab:
    """Return the lab of these scenarios."""
    return Lab(from_topohub("abilene"), tick_s=TICK_S, wire=True)


def restored(lab: Lab) -> dict[str, Any]:
    """Cut cables, and wait until what the plan says is protected and in the switches."""
    lab.start()
    lab.until(lambda: bfd_up(lab), 20, "BFD is up everywhere")
    rates = np.full((1, 12, 12), EACH_PER_S)
    replay = Replay(
        lab.directory, lab.network.hosts(), rates, router_mac=ROUTER_MAC, step_s=SECONDS, frame=200
    )
    replay.start_at(time.monotonic() + 0.2)
    process = lab.instance.start_once("replay", replay.command)
    assert process is not None
    lab.until(lambda: (lab.instance.state().get("tick") or 0) >= 2, 30, "the loop ticks")
    switches, seen = Switches(lab), {}
    for kind, state, (src, dst) in CUTS:
        dead = {f"{src}>{dst}", f"{dst}>{src}"}
        used = sum(bool(dead & {*c.links, *c.backup}) for c in in_force(lab).circuits)
        tick, began = lab.instance.state()["tick"], time.monotonic()
        lab.network.topo.cabling.cut(src, dst, state)
        said: list[str] = []

        def back(dead: set[str] = dead, said: list[str] = said) -> bool:
            said.append(lacking(switches, in_force(lab), dead))
            return not said[-1]

        try:
            lab.until(back, LONGEST_S, f"{kind}: protection")
        except AssertionError as error:
            raise AssertionError(f"{error}; {said[-1]}") from error
        plan = in_force(lab)
        seen[kind] = {
            "used": used,
            "seconds": time.monotonic() - began,
            "ticks": lab.instance.state()["tick"] - tick,
            "circuits": len(plan.circuits),
            "protected": sum(bool(one.backup) for one in plan.circuits),
        }
        if kind == "silent":
            seen["wrong"] = [text for one in plan.circuits[::4] for text in switches.wrong(one)]
            seen["plan_stood"] = in_force(lab).circuits == plan.circuits
        lab.network.topo.cabling.cut(src, dst, UP)
        lab.until(lambda: bfd_up(lab), 20, "BFD is up again")
        tick = lab.instance.state()["tick"]
        lab.until(lambda tick=tick: lab.instance.state()["tick"] > tick + 1, 20, "ticks go on")
    replay.stop()
    process.wait(10)
    return {"seen": seen, "rule_errors": lab.instance.state()["rule_errors"]}


def lacking(switches: Switches, plan: Plan, dead: set[str]) -> str:
    """Return what is not restored: dead links in use, circuits without backup, flows not there."""
    pairs = len(switches.dpid) * (len(switches.dpid) - 1)
    if len(plan.splits) < pairs:
        return f"{len(plan.splits)} of {pairs} demands are steered"
    for one in plan.circuits:
        if dead & {*one.links, *one.backup}:
            return f"{one} uses a dead link"
    carrying = {spi for split in plan.splits for spi in split.buckets}
    links = {name for name in switches.out if name not in dead}
    for one in plan.circuits:
        if one.spi in carrying and not _as_disjoint_as_can_be(one, links):
            return f"{one} could have a better backup"
    try:
        missing = switches.missing(plan)
    except subprocess.CalledProcessError:
        return "a switch does not answer"
    return f"(switch, circuit, generation) {min(missing)} is not there" if missing else ""


def _as_disjoint_as_can_be(circuit: Circuit, links: set[str]) -> bool:
    """Whether a backup shares no cable with the path, or no path could."""
    own = {frozenset(name.split(">")) for name in circuit.links}
    if circuit.backup and not own & {frozenset(name.split(">")) for name in circuit.backup}:
        return True
    near = defaultdict(set)
    for name in links:
        src, dst = name.split(">")
        if frozenset((src, dst)) not in own:
            near[src].add(dst)
    reached, front = {circuit.src}, [circuit.src]
    while front:
        fresh = near[front.pop()] - reached
        reached |= fresh
        front += fresh
    return circuit.dst not in reached

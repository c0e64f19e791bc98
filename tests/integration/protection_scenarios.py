"""Abilene with the length of its cables, real traffic, and four watched demands.

Plans are asked for one by one (tests/integration/driven_brain.py), so that what is lost is lost to
this change or that cut. ``FORESTEER_PROTECTION=heavy`` repeats what CI does a few times only.
"""

import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tests.integration.lab import Lab
from topologies.cabling import DOWN, SILENT, UP
from topologies.lab.demo import ROUTER_MAC
from topologies.lab.replay import Replay
from topologies.sources import from_topohub

HEAVY = os.environ.get("FORESTEER_PROTECTION") == "heavy"
WEIGHT_CHANGES = 50
PATH_CHANGES = 20
CUTS = 10 if HEAVY else 2
CONTROL_S = 20.0 if HEAVY else 4.0
WATCHED_PER_S = 500.0
OTHERS_PER_S = 4.0
FRAME = 400
INTERVAL_S = 0.1
LONGEST_S = 400.0 if HEAVY else 150.0
SETTLED_S = 1.0

# each demand's two ways, disjoint but for their ends; each protects the other
DEMANDS = (
    ("SNVAng", "DNVRng", "KSCYng"),
    ("STTLng", "DNVRng", "KSCYng", "HSTNng"),
    ("CHINng", "NYCMng", "WASHng"),
    ("NYCMng", "WASHng", "ATLAng", "HSTNng"),
)
OTHER_WAYS = (
    ("SNVAng", "LOSAng", "HSTNng", "KSCYng"),
    ("STTLng", "SNVAng", "LOSAng", "HSTNng"),
    ("CHINng", "IPLSng", "ATLAng", "WASHng"),
    ("NYCMng", "CHINng", "IPLSng", "KSCYng", "HSTNng"),
)
CUT_LINKS = (("DNVRng", "KSCYng"), ("WASHng", "ATLAng"), ("NYCMng", "CHINng"))
"""In the middle of two demands' paths, of one's, and at one's very beginning."""


def lab() -> Lab:
    """Return the lab of these scenarios: its brain plans what it is told to."""
    found = Lab(from_topohub("abilene"), tick_s=5.0, wire=True)
    command = [sys.executable, "-m", "tests.integration.driven_brain"]
    found.instance.ensure_brain = lambda: found.instance.start_once("brain", command)  # type: ignore[method-assign]
    return found


def _links(way: tuple[str, ...]) -> list[str]:
    return [f"{a}>{b}" for a, b in itertools.pairwise(way)]


class Watch:
    """The traffic, the plan in force, and what each demand lost when."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.names = lab.network.topo.topology.names
        self.number = 0
        self.next_spi = 1
        self.phases: dict[str, tuple[float, float]] = {}
        rates = np.full((int(LONGEST_S / INTERVAL_S), 12, 12), OTHERS_PER_S)
        self.pairs = [(self.names.index(w[0]), self.names.index(w[-1])) for w in DEMANDS]
        for src, dst in self.pairs:
            rates[:, src, dst] = WATCHED_PER_S
        self.replay = Replay(
            lab.directory,
            lab.network.hosts(),
            rates,
            router_mac=ROUTER_MAC,
            step_s=INTERVAL_S,
            frame=FRAME,
        )
        # each demand: its circuits now, as (spi, way number)
        self.circuits = [[(self._spi(), 0), (self._spi(), 1)] for _ in DEMANDS]

    def _spi(self) -> int:
        self.next_spi += 1
        return self.next_spi

    def start(self) -> None:
        """Have the traffic begin."""
        self.origin_s = time.monotonic() + 0.2
        self.replay.start_at(self.origin_s)
        self.process = self.lab.instance.start_once("replay", self.replay.command)

    def want(self, share: float) -> float:
        """Put this share of every demand on its first circuit; return how long it took."""
        self.number += 1
        circuits, shares = [], []
        for ways, held in zip(zip(DEMANDS, OTHER_WAYS, strict=True), self.circuits, strict=True):
            for spi, way in held:
                path, backup = ways[way], ways[1 - way]
                circuits.append((spi, path[0], path[-1], _links(path), _links(backup)))
            first, second = (spi for spi, _ in held)
            parts = {first: share, second: 1 - share}
            shares.append((ways[0][0], ways[0][-1], {k: v for k, v in parts.items() if v > 0}))
        directory = self.lab.instance.directory
        draft = directory / ".wanted.json"
        draft.write_text(
            json.dumps({"number": self.number, "circuits": circuits, "shares": shares})
        )
        draft.replace(directory / "wanted.json")

        def done() -> bool:
            path = directory / "done.json"
            said = json.loads(path.read_text()) if path.exists() else {}
            # an agent that was late is asked again with the next tick
            return bool(said.get("number") == self.number and not said["errors"])

        return self.lab.until(done, 20, f"plan {self.number} is in force")

    def move(self) -> float:
        """Have every demand change its path, on circuits of new numbers."""
        self.circuits = [[(self._spi(), 1 - way) for _, way in held] for held in self.circuits]
        return self.want(1.0)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Attribute what is sent meanwhile to a name; what was changed before has settled."""
        self.settle()
        began = time.monotonic()
        yield
        self.settle()
        self.phases[name] = (began, time.monotonic())

    def settle(self) -> None:
        """Wait until what was sent up to now has arrived, or never will."""
        until = time.monotonic() + SETTLED_S
        self.lab.until(lambda: time.monotonic() > until, 2 * SETTLED_S, "traffic settles")

    def finish(self) -> dict[str, dict[str, list[int]]]:
        """End the traffic; return by phase what each watched demand sent and lost."""
        self.replay.stop()
        assert self.process is not None
        self.process.wait(10)
        sent, received = self.replay.counts("sent"), self.replay.counts("received")
        found = {}
        for name, (began, ended) in self.phases.items():
            first, last = (int((at - self.origin_s) / INTERVAL_S) for at in (began, ended))
            rows = {
                "sent": [int(sent[first:last, a, b].sum()) for a, b in self.pairs],
                "lost": [int((sent - received)[first:last, a, b].sum()) for a, b in self.pairs],
            }
            found[name] = rows
        return found


def bfd_up(lab: Lab) -> bool:
    """Whether every core port hears its other end."""
    done = subprocess.run(
        ["ovs-appctl", "bfd/show"], capture_output=True, text=True, check=True
    ).stdout
    states = re.findall(r"^  Local Session State: (\w+)", done, re.MULTILINE)
    return len(states) == len(lab.network.topo.core) and set(states) == {"up"}


def protection(lab: Lab) -> dict[str, Any]:
    """Change weights and paths, cut links loudly and silently; count what each costs."""
    start_s = lab.start()
    lab.until(lambda: bfd_up(lab), 20, "BFD is up everywhere")
    watch = Watch(lab)
    watch.want(1.0)
    watch.start()
    lab.until(lambda: watch.replay.counts("received").sum() > 2000, 10, "traffic flows")
    with watch.phase("control"):
        until = time.monotonic() + CONTROL_S
        lab.until(lambda: time.monotonic() > until, 2 * CONTROL_S, "control")
    with watch.phase("weights"):
        weights = [watch.want((1.0, 0.25, 0.75, 0.5)[n % 4]) for n in range(WEIGHT_CHANGES)]
    watch.want(1.0)
    with watch.phase("paths"):
        paths = [watch.move() for _ in range(PATH_CHANGES)]
    # loudly and silently, each link in turn
    cuts = []
    for number in range(CUTS):
        src, dst = CUT_LINKS[number % len(CUT_LINKS)]
        for kind, state in (("loud", DOWN), ("silent", SILENT)):
            name = f"{kind} {number}"
            with watch.phase(name):
                lab.network.topo.cabling.cut(src, dst, state)
                watch.settle()
            lab.network.topo.cabling.cut(src, dst, UP)
            lab.until(lambda: bfd_up(lab), 20, "BFD is up again")
            cuts.append((name, f"{src}>{dst}"))
    losses = watch.finish()
    wire = lab.network.topo.cabling.wire
    return {
        "start_s": start_s,
        "weights_ms": [1000 * x for x in weights],
        "paths_ms": [1000 * x for x in paths],
        "losses": losses,
        "cuts": cuts,
        "wire": wire.totals() if wire else {},
        "state": {k: lab.instance.state()[k] for k in ("rule_errors", "southbound", "tick")},
    }


def delay_ms(link: str) -> float:
    """Return the length of a link of this Abilene."""
    src, _, dst = link.partition(">")
    topology = from_topohub("abilene")
    return next(x.delay_ms or 0.0 for x in topology.links if (x.src, x.dst) == (src, dst))

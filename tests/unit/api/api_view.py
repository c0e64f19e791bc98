"""A brain's view with real plans on a small network."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import numpy as np
from decide_nets import DIAMOND, DIAMOND_NODES, demands_of, forecast_of, snapshot_of
from request_desk import RequestDesk

from controller.api import Label, Place, Status
from controller.api.view import Shadowed
from controller.decide import plan
from controller.loop import Tick
from controller.state import Decision, Outcome, Policies, Skill

STREAM = {"agent": "two", "primary": "e1", "shadow": "e2", "role": "shadow", "phase": "following",
          "held": 5, "unheld": 0, "lag_ms": 12.5, "behind_ms": 1.0, "rtt_ms": 0.0, "compared": 9,
          "diverged": 0, "counts": {}}  # fmt: skip
SHADOWED = Shadowed("e1", "edge", ("e2",), 1, ("e2",), 1, (STREAM,))


def make_tick(number, rate=80.0, links=DIAMOND, previous=None, reason=None):
    demands = demands_of(DIAMOND_NODES, a_d=rate, b_c=5.0)
    links = tuple(replace(x, rate_bps=30.0) if x.name == "a>b" else x for x in links)
    snapshot = replace(snapshot_of(DIAMOND_NODES, links, demands, number), time_s=1000.0 + number,
                       history_bps=np.stack([demands * part for part in (0.5, 1.0)]))  # fmt: skip
    forecast = replace(
        forecast_of(demands * 1.1, number),
        skill=(Skill(1, "ewma", {"ewma": 0.1, "model": float("nan")}, 30),),
        model="pooled",
    )
    made = plan(snapshot, forecast, Policies(), previous)
    decision = Decision(number, snapshot.time_s, number, number, made.number, reason or made.reason,
                        1.0, 2.0, 3.0, Outcome(act_ms=4.0))  # fmt: skip
    return Tick(number, snapshot, forecast, made, decision)


@dataclass
class SmallView:
    """A view that a test puts ticks into; ``listeners`` are the queues of who follows it."""

    ticks: list = field(default_factory=list)
    known: bool = True
    synthetic: bool = False
    requests: RequestDesk | None = None
    answers: object = None
    desk_of_policies: object = None
    series: object = None
    shadows: list = field(default_factory=lambda: [SHADOWED])
    hindsight: list = field(default_factory=list)
    listeners: set = field(default_factory=set)

    def status(self):
        parts = {"bus": "ok", "model": "EWMA stands in"}
        return Status("/run/one", "advise", True, 2, 1, parts, {"term": 3})

    def label(self):
        return Label("diamond", self.synthetic) if self.known else None

    def places(self):
        return [Place("a", 1.0, 2.0), Place("b"), Place("c"), Place("d")] if self.known else []

    def shadowed(self):
        return self.shadows

    def last(self):
        return self.ticks[-1] if self.ticks else None

    def recent(self):
        return self.ticks

    def version(self):
        return len(self.ticks), id(self.last())

    def decided(self):
        return self.ticks

    def journaled(self, plan):
        return plan + 100

    def came(self):
        return self.hindsight

    def thresholds(self):
        return {"link_load": {"high": None, "low": None, "share": 0.9}}

    def explainer(self):
        return self.answers

    def modes(self):
        return self.requests

    def policies(self):
        return self.desk_of_policies

    def desk(self):
        return self.series

    def operations(self):
        return self.requests

    async def subscribe(self) -> AsyncIterator[Tick]:
        queue: asyncio.Queue = asyncio.Queue()
        self.listeners.add(queue)
        try:
            while True:
                item = await queue.get()
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.listeners.discard(queue)

    def go(self, item):
        for queue in self.listeners:
            queue.put_nowait(item)

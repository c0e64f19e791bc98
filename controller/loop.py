"""The loop: observe, predict, decide, act, and write down why.

One tick is ``Loop.tick``; everything else here is when it runs.
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from bus import Clock
from controller.errors import ControllerError
from controller.state import Decision, Forecast, Outcome, Plan, Snapshot

LOG = logging.getLogger("foresteer.loop")


@dataclass(frozen=True, slots=True, eq=False)
class Tick:
    """All that one tick produced."""

    number: int
    snapshot: Snapshot
    forecast: Forecast
    plan: Plan
    decision: Decision
    event: str = ""


class Stages(Protocol):
    """The five stages, as the brain puts them together."""

    async def observe(self, tick: int) -> Snapshot:
        """Return the picture of the network at this tick."""

    async def predict(self, snapshot: Snapshot, tick: int) -> Forecast:
        """Return what its demands will be."""

    async def decide(self, snapshot: Snapshot, forecast: Forecast, previous: Plan | None) -> Plan:
        """Return the state that the network should have."""

    async def act(self, plan: Plan, previous: Plan | None) -> tuple[Outcome, Plan]:
        """Bring the network there; return what that took, and what of the plan is in force."""

    async def journal(self, tick: Tick) -> None:
        """Write it all down; ``tick.event`` says what caused it, if it was no tick."""


class Loop:
    """Runs the stages on every tick, and counts the ticks that it could not begin in time."""

    def __init__(self, stages: Stages, clock: Clock, tick_s: float) -> None:
        self.stages = stages
        self.clock = clock
        self.tick_s = tick_s
        self.skipped = 0
        self.last: Tick | None = None
        self.recent: deque[Tick] = deque(maxlen=100)
        self.events: deque[Tick] = deque(maxlen=100)
        self.plan: Plan | None = None
        self._turn = asyncio.Lock()
        self._reactions = 0

    async def tick(self, number: int) -> Tick:
        """Go once round.

        Events do not wait for forecasts: after one that came meanwhile the picture is taken anew.
        """
        t0 = self.clock.monotonic()
        reactions = self._reactions
        snapshot = await self.stages.observe(number)
        t1 = self.clock.monotonic()
        forecast = await self.stages.predict(snapshot, number)
        t2 = self.clock.monotonic()
        async with self._turn:
            if self._reactions != reactions:
                snapshot = await self.stages.observe(-1)
            t3 = self.clock.monotonic()
            plan = await self.stages.decide(snapshot, forecast, self.plan)
            t4 = self.clock.monotonic()
            outcome, plan = await self.stages.act(plan, self.plan)
            decision = Decision(
                number, snapshot.time_s, snapshot.number, forecast.number, plan.number, plan.reason,
                (t1 - t0) * 1000, (t2 - t1) * 1000, (t4 - t3) * 1000, outcome,
            )  # fmt: skip
            tick = Tick(number, snapshot, forecast, plan, decision)
            self.plan, self.last = plan, tick
            self.recent.append(tick)
            await self.stages.journal(tick)
            return tick

    async def react(self, cause: str) -> None:
        """Go round at once for an event: the last forecast, on the network as it is now."""
        if self.last is None:
            return
        async with self._turn:
            last = self.last
            self._reactions += 1
            snapshot = await self.stages.observe(-1)
            began = self.clock.monotonic()
            plan = await self.stages.decide(snapshot, last.forecast, self.plan)
            took_ms = (self.clock.monotonic() - began) * 1000
            outcome, plan = await self.stages.act(plan, self.plan)
            decision = Decision(
                last.number, snapshot.time_s, snapshot.number, last.forecast.number, plan.number,
                f"{cause}: {plan.reason}", 0.0, 0.0, took_ms, outcome,
            )  # fmt: skip
            self.plan = plan
            event = Tick(last.number, snapshot, last.forecast, plan, decision, cause)
            self.events.append(event)
            await self.stages.journal(event)
            LOG.warning("%s: plan %d, %s", cause, plan.number, outcome)

    async def run(self, origin_s: float, stop: asyncio.Event, *, waited: bool = False) -> None:
        """Tick at ``origin_s`` plus whole numbers of ticks until told to stop.

        ``waited``: it was there before; then ticks that went by meanwhile count as skipped.
        """
        number = max(0, -int(-(self.clock.monotonic() - origin_s) // self.tick_s))
        self.skipped += number if waited else 0
        while not stop.is_set():
            await self.clock.sleep_until(origin_s + number * self.tick_s)
            if stop.is_set():
                return
            try:
                await self.tick(number)
            except ControllerError as error:
                LOG.error("tick %d: %s", number, error)
            due = int((self.clock.monotonic() - origin_s) // self.tick_s)
            if due > number:
                self.skipped += due - number
                LOG.warning("tick %d took too long: %d skipped", number, due - number)
            number = max(number, due) + 1

"""When the loop runs and in which order, on a clock that the tests turn."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from controller.errors import ControllerError
from controller.loop import Loop, Tick
from controller.state import Forecast, Outcome, Plan, Snapshot

ZERO = np.zeros((1, 1))


@dataclass
class Clock:
    """Time that passes only where somebody sleeps or works."""

    now: float = 100.0
    slept_until: list[float] = field(default_factory=list)

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep_until(self, monotonic_s: float) -> None:
        self.slept_until.append(monotonic_s)
        self.now = max(self.now, monotonic_s)
        await asyncio.sleep(0)


@dataclass
class Stages:
    """Five stages that say when they are called; ``work_s``: how long deciding takes per tick."""

    clock: Clock
    stop: asyncio.Event
    stop_after: int = 4
    work_s: dict[int, float] = field(default_factory=dict)
    fail_at: int | None = None
    calls: list[Any] = field(default_factory=list)
    began: list[tuple[int, float]] = field(default_factory=list)
    number: int = 0

    async def observe(self, tick: int) -> Snapshot:
        self.calls.append("observe")
        self.began.append((tick, self.clock.now))
        self.tick = tick
        if len(self.began) >= self.stop_after:
            self.stop.set()
        if tick == self.fail_at:
            raise ControllerError("nothing to see")
        self.number += 1
        return Snapshot(self.number, self.clock.now, 2.0, 2.0, ("a",), (), ZERO, ZERO[None])

    async def predict(self, snapshot: Snapshot, tick: int) -> Forecast:
        self.calls.append("predict")
        self.clock.now += 0.010
        return Forecast(self.number, snapshot.number, (1,), (0.5,), ZERO[None, None], ())

    async def decide(self, snapshot: Snapshot, forecast: Forecast, previous: Plan | None) -> Plan:
        self.calls.append("decide")
        self.clock.now += self.work_s.get(self.tick, 0.1)
        self.asked = (snapshot, forecast, previous)
        return Plan(
            self.number, snapshot.number, forecast.number, (), (), {}, {}, 0.0, "igp", "as it is"
        )

    async def act(self, plan: Plan, previous: Plan | None) -> tuple[Outcome, Plan]:
        self.calls.append("act")
        self.acted = (plan, previous)
        self.in_force = replace(plan, notes=("in force",))
        return Outcome(flows_added=3), self.in_force

    async def journal(self, tick: Tick) -> None:
        self.calls.append("journal")
        self.written = tick


def make(**options: Any) -> tuple[Loop, Stages, Clock]:
    clock = Clock()
    stages = Stages(clock, asyncio.Event(), **options)
    return Loop(stages, clock, 2.0), stages, clock


async def test_tick_goes_round_in_order_and_writes_down_all_of_it() -> None:
    loop, stages, _ = make()
    tick = await loop.tick(5)
    assert stages.calls == ["observe", "predict", "decide", "act", "journal"]
    assert stages.written is tick
    assert loop.last is tick
    decision = tick.decision
    assert (decision.tick, decision.snapshot, decision.forecast, decision.plan) == (5, 1, 1, 1)
    assert (decision.reason, decision.outcome.flows_added) == ("as it is", 3)
    assert decision.predict_ms == pytest.approx(10)
    assert decision.decide_ms == pytest.approx(100)


async def test_each_plan_is_made_and_acted_on_against_the_one_before() -> None:
    loop, stages, _ = make()
    first = await loop.tick(0)
    assert stages.asked[2] is None
    second = await loop.tick(1)
    assert stages.asked[2] is first.plan
    assert stages.acted[1] is first.plan
    assert second.plan is loop.plan is stages.in_force


async def test_ticks_begin_at_whole_numbers_of_ticks_after_the_origin() -> None:
    loop, stages, _ = make()
    await loop.run(103.0, stages.stop)
    assert stages.began == [(0, 103.0), (1, 105.0), (2, 107.0), (3, 109.0)]
    assert loop.skipped == 0


async def test_loop_that_starts_late_begins_with_the_next_tick_and_has_skipped_none() -> None:
    loop, stages, _ = make()
    await loop.run(95.5, stages.stop)
    assert stages.began[:2] == [(3, 101.5), (4, 103.5)]
    assert loop.skipped == 0


async def test_loop_that_waited_for_its_origin_has_skipped_what_went_by() -> None:
    loop, stages, _ = make()
    await loop.run(95.5, stages.stop, waited=True)
    assert stages.began[0] == (3, 101.5)
    assert loop.skipped == 3


async def test_tick_that_takes_too_long_skips_and_counts_those_it_ran_over() -> None:
    loop, stages, _ = make(work_s={1: 5.0}, stop_after=4)
    await loop.run(100.0, stages.stop)
    assert [number for number, _ in stages.began] == [0, 1, 4, 5]
    assert stages.began[2][1] == 108.0
    assert loop.skipped == 2


async def test_tick_that_fails_is_followed_by_the_next() -> None:
    loop, stages, _ = make(fail_at=1)
    await loop.run(100.0, stages.stop)
    assert [number for number, _ in stages.began] == [0, 1, 2, 3]
    assert loop.last is not None
    assert loop.last.number == 3


async def test_event_goes_round_on_the_last_forecast_and_says_its_cause() -> None:
    loop, stages, _ = make()
    tick = await loop.tick(0)
    stages.calls.clear()
    await loop.react("link a>b down")
    assert stages.calls == ["observe", "decide", "act", "journal"]
    assert stages.began[-1][0] == -1
    assert stages.asked[1] is tick.forecast
    assert loop.events[-1].decision.reason == "link a>b down: as it is"
    assert loop.events[-1].event == "link a>b down"
    assert loop.last is tick
    assert loop.plan is stages.in_force


async def test_event_before_the_first_tick_does_nothing() -> None:
    loop, stages, _ = make()
    await loop.react("too early")
    assert stages.calls == []


async def test_event_waits_for_a_tick_that_decides_already() -> None:
    loop, stages, _ = make()
    await loop.tick(0)
    stages.calls.clear()
    deciding = asyncio.Event()
    decide = stages.decide

    async def slow(snapshot: Snapshot, forecast: Forecast, previous: Plan | None) -> Plan:
        deciding.set()
        await asyncio.sleep(0)
        return await decide(snapshot, forecast, previous)

    stages.decide = slow  # type: ignore[method-assign]
    tick = asyncio.create_task(loop.tick(1))
    await deciding.wait()
    await loop.react("link down")
    await tick
    assert stages.calls == [
        "observe", "predict", "decide", "act", "journal", "observe", "decide", "act", "journal",
    ]  # fmt: skip


async def test_event_does_not_wait_for_a_forecast_and_the_tick_then_looks_again() -> None:
    loop, stages, _ = make()
    await loop.tick(0)
    stages.calls.clear()
    reacted = asyncio.Event()
    predict = stages.predict

    async def slow(snapshot: Snapshot, tick: int) -> Forecast:
        await reacted.wait()
        return await predict(snapshot, tick)

    stages.predict = slow  # type: ignore[method-assign]
    ticking = asyncio.create_task(loop.tick(1))
    await asyncio.sleep(0)
    await loop.react("link down")
    answer = loop.plan
    reacted.set()
    tick = await ticking
    assert stages.calls == [
        "observe", "observe", "decide", "act", "journal",
        "predict", "observe", "decide", "act", "journal",
    ]  # fmt: skip
    # what the link's end changed is in the picture that the tick decides on
    assert stages.began[-1][0] == -1
    assert stages.asked[0] is tick.snapshot
    assert stages.acted[1] is answer
    assert tick.number == 1


async def test_recent_ticks_are_bounded() -> None:
    loop, _, _ = make(stop_after=1000)
    for number in range(130):
        await loop.tick(number)
    assert len(loop.recent) == 100
    assert loop.recent[-1].number == 129

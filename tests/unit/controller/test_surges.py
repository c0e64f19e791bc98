"""Surges between ticks: seen twice, where it matters, answered as often as needed, forgotten."""

import asyncio
from typing import Any

import numpy as np
import pytest

from controller.observe.surge import ANSWERS, Surge, SurgeWatch
from controller.state import Circuit, Forecast, Plan, Split
from controller.surges import Surges
from headers.files.network import Network
from headers.messages import CounterReport, DemandCounter

LEVELS = (0.5, 0.95)
CALM_BPS, SURGE_BPS = 1e6, 18e6


def planned(network: Network, link: str = "") -> tuple[Forecast, Plan, dict[str, float]]:
    """A forecast of little everywhere, all on direct links, of 20 Mb/s each."""
    names = [location.name for location in network.locations]
    fan = np.full((1, len(LEVELS), len(names), len(names)), 1.2 * CALM_BPS)
    src, dst = names[:2]
    circuits = (Circuit(1, src, dst, (link or f"{src}>{dst}",)),)
    splits = (Split(src, dst, (1,), (1.0,), (1,) * 256),)
    plan = Plan(1, 1, 1, circuits, splits, {}, {}, 0.1, "two-stage", "a test")
    return Forecast(1, 1, (1,), LEVELS, fan, ()), plan, {f"{src}>{dst}": 20e6}


class Counting:
    """An agent whose counters grow as it is told."""

    def __init__(self, network: Network) -> None:
        first, second = network.locations[:2]
        self.row = (first.engine.number, second.prefix)
        self.time_s, self.bytes = 0.0, 0.0

    def after(self, seconds: float, rate_bps: float) -> list[CounterReport]:
        """Return the reports after this long at this rate."""
        self.time_s += seconds
        self.bytes += seconds * rate_bps / 8
        row = DemandCounter(*self.row, int(self.bytes / 1000), int(self.bytes))
        return [CounterReport("agent", self.time_s, 1, (row,), {}, (), (), {})]


@pytest.fixture
def watched(network: Network) -> Any:
    """A watch that has seen calm traffic; call it with a rate for what the next look finds."""
    watch, counting, (forecast, plan, capacities) = (
        SurgeWatch(network), Counting(network), planned(network),
    )  # fmt: skip

    def look(rate_bps: float, seconds: float = 0.25) -> Any:
        return watch.look(counting.after(seconds, rate_bps), forecast, plan, capacities)

    look(CALM_BPS)
    look(CALM_BPS)
    look.watch = watch  # type: ignore[attr-defined]
    return look


def test_surge_is_told_at_the_second_look_and_not_before(watched: Any) -> None:
    assert watched(SURGE_BPS) == ()
    assert watched.watch.unsure
    (found,) = watched(SURGE_BPS)
    assert (found.src, found.dst) == ("a", "b")
    assert found.rate_bps == pytest.approx(SURGE_BPS, rel=0.01)
    assert found.utilisation == pytest.approx(0.9, rel=0.01)
    assert not watched.watch.unsure


def test_burst_of_one_look_is_none(watched: Any) -> None:
    assert watched(SURGE_BPS) == ()
    assert watched(CALM_BPS) == ()
    assert watched(SURGE_BPS) == ()


def test_surge_that_every_link_has_room_for_is_not_told(watched: Any) -> None:
    assert [watched(0.5 * SURGE_BPS) for _ in range(4)] == [()] * 4


def test_lasting_surge_is_answered_a_few_times_and_again_when_it_grows(watched: Any) -> None:
    told = [len(watched(SURGE_BPS)) for _ in range(20)]
    assert sum(told) == ANSWERS
    assert told[:4] == [0, 1, 0, 1]
    assert sum(len(watched(1.5 * SURGE_BPS)) for _ in range(2)) == 1


def test_surge_lasts_until_a_look_sees_it_over(watched: Any) -> None:
    for _ in range(3):
        watched(SURGE_BPS)
    assert watched.watch.lasting() == {("a", "b")}
    watched(CALM_BPS)
    assert watched.watch.lasting() == frozenset()


async def test_answer_is_planned_for_until_it_is_over_and_two_ticks_at_most(
    network: Network,
) -> None:
    forecast, plan, _ = planned(network)
    counting, causes, rate_bps = Counting(network), [], [CALM_BPS]
    stop = asyncio.Event()

    class Last:
        """A loop that has ticked once."""

        class last:
            """The tick."""

        def __init__(self) -> None:
            self.plan = plan
            self.last.forecast = forecast  # type: ignore[attr-defined]
            self.last.snapshot = type("S", (), {"links": ()})  # type: ignore[attr-defined]

    async def counters() -> list[CounterReport]:
        return counting.after(0.25, rate_bps[0])

    async def plan_now(cause: str) -> Plan:
        causes.append(cause)
        return plan

    surges = Surges(Last(), counters, plan_now, 0.05)  # type: ignore[arg-type]
    surges.adopt(network)
    monkey = [type("L", (), {"name": "a>b", "capacity_bps": 20e6})]
    surges._loop.last.snapshot.links = monkey  # type: ignore[union-attr, misc, assignment]
    running = asyncio.create_task(surges.run(stop))

    async def until(condition: Any) -> None:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.005)

    await until(lambda: counting.time_s > 0.5)
    rate_bps[0] = SURGE_BPS
    await until(lambda: causes)
    assert surges.rates() == {("a", "b"): pytest.approx(SURGE_BPS, rel=0.01)}
    assert causes[0].startswith("a→b surges to 18.0 Mb/s where at most 1.2 were expected")
    surges.tick()
    assert surges.rates()
    rate_bps[0] = CALM_BPS
    now = counting.time_s
    await until(lambda: counting.time_s > now + 0.5)
    surges.tick()
    assert surges.rates() == {}
    stop.set()
    await running


async def test_surge_that_is_over_leaves_its_room_to_the_next(network: Network) -> None:
    _, plan, _ = planned(network)
    surges = Surges(None, None, None, 0.25)  # type: ignore[arg-type]
    surges.adopt(network)
    surges._planned = {("b", "c"): (SURGE_BPS, 2)}

    class Watch:
        """One that sees another surge than before."""

        def lasting(self) -> frozenset[tuple[str, str]]:
            return frozenset({("a", "b")})

        def look(self, *_: Any) -> tuple[Surge, ...]:
            return (Surge("a", "b", SURGE_BPS, CALM_BPS, "a>b", 0.9),)

    async def counters() -> list[CounterReport]:
        return []

    async def plan_now(_cause: str) -> Plan:
        return plan

    surges._watch = Watch()  # type: ignore[assignment]
    surges._counters, surges._plan_now = counters, plan_now
    last = type("Last", (), {"snapshot": type("S", (), {"links": ()}), "forecast": None})
    surges._loop = type("Loop", (), {"last": last, "plan": plan})  # type: ignore[assignment]
    await surges._look()
    assert set(surges.rates()) == {("a", "b")}

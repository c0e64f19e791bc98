"""The remapping agent over channels that fail as real ones cannot be made to, in no time."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.act.remap import Care, Phase, Ramp, RemapAgent, Shares, by_location, wrong_way
from controller.errors import ControllerError
from controller.state import Instance, Service, ServiceSplit

EAST, WEST = {"east": 1.0}, {"west": 1.0}
RAMP = Ramp(step=0.25, interval_s=5.0, retries=1, backoff_s=1.0)


class Time:
    """A clock that is advanced by waiting for it."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def wall(self) -> float:
        return self.now_s

    def monotonic(self) -> float:
        return self.now_s

    async def sleep_until(self, monotonic_s: float) -> None:
        self.now_s = max(self.now_s, monotonic_s)
        await asyncio.sleep(0)


class Held:
    """A channel that shows what it was told, unless told otherwise."""

    name, grain = "held", 0.0

    def __init__(self, shares: Shares | None = None) -> None:
        self.shares: Shares = shares or {}
        self.told: list[Shares] = []
        self.refuses: Callable[[Shares], bool] = lambda _: False
        self.shows: Shares | None = None

    async def apply(self, shares: Shares) -> None:
        if self.refuses(shares):
            raise ControllerError("refused")
        self.told.append(shares)
        self.shares = shares

    async def read(self) -> Shares:
        return self.shares if self.shows is None else self.shows


async def ended(channel: Held, goal: Shares, **settings: Any) -> RemapAgent:
    """Shift to a goal and return the agent once that ended."""
    agent = RemapAgent({"web": [channel]}, RAMP, Time(), **settings)
    await agent.start()
    agent.take({"web": goal, "unknown": goal})
    async with asyncio.timeout(30):
        while not agent.converged:
            await asyncio.sleep(0)
    await agent.close()
    return agent


async def test_shift_goes_by_steps_and_reports_how_long_it_took() -> None:
    channel = Held(EAST)
    agent = await ended(channel, WEST)
    assert [round(one.get("west", 0.0), 6) for one in channel.told] == [0.25, 0.5, 0.75, 1.0]
    last = agent.converged[0]
    assert (last.phase, last.seconds, last.steps) == (Phase.DONE, pytest.approx(15.0), 4)
    assert agent.in_force("web") == WEST


async def test_unknown_origin_takes_one_step() -> None:
    channel = Held()
    await ended(channel, WEST)
    assert channel.told == [WEST]


async def test_step_that_is_refused_is_retried_and_then_all_goes_back() -> None:
    channel = Held(EAST)
    channel.refuses = lambda shares: shares.get("west", 0.0) > 0.6
    agent = await ended(channel, WEST)
    assert channel.shares == EAST
    assert agent.converged[0].phase is Phase.ROLLED_BACK
    assert agent.converged[0].seconds is None
    assert agent.counts["failed_steps"] == 2


async def test_outside_that_shows_something_else_sends_it_back() -> None:
    channel = Held(EAST)
    channel.shows = EAST
    agent = await ended(channel, WEST)
    assert channel.told[-1] == EAST
    assert "shows" in agent.converged[0].reason


async def test_connections_that_go_the_wrong_way_send_it_back() -> None:
    measured = iter([{"east": 0.9, "west": 0.1}, {"east": 1.0}, {"east": 1.0}])
    channel = Held(EAST)
    agent = await ended(channel, WEST, measure=lambda _: next(measured))
    assert agent.converged[0].phase is Phase.ROLLED_BACK
    assert "wrong way" in agent.converged[0].reason
    assert channel.shares == EAST


async def test_watch_that_is_unwell_sends_it_back() -> None:
    channel = Held(EAST)
    agent = await ended(channel, WEST, watch=lambda _: "instances fail")
    assert agent.converged[0].reason == "instances fail"
    assert channel.shares == EAST


async def test_change_of_others_is_found_and_put_right() -> None:
    channel = Held(EAST)
    agent = RemapAgent({"web": [channel]}, RAMP, Time(), care=Care(verify_s=0.01))
    await agent.start()
    agent.take({"web": EAST})
    async with asyncio.timeout(30):
        while not agent.converged:
            await asyncio.sleep(0)
        channel.shares = {"east": 0.5, "west": 0.5}
        while len(agent.converged) < 2:
            await asyncio.sleep(0.005)
    await agent.close()
    assert channel.shares == EAST
    assert agent.counts["drifted"] == 1


async def test_failed_target_is_left_alone_and_wanting_nothing_changes_nothing() -> None:
    channel = Held(EAST)
    channel.refuses = lambda shares: "west" in shares
    agent = RemapAgent({"web": [channel]}, RAMP, Time(), care=Care(hold_off_s=1e9))
    await agent.start()
    agent.take({"web": WEST})
    async with asyncio.timeout(30):
        while not agent.converged:
            await asyncio.sleep(0)
    for _ in range(50):
        agent.take({"web": WEST})
        agent.take({"web": {}})
        agent.take({"web": {"east": -1.0}})
        await asyncio.sleep(0)
    await agent.close()
    assert len(agent.converged) == 1
    assert agent.counts["nothing_wanted"] == agent.counts["bad_shares"] == 50
    assert agent.status()["services"]["web"]["phase"] == "rolled back"


async def test_new_goal_is_turned_to_between_steps() -> None:
    channel = Held(EAST)
    agent = RemapAgent({"web": [channel]}, RAMP, Time())

    def back(shares: Shares) -> bool:
        if shares.get("west", 0.0) >= 0.5:
            agent.take({"web": EAST})
        return False

    channel.refuses = back
    await agent.start()
    agent.take({"web": WEST})
    async with asyncio.timeout(30):
        while not agent.converged:
            await asyncio.sleep(0)
    await agent.close()
    assert [round(one.get("west", 0.0), 6) for one in channel.told] == [0.25, 0.5, 0.25, 0.0]
    assert agent.counts["retargeted"] == 1


async def test_pause_stops_a_shift_between_two_steps() -> None:
    channel = Held(EAST)
    agent = RemapAgent({"web": [channel]}, RAMP, Time())

    def stop(shares: Shares) -> bool:
        if shares.get("west", 0.0) >= 0.5:
            agent.pause()
        return False

    channel.refuses = stop
    await agent.start()
    agent.take({"web": WEST})
    for _ in range(100):
        await asyncio.sleep(0)
    assert channel.shares == {"east": 0.5, "west": 0.5}
    channel.refuses = lambda _: False
    agent.take({"web": WEST})
    async with asyncio.timeout(30):
        while not agent.converged:
            await asyncio.sleep(0)
    await agent.close()
    assert channel.shares == WEST


@given(st.floats(0, 1), st.floats(0, 1))
def test_way_is_wrong_only_when_measured_against_what_was_asked(before: float, now: float) -> None:
    seen = [{"east": share, "west": 1 - share} for share in (before, now)]
    assert wrong_way(EAST, WEST, seen[0], seen[1], 0.05) == (now - before > 0.05)
    assert not wrong_way(EAST, WEST, {}, seen[1], 0.05)
    assert not wrong_way(EAST, EAST, seen[0], seen[1], 0.05)


def test_shares_of_instances_become_shares_of_locations() -> None:
    services = [
        Service("web", "192.0.2.1", 6, 80,
                (Instance("a", "east", "10.0.0.1"), Instance("b", "east", "10.0.0.2"),
                 Instance("c", "west", "10.0.0.3"))),
    ]  # fmt: skip
    splits = [
        ServiceSplit("web", "x", ("a", "b", "c"), (0.25, 0.25, 0.5), ()),
        ServiceSplit("web", "y", ("c",), (1.0,), ()),
        ServiceSplit("gone", "x", ("d",), (1.0,), ()),
        ServiceSplit("web", "z", (), (), ()),
    ]
    assert by_location(splits, services) == {"web": {"east": 0.25, "west": 0.75}}
    weighted = by_location(splits, services, {"x": 3.0})
    assert weighted == {"web": {"east": 0.375, "west": 0.625}}

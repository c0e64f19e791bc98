"""Who is whose shadow: chosen from what agents say, told to them, kept for the next brain."""

import json
from dataclasses import replace
from typing import Any

import pytest

from bus import BusError
from bus.subjects import SHADOWED, agent_shadows
from controller.shadows import GONE_S, REFRESH_S, Shadows
from headers.files.network import AgentAddress, Engine, Location, Network
from headers.messages import AgentStatus, AssignShadows, EchoReport, ShadowsAssigned, StreamReport


class Time:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep_until(self, monotonic_s: float) -> None:
        self.now = monotonic_s


class Agents:
    """A bus with agents on it, and a store."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.told: list[tuple[str, AssignShadows]] = []
        self.deaf: set[str] = set()
        self.error = ""

    async def get(self, key: str) -> bytes | None:
        return self.kept.get(key)

    async def put(self, key: str, value: bytes) -> None:
        self.kept[key] = value

    async def request(self, subject: str, message: AssignShadows, *, timeout_s: float) -> Any:
        assert timeout_s <= 1
        if subject in self.deaf:
            raise BusError("nobody is there to answer")
        self.told.append((subject, message))
        return ShadowsAssigned(message.generation, len(message.assignments), self.error)


def network(**engines: Any) -> Network:
    """Return three engines of a stage and one of none, each with an agent of its own."""
    locations = tuple(
        Location(
            f"L{n}", n, f"10.{n}.0.0/16", f"10.{n}.255.254",
            replace(
                Engine(f"e{n}", n, ("h",), "f", 1, stage="edge" if n < 4 else ""),
                **engines.get(f"e{n}", {}),
            ),
        )
        for n in (1, 2, 3, 4)
    )  # fmt: skip
    agents = tuple(AgentAddress(f"a{n}", f"192.0.2.{n}") for n in (1, 2, 3, 4))
    return Network("four", locations, (), agents=agents)


def status(n: int, **changes: Any) -> AgentStatus:
    fields = {"connections": 100, "connections_most": 1000, **changes}
    return AgentStatus(f"a{n}", (n,), 1, 1, 1.0, "0", {}, **fields)


@pytest.fixture
def made() -> tuple[Shadows, Agents, Time]:
    clock, bus = Time(), Agents()
    shadows = Shadows(clock, lambda: True)
    shadows.adopt(network(), 5)
    for n in (1, 2, 3, 4):
        shadows.hear(status(n))
    return shadows, bus, clock


async def test_engines_of_a_stage_get_shadows_and_all_agents_know(
    made: tuple[Shadows, Agents, Time],
) -> None:
    shadows, bus, _ = made
    await shadows.look(bus)  # type: ignore[arg-type]
    assert {n: set(x.shadows) for n, x in shadows.assignments.items()} == {
        1: {2, 3},
        2: {1, 3},
        3: {1, 2},
    }
    assert {subject for subject, _ in bus.told} == {agent_shadows(f"a{n}") for n in (1, 2, 3, 4)}
    message = bus.told[0][1]
    assert (message.term, message.generation) == (5, 1)
    first = message.assignments[0]
    assert (first.engine, first.ownership) == (1, 1)
    assert {(x.engine, x.host, x.port) for x in first.shadows} == {
        (2, "192.0.2.2", 6610),
        (3, "192.0.2.3", 6610),
    }


async def test_nobody_is_told_twice_before_it_is_to_be_refreshed(
    made: tuple[Shadows, Agents, Time],
) -> None:
    shadows, bus, clock = made
    await shadows.look(bus)  # type: ignore[arg-type]
    await shadows.look(bus)  # type: ignore[arg-type]
    assert len(bus.told) == 4
    # one that starts again knows nothing
    shadows.hear(replace(status(2), started_s=2.0))
    await shadows.look(bus)  # type: ignore[arg-type]
    assert [subject for subject, _ in bus.told[4:]] == [agent_shadows("a2")]
    clock.now += REFRESH_S
    for n in (1, 2, 3, 4):
        shadows.hear(status(n))
    await shadows.look(bus)  # type: ignore[arg-type]
    assert [message.generation for _, message in bus.told[5:]] == [2] * 4


async def test_one_that_did_not_answer_is_told_again(
    made: tuple[Shadows, Agents, Time],
) -> None:
    shadows, bus, _ = made
    bus.deaf = {agent_shadows("a1")}
    await shadows.look(bus)  # type: ignore[arg-type]
    assert shadows.problem_of(1) == "nobody is there to answer"
    bus.deaf.clear()
    await shadows.look(bus)  # type: ignore[arg-type]
    assert [subject for subject, _ in bus.told[3:]] == [agent_shadows("a1")]
    assert shadows.problem_of(1) == ""
    bus.error = "the network file does not say where"
    shadows.hear(replace(status(1), started_s=2.0))
    await shadows.look(bus)  # type: ignore[arg-type]
    assert shadows.problem_of(1) == "the network file does not say where"


async def test_shadow_stays_while_its_agent_is_away_for_a_moment(
    made: tuple[Shadows, Agents, Time],
) -> None:
    shadows, bus, clock = made
    await shadows.look(bus)  # type: ignore[arg-type]
    clock.now += GONE_S - 1
    for n in (1, 2, 4):
        shadows.hear(status(n))
    await shadows.look(bus)  # type: ignore[arg-type]
    assert set(shadows.assignments[1].shadows) == {2, 3}
    clock.now += 2
    for n in (1, 2, 4):
        shadows.hear(status(n))
    await shadows.look(bus)  # type: ignore[arg-type]
    assert shadows.assignments[1].shadows == (2,)
    assert shadows.assignments[1].missing == 1
    assert shadows.assignments[1].generation == 2


async def test_engine_whose_data_plane_is_down_is_no_shadow(
    made: tuple[Shadows, Agents, Time],
) -> None:
    shadows, bus, _ = made
    shadows.hear(replace(status(4), echoes=(EchoReport(4, 3, 0.001, 9, 5, True),)))
    await shadows.look(bus)  # type: ignore[arg-type]
    assert shadows.assignments[1].shadows == (2,)


async def test_same_agent_and_same_rack_come_last(made: tuple[Shadows, Agents, Time]) -> None:
    shadows, bus, _ = made
    rack = {"risk_groups": ("rack-1",)}
    shadows.adopt(network(e1=rack, e2=rack), 5)
    await shadows.look(bus)  # type: ignore[arg-type]
    assert shadows.assignments[1].shadows == (3, 2)
    assert shadows.assignments[1].shared == (2,)


async def test_next_brain_changes_nothing_without_need(
    made: tuple[Shadows, Agents, Time],
) -> None:
    shadows, bus, clock = made
    near, far = EchoReport(1, 3, 0.001, 9, 9, False), EchoReport(1, 2, 0.002, 9, 9, False)
    shadows.hear(replace(status(1), echoes=(near, far)))
    await shadows.look(bus)  # type: ignore[arg-type]
    assert shadows.assignments[1].shadows == (3, 2)
    following = Shadows(clock, lambda: True)
    following.adopt(network(), 6)
    for n in (1, 2, 3, 4):
        following.hear(status(n))
    await following.look(bus)  # type: ignore[arg-type]
    assert following.assignments[1].shadows == (3, 2)
    assert following.assignments[1].generation == 1
    assert bus.told[-1][1].term == 6


async def test_next_brain_waits_for_agents_before_it_changes_anything(
    made: tuple[Shadows, Agents, Time],
) -> None:
    shadows, bus, clock = made
    await shadows.look(bus)  # type: ignore[arg-type]
    kept = bus.kept[SHADOWED]
    following = Shadows(clock, lambda: True)
    following.adopt(network(), 6)
    bus.told.clear()
    for _ in range(3):
        for n in (1, 2, 4):
            following.hear(status(n))
        await following.look(bus)  # type: ignore[arg-type]
        assert (bus.kept[SHADOWED], bus.told) == (kept, [])
        clock.now += GONE_S / 3
    clock.now += 1
    # the third is not only late
    for n in (1, 2, 4):
        following.hear(status(n))
    await following.look(bus)  # type: ignore[arg-type]
    assert following.assignments[1].shadows == (2,)


@pytest.mark.parametrize("damage", [b"{", b"[]", b'{"1": 5}', b'{"x": [[2], 1]}'])
async def test_what_is_kept_and_damaged_is_chosen_anew(
    made: tuple[Shadows, Agents, Time], damage: bytes
) -> None:
    shadows, bus, _ = made
    bus.kept[SHADOWED] = damage
    await shadows.look(bus)  # type: ignore[arg-type]
    assert set(json.loads(bus.kept[SHADOWED])) == {"1", "2", "3"}


async def test_brain_that_only_observes_tells_nobody(
    made: tuple[Shadows, Agents, Time],
) -> None:
    _, bus, clock = made
    observing = Shadows(clock, lambda: False)
    observing.adopt(network(), 5)
    observing.hear(status(1))
    await observing.look(bus)  # type: ignore[arg-type]
    assert bus.told == []


async def test_streams_of_those_that_are_there_are_shown(
    made: tuple[Shadows, Agents, Time],
) -> None:
    shadows, _, clock = made
    report = StreamReport(1, 2, "shadow", "following", 5, 0, 9.5, 1.0, 0.0, 10, 0)
    shadows.hear(status(2, streams=(report,)))
    ((name, shown),) = [(one.agent, one.report) for one in shadows.streams()]
    assert (name, shown) == ("a2", report)
    clock.now += 4
    assert shadows.streams() == ()

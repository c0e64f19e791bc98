"""Acting on a plan over a real socket; only what goes wrong is played.

The southbound and the agents here answer as the real ones do, and can be told to fail.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bus import BusError, SystemClock, frames
from controller.act import Actor
from controller.epochs import Epochs
from controller.observe import Agent, Collector
from controller.southbound_link import SouthboundLink
from controller.state import BUCKETS, Circuit, CircuitFilter, Plan, Refused, Split
from headers.files.network import Network
from headers.messages import (
    Applied,
    ApplyEngines,
    ApplySwitches,
    EngineApplied,
    NetworkLinks,
    RefusedCircuit,
    SwitchApplied,
    SwitchDesired,
)

DIRECT = Circuit(1, "a", "b", ("a>b",))
DETOUR = Circuit(2, "a", "b", ("a>c", "c>b"))


def plan(circuit: Circuit) -> Plan:
    split = Split("a", "b", (circuit.spi,), (1.0,), (circuit.spi,) * BUCKETS)
    return Plan(1, 1, 0x1_000_007, (circuit,), (split,), {}, {}, 0.5, "two-stage", "a test")


@dataclass
class Southbound:
    """The other end of the socket; ``away`` switches are not connected.

    ``full``: circuits that a switch refuses, by its number; ``newer``: only from this generation.
    """

    away: set[int] = field(default_factory=set)
    full: dict[int, set[int]] = field(default_factory=dict)
    newer: int = 0
    refusal: str = ""
    hang_up: bool = False
    log: list[Any] = field(default_factory=list)

    def refused(self, state: SwitchDesired) -> tuple[RefusedCircuit, ...]:
        asked = {
            label.spi for label in state.labels if label.generation >= self.newer
        } & self.full.get(state.dpid, set())
        return tuple(RefusedCircuit(spi, "table full") for spi in sorted(asked))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not reader.at_eof():
            try:
                wanted = await frames.read(reader)
            except asyncio.IncompleteReadError:
                break
            assert isinstance(wanted, ApplySwitches)
            self.log.append(wanted)
            if self.hang_up:
                break
            done = tuple(
                SwitchApplied(s.dpid, False, 0, 0, 0, "not connected")
                if s.dpid in self.away
                else SwitchApplied(s.dpid, True, 2, 1, 0, refused=self.refused(s))
                for s in wanted.switches
            )
            writer.write(frames.pack(Applied(wanted.generation, done, self.refusal)))
        writer.close()


@dataclass
class Agents:
    """Where the bus would be: agents that answer, save those that are ``gone``."""

    log: list[Any]
    gone: set[str] = field(default_factory=set)
    foreign: bool = False
    store: dict[str, bytes] = field(default_factory=dict)

    async def get(self, key: str) -> bytes | None:
        return self.store.get(key)

    async def put(self, key: str, value: bytes) -> None:
        self.store[key] = value

    async def request(self, subject: str, body: ApplyEngines) -> Any:
        name = subject.split(".")[2]
        if name in self.gone:
            raise BusError(f"{subject}: no answer (TimeoutError)")
        self.log.append(body)
        if self.foreign:
            return body
        return EngineApplied(body.generation, 3, 0, 4, 0)


@dataclass
class Scene:
    actor: Actor
    southbound: Southbound
    agents: Agents
    log: list[Any]

    def engines(self) -> list[ApplyEngines]:
        return [m for m in self.log if isinstance(m, ApplyEngines)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


@pytest_asyncio.fixture
async def scene(network: Network, discovered: NetworkLinks, tmp_path: Path) -> AsyncIterator[Scene]:
    collector = Collector(network, 1.0, 1.0)
    collector.take_network(discovered)
    collector.agents["m1"] = Agent("m1", (1,), 0.0, 0, 0.0)
    collector.agents["m2"] = Agent("m2", (2, 3), 0.0, 0, 0.0)
    log: list[Any] = []
    southbound, agents = Southbound(log=log), Agents(log)
    server = await asyncio.start_unix_server(southbound.serve, tmp_path / "socket")
    link = SouthboundLink(tmp_path / "socket", lambda _: None, lambda: None)
    running = asyncio.create_task(link.run())
    await until(lambda: link.up)
    actor = Actor(
        collector,
        link,
        agents,  # type: ignore[arg-type]
        term=4,
        epochs=Epochs(3600),
        clock=SystemClock(),
    )
    yield Scene(actor, southbound, agents, log)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    server.close()
    await server.wait_closed()


async def test_switches_come_before_engines_and_all_is_added_up(scene: Scene) -> None:
    outcome, _ = await scene.actor.apply(plan(DIRECT), None)
    assert [type(m) for m in scene.log] == [ApplySwitches, ApplyEngines, ApplyEngines]
    assert outcome.errors == ()
    assert (outcome.flows_added, outcome.flows_removed) == (6, 3)
    assert (outcome.circuits_added, outcome.circuits_removed) == (1, 0)
    assert (outcome.buckets_moved, outcome.rule_errors) == (8, 0)
    assert outcome.act_ms > 0


async def test_each_agent_gets_its_own_engines_with_term_generation_and_forecast(
    scene: Scene,
) -> None:
    await scene.actor.apply(plan(DIRECT), None)
    numbers = [{engine.number for engine in m.engines} for m in scene.engines()]
    assert sorted(numbers, key=min) == [{1}, {2, 3}]
    assert {(m.term, m.generation, m.forecast) for m in scene.engines()} == {(4, 1, 7)}
    assert (scene.log[0].term, scene.log[0].generation) == (4, 1)


async def test_generation_grows_with_every_plan(scene: Scene) -> None:
    for _ in range(3):
        await scene.actor.apply(plan(DIRECT), plan(DIRECT))
    assert [m.generation for m in scene.log if isinstance(m, ApplySwitches)] == [1, 2, 3]


async def test_old_path_is_still_there_while_traffic_moves_to_the_new_one(scene: Scene) -> None:
    outcome, _ = await scene.actor.apply(plan(DETOUR), plan(DIRECT))
    labels = {x.spi for state in scene.log[0].switches for x in state.labels}
    assert labels == {1, 2}
    (edge,) = [e for m in scene.engines() for e in m.engines if e.number == 1]
    assert {c.spi for c in edge.circuits} == {1, 2}
    assert set(edge.demands[0].buckets) == {2}
    assert (outcome.circuits_added, outcome.circuits_removed) == (1, 1)


async def test_traffic_stays_where_it_is_when_a_switch_of_the_new_path_is_away(
    scene: Scene,
) -> None:
    scene.southbound.away = {3}
    outcome, _ = await scene.actor.apply(plan(DETOUR), plan(DIRECT))
    assert outcome.errors == ("switch 3: not connected",)
    assert scene.engines() == []
    assert outcome.buckets_moved == 0


def labels(message: ApplySwitches) -> set[int]:
    return {label.spi for state in message.switches for label in state.labels}


async def test_path_in_use_stays_for_as_long_as_traffic_could_not_be_moved_off_it(
    scene: Scene,
) -> None:
    await scene.actor.apply(plan(DIRECT), None)
    scene.southbound.away = {3}
    await scene.actor.apply(plan(DETOUR), plan(DIRECT))
    await scene.actor.apply(plan(DETOUR), plan(DETOUR))
    await scene.actor.apply(plan(DETOUR), plan(DETOUR))
    assert [labels(m) for m in scene.log if isinstance(m, ApplySwitches)][1:] == [{1, 2}] * 3
    scene.southbound.away = set()
    await scene.actor.apply(plan(DETOUR), plan(DETOUR))
    await scene.actor.apply(plan(DETOUR), plan(DETOUR))
    assert [labels(m) for m in scene.log if isinstance(m, ApplySwitches)][-2:] == [{1, 2}, {2}]


async def test_paths_of_an_agent_that_is_gone_stay_until_it_takes_a_newer_plan(
    scene: Scene,
) -> None:
    await scene.actor.apply(plan(DIRECT), None)
    scene.agents.gone = {"m1"}
    for _ in range(3):
        await scene.actor.apply(plan(DETOUR), plan(DETOUR))
        assert labels([m for m in scene.log if isinstance(m, ApplySwitches)][-1]) == {1, 2}
    scene.agents.gone = set()
    await scene.actor.apply(plan(DETOUR), plan(DETOUR))
    await scene.actor.apply(plan(DETOUR), plan(DETOUR))
    assert labels([m for m in scene.log if isinstance(m, ApplySwitches)][-1]) == {2}


async def test_refused_circuit_is_taken_back_and_its_demand_keeps_what_it_had(
    scene: Scene,
) -> None:
    await scene.actor.apply(plan(DIRECT), None)
    scene.southbound.full = {3: {2}}
    outcome, in_force = await scene.actor.apply(plan(DETOUR), plan(DIRECT))
    assert outcome.refused == (Refused("a", "b", ("a>c", "c>b"), "switch 3: table full"),)
    assert outcome.errors == ("circuit 2: switch 3: table full",)
    assert in_force.circuits == (DIRECT,)
    assert set(in_force.splits[0].buckets) == {1}
    assert in_force.notes == ("circuit 2 refused: switch 3: table full",)
    asked = [m for m in scene.log if isinstance(m, ApplySwitches)]
    assert [labels(m) for m in asked] == [{1}, {1, 2}, {1}]
    edges = [e for m in scene.engines()[2:] for e in m.engines if e.number == 1]
    assert [set(e.demands[0].buckets) for e in edges] == [{1}]


async def test_circuit_that_is_refused_in_a_new_form_stays_in_its_old_one(scene: Scene) -> None:
    await scene.actor.apply(plan(DIRECT), None)
    scene.southbound.full, scene.southbound.newer = {1: {1}}, 9
    changed = replace(DIRECT, backup=("a>c", "c>b"), generation=9)

    # refuses what has a way around a dead port, and takes what has none
    refused = Southbound.refused

    def only_protected(self: Southbound, state: SwitchDesired) -> tuple[RefusedCircuit, ...]:
        return refused(self, state) if any(x.backup_port for x in state.labels) else ()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Southbound, "refused", only_protected)
        outcome, in_force = await scene.actor.apply(plan(changed), plan(DIRECT))
    assert in_force.circuits == (replace(DIRECT, generation=9),)
    assert [one.reason for one in outcome.refused] == ["switch 1: table full"]
    assert set(in_force.splits[0].buckets) == {1}


async def test_circuit_that_is_refused_in_every_form_is_left(scene: Scene) -> None:
    await scene.actor.apply(plan(DIRECT), None)
    scene.southbound.full = {2: {1}}
    outcome, in_force = await scene.actor.apply(plan(DIRECT), plan(DIRECT))
    assert (in_force.circuits, in_force.splits) == ((), ())
    assert len(outcome.refused) == 1


async def test_circuit_without_its_firewall_is_never_left_open(scene: Scene) -> None:
    shut = CircuitFilter(2, (), allow_rest=False)
    await scene.actor.apply(replace(plan(DETOUR), filters=(shut,)), None)
    await scene.actor.apply(plan(DIRECT), plan(DETOUR))
    asked = [m for m in scene.log if isinstance(m, ApplySwitches)]
    for message in asked:
        filters = {f.spi for state in message.switches for f in state.filters}
        assert filters == {2}
        assert 2 in labels(message)


async def test_switch_that_no_new_path_needs_may_be_away(scene: Scene) -> None:
    scene.southbound.away = {3}
    outcome, _ = await scene.actor.apply(plan(DIRECT), None)
    assert outcome.errors == ("switch 3: not connected",)
    assert len(scene.engines()) == 2


async def test_plan_of_a_brain_that_is_deposed_moves_nothing(scene: Scene) -> None:
    scene.southbound.refusal = "term 4 is over; this is term 5"
    outcome, _ = await scene.actor.apply(plan(DIRECT), plan(DIRECT))
    assert outcome.errors == ("term 4 is over; this is term 5",)
    assert scene.engines() == []


async def test_southbound_that_goes_away_is_an_error_in_words(scene: Scene) -> None:
    scene.southbound.hang_up = True
    outcome, _ = await scene.actor.apply(plan(DIRECT), None)
    assert outcome.errors == ("switches: the southbound went away",)
    assert scene.engines() == []


async def test_southbound_that_is_not_there_is_an_error_at_once(
    network: Network, tmp_path: Path
) -> None:
    link = SouthboundLink(tmp_path / "none", lambda _: None, lambda: None)
    actor = Actor(
        Collector(network, 1.0, 1.0),
        link,
        Agents([]),  # type: ignore[arg-type]
        1,
        epochs=Epochs(3600),
        clock=SystemClock(),
    )
    outcome, _ = await actor.apply(plan(DIRECT), None)
    assert outcome.errors == ("switches: the southbound is not there",)


async def test_link_connects_again_after_the_southbound_came_back(scene: Scene) -> None:
    scene.southbound.hang_up = True
    assert (await scene.actor.apply(plan(DIRECT), None))[0].errors
    scene.southbound.hang_up = False

    async def again() -> bool:
        return not (await scene.actor.apply(plan(DIRECT), None))[0].errors

    await eventually(again)


async def eventually(attempt: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(5):
        while not await attempt():
            await asyncio.sleep(0.01)


async def test_agent_that_does_not_answer_is_named_and_others_are_served(scene: Scene) -> None:
    scene.agents.gone = {"m2"}
    outcome, _ = await scene.actor.apply(plan(DIRECT), None)
    assert len(scene.engines()) == 1
    (error,) = outcome.errors
    assert error.startswith("agent m2: ")
    assert "no answer" in error


async def test_answer_of_another_kind_is_an_error(scene: Scene) -> None:
    scene.agents.foreign = True
    outcome, _ = await scene.actor.apply(plan(DIRECT), None)
    assert len(outcome.errors) == 2
    assert all("an answer of another kind" in error for error in outcome.errors)

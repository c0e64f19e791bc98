"""Connections of one engine on another: from the programs' events to the programs' table."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dataplane import syscall
from dataplane.connections import Connections, Timeouts
from dataplane.maps import CONNECTION, REPLICA, flow_key
from dataplane.shadow import PromotedTable, Shadowing, Where
from dataplane.shadow.replica import Replica
from headers.messages import (
    ApplyEngines,
    Backend,
    EdgeCircuit,
    EngineDesired,
    Service,
    ShadowPlace,
)
from headers.replication import (
    FIELDS,
    GONE,
    SHADOWS,
    WHOLE,
    Note,
    Section,
    Shadows,
    pack_shadows,
)
from headers.replication.record import BACKEND, FAMILY, SOURCE, SOURCE_PORT, STATE
from tests.fuzz.frames import frame, ipv4, tcp
from tests.fuzz.world import CONNECTIONS, Runner, World, make, pin_to_one_processor

ACK, FIN, SYN = 0x10, 0x11, 0x02
VIRTUAL = bytes([10, 9, 0, 1])
SECRET = bytes(range(32))
PRIMARY, SHADOW = 1, 2
SAME = {number: number for number in range(1, 1000)}


def desired() -> ApplyEngines:
    """Return a service on two engines: new connections go to instance 7 here, to 8 there.

    Each engine has its own circuit to engine 3, which they are behind, and own numbers for them.
    """

    def engine(number: int, backend: int) -> EngineDesired:
        service = Service("10.9.0.1", 6, 80, (backend,) * 256)
        circuit = EdgeCircuit(4 + number, 3 << 16, 1 << 28, 1)
        return EngineDesired(number, (), (circuit,), (), (), (service,))

    return ApplyEngines(
        1,
        1,
        0,
        7,
        "02:f0:00:00:00:01",
        (engine(PRIMARY, 11), engine(SHADOW, 22)),
        backends=tuple(
            Backend(number, 3, instance, (circuit,) * 256)
            for number, instance, circuit in ((11, 7, 5), (12, 8, 5), (21, 7, 6), (22, 8, 6))
        ),
        insert_rate=1 << 31,
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    base = tmp_path_factory.mktemp("shadows")
    everywhere = os.sched_getaffinity(0)
    pin_to_one_processor()
    made = make(base, "sh")
    yield made
    os.sched_setaffinity(0, everywhere)
    made.close()


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


class Pair:
    """Engine 1's agent and engine 2's, each with what it replicates."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.runner = Runner()
        self.known = Connections(world.maps, Timeouts(idle_s=300, closing_s=10))
        self.generation = 0
        self.agents = {n: self.agent(n) for n in (PRIMARY, SHADOW)}
        self.known.followers.append(self.agents[PRIMARY])

    def agent(self, engine: int) -> Shadowing:
        made = Shadowing(
            [engine],
            SECRET,
            self.world.maps,
            Where("127.0.0.1", 0),
            # engine 1 is nobody's shadow, and both use the same maps
            lambda used: self.world.state.use_replicas(used=used) if engine == SHADOW else None,
            self.world.state.renew,
        )
        made.use_ways(self.world.state.ways())
        return made

    def assign(self, *shadows: int, ownership: int = 1) -> None:
        """Tell both who engine 1's shadows are."""
        self.generation += 1
        for agent in self.agents.values():
            agent.look_after(time.monotonic())
        places = []
        for shadow in shadows:
            where = self.agents[shadow].address
            assert where is not None
            places.append(ShadowPlace(shadow, where.host, where.port))
        content = pack_shadows(Shadows(ownership, tuple(places)))
        note = Note(SHADOWS, PRIMARY, 1, self.generation, 0, content)
        for agent in self.agents.values():
            assert agent.take([note]) == 1

    def packet(self, engine: int, port: int, flags: int, times: int = 1) -> None:
        data = frame(ipv4(bytes([10, 1, 0, 5]), VIRTUAL, 6, tcp(port, 80, flags)))
        ingress = self.world.engines[engine].hosts[0]
        for _ in range(times):
            self.runner.run(self.world.programs["balance"], data, ingress)
        self.agents[PRIMARY].take_events(self.known.read_events()[0])

    def held(self, engine: int) -> dict[int, int]:
        """Return the backends of an engine's connections, by the client's port."""
        items = self.world.maps.connections.items()
        return {
            int.from_bytes(key[32:34], "big"): int(CONNECTION.unpack(value)[4])
            for key, value in items.items()
            if int.from_bytes(key[38:], "little") == engine
        }

    def replicas(self) -> dict[int, tuple[Any, ...]]:
        items = self.world.maps.replicas.items()
        return {int.from_bytes(key[32:34], "big"): REPLICA.unpack(v) for key, v in items.items()}

    def close(self) -> None:
        for agent in self.agents.values():
            agent.close()


@pytest.fixture
async def pair(world: World) -> AsyncIterator[Pair]:
    for key in world.maps.replicas.items():
        world.maps.replicas.remove(key)
    world.forget()
    world.state.term = 0
    world.configure(desired())
    world.state.use_replicas(used=False)
    world.state.renew()
    world.zero()
    Connections(world.maps).read_events()
    made = Pair(world)
    yield made
    made.close()


async def test_shadow_goes_on_with_a_connection_where_its_primary_had_it(pair: Pair) -> None:
    pair.packet(PRIMARY, 1000, SYN)
    pair.packet(PRIMARY, 1000, ACK)
    pair.assign(SHADOW)
    pair.packet(PRIMARY, 1001, ACK, 2)
    assert pair.held(PRIMARY) == {1000: 11, 1001: 11}
    # the first began before anybody replicated: the sweep finds it
    pair.known.sweep()
    await until(lambda: len(pair.replicas()) == 2)
    assert pair.replicas() == {1000: (21, PRIMARY), 1001: (21, PRIMARY)}
    for port in (1000, 1001):
        pair.packet(SHADOW, port, ACK)
    pair.packet(SHADOW, 1002, ACK, 2)
    assert pair.held(SHADOW) == {1000: 21, 1001: 21, 1002: 22}
    counted = pair.world.reasons()
    assert counted[SHADOW, "promoted"][0] == 2
    assert counted[SHADOW, "opened"][0] == 1


async def test_without_replication_the_connection_is_led_elsewhere(pair: Pair) -> None:
    pair.packet(PRIMARY, 1000, ACK, 2)
    pair.packet(SHADOW, 1000, ACK, 2)
    assert pair.held(SHADOW) == {1000: 22}


async def test_instance_that_the_shadow_learns_of_later_is_promoted_then(pair: Pair) -> None:
    ways = pair.world.state.ways()
    pair.agents[SHADOW].use_ways(ways[ways["instance"] != (3 << 16 | 7)])
    pair.assign(SHADOW)
    pair.packet(PRIMARY, 1000, ACK, 2)
    await until(lambda: pair.agents[SHADOW].status()[0].held == 1)
    assert pair.replicas() == {}
    pair.agents[SHADOW].use_ways(ways)
    assert pair.replicas() == {1000: (21, PRIMARY)}


async def test_what_ended_leaves_the_shadow_too(pair: Pair) -> None:
    pair.assign(SHADOW)
    for port in range(1000, 1100):
        pair.packet(PRIMARY, port, ACK, 2)
    await until(lambda: len(pair.replicas()) == 100)
    for port in range(1000, 1050):
        pair.packet(PRIMARY, port, FIN)
    times = [CONNECTION.unpack(v)[0] for v in pair.world.maps.connections.items().values()]
    pair.known.sweep(max(times) + 11 * 10**9)
    await until(lambda: set(pair.replicas()) == set(range(1050, 1100)))
    # both are in the open for the API
    (sent,) = pair.agents[PRIMARY].status()
    (taken,) = pair.agents[SHADOW].status()
    assert (sent.role, taken.role, taken.held) == ("primary", "shadow", 50)
    assert taken.phase == "following"
    assert not taken.diverged


async def test_agent_of_the_shadow_starts_again_and_nothing_is_missing_meanwhile(
    pair: Pair,
) -> None:
    pair.assign(SHADOW)
    pair.packet(PRIMARY, 1000, ACK, 2)
    pair.packet(PRIMARY, 1001, ACK, 2)
    await until(lambda: len(pair.replicas()) == 2)
    pair.agents[SHADOW].close()
    # what ends while nobody listens
    pair.packet(PRIMARY, 1001, FIN)
    times = [CONNECTION.unpack(v)[0] for v in pair.world.maps.connections.items().values()]
    pair.known.sweep(max(times) + 11 * 10**9)
    pair.agents[SHADOW] = pair.agent(SHADOW)
    assert set(pair.replicas()) == {1000, 1001}
    pair.assign(SHADOW)
    await until(lambda: set(pair.replicas()) == {1000})


async def test_shadow_that_is_one_no_longer_keeps_nothing(pair: Pair) -> None:
    pair.assign(SHADOW)
    pair.packet(PRIMARY, 1000, ACK, 2)
    await until(lambda: len(pair.replicas()) == 1)
    pair.assign()
    assert pair.replicas() == {}
    assert pair.agents[SHADOW].status() == ()
    assert not pair.agents[SHADOW].active


async def test_own_connection_gives_way_to_one_that_began_anew_elsewhere(pair: Pair) -> None:
    # the shadow had this flow before, with instance 8, and has not seen it for a while
    pair.agents[SHADOW].replicator.serve(SHADOW, 1024)
    pair.assign(SHADOW)
    places = pair.agents[SHADOW].address
    assert places is not None
    other = ShadowPlace(PRIMARY, "127.0.0.1", 9)
    note = Note(SHADOWS, SHADOW, 1, 1, 0, pack_shadows(Shadows(1, (other,))))
    pair.agents[SHADOW].take([note])
    pair.known.followers.append(pair.agents[SHADOW])
    for port in (1000, 1001):
        pair.packet(SHADOW, port, ACK, 2)
    assert pair.held(SHADOW) == {1000: 22, 1001: 22}
    for key, value in pair.world.maps.connections.items().items():
        words = list(CONNECTION.unpack(value))
        if int.from_bytes(key[32:34], "big") == 1000:
            words[0] -= 60 * 10**9
        pair.world.maps.connections.set(key, CONNECTION.pack(*words))
    pair.known.sweep()
    for port in (1000, 1001):
        pair.packet(PRIMARY, port, ACK, 2)
    await until(lambda: len(pair.replicas()) == 2)
    # what was seen just now stays
    assert pair.held(SHADOW) == {1001: 22}
    assert pair.agents[SHADOW].refused()["gave_way"] == 1
    pair.packet(SHADOW, 1000, ACK)
    assert pair.held(SHADOW)[1000] == 21


async def test_address_that_is_not_ours_is_a_problem_in_words(pair: Pair) -> None:
    elsewhere = Shadowing(
        [SHADOW],
        SECRET,
        pair.world.maps,
        Where("192.0.2.1", 6610),
        lambda _used: None,
        lambda: None,
    )
    elsewhere.look_after(time.monotonic())
    assert "192.0.2.1:6610" in elsewhere.problem
    assert elsewhere.refused()["unbound"] == 1
    assert elsewhere.address is None


async def test_content_that_is_none_is_refused_whole(pair: Pair) -> None:
    agent = pair.agents[PRIMARY]
    good = Note(SHADOWS, 1, 1, 1, 0, pack_shadows(Shadows(1, ())))
    for bad in (replace(good, payload=b"nonsense"), replace(good, subject=2, payload=b"")):
        with pytest.raises(ValueError, match="malformed"):
            agent.take([good, bad])
    assert agent.replicator.board.of_kind(SHADOWS) == []


def rows_of(ports: list[int], backend: int) -> np.ndarray:
    rows = np.zeros((len(ports), FIELDS), np.uint32)
    rows[:, SOURCE] = 0x0A010005
    rows[:, SOURCE_PORT] = ports
    rows[:, FAMILY] = 4
    rows[:, BACKEND] = backend
    rows[:, STATE] = 1
    return rows


def test_table_is_always_what_the_replicas_hold(world: World) -> None:
    table = PromotedTable(world.maps.replicas)
    table.drop_left()
    drawn = random.Random(5)
    replicas = [Replica(primary, 256) for primary in (1, 3)]
    for sequence in range(1, 400):
        replica = drawn.choice(replicas)
        ids = np.array(sorted(drawn.sample(range(12), drawn.randint(1, 6))), np.int64)
        if drawn.random() < 0.4:
            replica.apply(Section(GONE, ids, np.zeros((len(ids), FIELDS), np.uint32)), sequence)
        else:
            # flows come again in other slots, and at the other primary
            ports = [drawn.randint(1, 16) for _ in ids]
            replica.apply(Section(WHOLE, ids, rows_of(ports, sequence)), sequence)
        if drawn.random() < 0.6:
            for one in replicas:
                table.follow(one, SHADOW, SAME)
            found = {
                int.from_bytes(key[32:34], "big"): REPLICA.unpack(value)
                for key, value in world.maps.replicas.items().items()
            }
            held = [
                (int(row[SOURCE_PORT]), (int(row[BACKEND]), one.primary))
                for one in replicas
                for row in one.rows()
            ]
            assert set(found) <= {port for port, _ in held}
            assert set(found.items()) <= set(held)
            assert len(table) == len(found)
    for one in replicas:
        table.forget(one.primary, SHADOW)
    assert world.maps.replicas.items() == {}


def test_table_that_is_full_holds_what_it_can_and_counts_the_rest(world: World) -> None:
    table = PromotedTable(world.maps.replicas)
    table.drop_left()
    replica = Replica(PRIMARY, 2 * CONNECTIONS)
    ids = np.arange(CONNECTIONS + 100, dtype=np.int64)
    replica.apply(Section(WHOLE, ids, rows_of(ids.tolist(), 1)), 1)
    assert len(table.follow(replica, SHADOW, SAME)[0]) == len(ids)
    assert len(world.maps.replicas.items()) == CONNECTIONS
    assert table.counts["replica_full"] == table.lacking == 100
    # room is made, and found when it is looked for
    replica.apply(Section(GONE, ids[:200], np.zeros((200, FIELDS), np.uint32)), 2)
    replica.touch()
    table.follow(replica, SHADOW, SAME)
    assert len(table) == len(replica) == CONNECTIONS - 100
    table.forget(PRIMARY, SHADOW)
    assert len(syscall.keys(world.maps.replicas.fd, world.maps.replicas.key_size)) == 0


def test_key_of_a_replica_is_the_shadow_s_own() -> None:
    key = flow_key(bytes([10, 1, 0, 5]), VIRTUAL, 1000, 80, 6, SHADOW)
    assert int.from_bytes(key[38:], "little") == SHADOW

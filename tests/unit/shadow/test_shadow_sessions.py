"""Sessions: forged, replayed and stale datagrams, restarts, fencing."""

from collections.abc import Callable

import numpy as np
import pytest

from bus.simulated import Faults
from dataplane.shadow.replicator import Replicator
from dataplane.shadow.sender import Phase
from headers.replication import Kind, split

from .shadow_world import PRIMARY, SECRET, SHADOW, World, content, held_by


def running(seed: int = 1, count: int = 40) -> World:
    """Return a world in which the shadow has everything."""
    world = World(seed)
    world.start()
    world.open(count)
    assert world.run_until(lambda: world.equal() and world.sender.phase is Phase.FOLLOWING)
    return world


def recorded(world: World, seconds: float, begin: Callable[[], None]) -> list[tuple[object, bytes]]:
    """Do something and let time pass; return what was sent, with who sent it."""
    taken: list[tuple[object, bytes]] = []
    carry = world.network.send

    def send(source: object, target: object, datagram: bytes) -> None:
        taken.append((source, datagram))
        carry(source, target, datagram)

    world.network.send = send  # type: ignore[method-assign]
    begin()
    world.simulation.run(world.simulation.now_s + seconds)
    world.network.send = carry  # type: ignore[method-assign]
    return taken


def test_every_changed_byte_is_refused_and_changes_nothing() -> None:
    world = World(1)
    taken = recorded(world, 0.3, lambda: world.open(10))
    kinds = {split(datagram)[0].kind: (source, datagram) for source, datagram in taken}
    assert set(kinds) == {Kind.HELLO, Kind.WELCOME, Kind.DATA, Kind.ACK}
    before = content(world.receiver.replica.rows())
    for source, datagram in kinds.values():
        node = world.shadow if source == "p" else world.primary
        end = world.receiver if source == "p" else world.sender
        for place in range(len(datagram)):
            changed = bytearray(datagram)
            changed[place] ^= 0x41
            refused = sum(end.counts.values()) + sum(node.replicator.counts.values())
            node.replicator.receive(bytes(changed), "x", node.now_us())
            assert sum(end.counts.values()) + sum(node.replicator.counts.values()) > refused
    assert world.sender.phase is Phase.FOLLOWING
    assert content(world.receiver.replica.rows()) == before
    world.open(5)
    assert world.run_until(world.equal, 1)


def test_what_is_cut_or_sent_twice_is_refused() -> None:
    world = running()
    sent = recorded(world, 0.02, lambda: world.open(30))
    data = max((d for _, d in sent if split(d)[0].kind is Kind.DATA), key=len)
    counts = world.receiver.counts
    world.shadow.replicator.receive(data, "p", world.shadow.now_us())
    assert counts["replayed"] == 1
    for length in range(len(data)):
        world.shadow.replicator.receive(data[:length], "p", world.shadow.now_us())
    assert (
        counts["forged"] + counts["replayed"] + world.shadow.replicator.counts["truncated"]
        == len(data) + 1
    )
    assert world.equal()


def test_a_recorded_session_played_to_a_shadow_that_forgot_it_changes_nothing() -> None:
    world = World(3)
    sent = recorded(world, 1.0, lambda: world.open(30))
    taken = [datagram for source, datagram in sent if source == "p"]
    world.network.cut("p", "s")
    world.shadow.restart()
    for datagram in taken:
        world.shadow.replicator.receive(datagram, "attacker", world.shadow.now_us())
    assert not len(world.receiver.replica)
    assert world.receiver.counts["sessions"] == 0
    # hello is genuine, only old: it is answered, and that is all
    assert world.receiver.counts["forged"] + world.receiver.counts["unknown_session"] > 0
    world.network.mend()
    assert world.run_until(world.equal, 5)


def test_a_recorded_session_played_again_after_a_newer_one_changes_nothing() -> None:
    world = World(3)
    sent = recorded(world, 1.0, lambda: world.open(30))
    taken = [datagram for source, datagram in sent if source == "p"]
    world.primary.restart()
    world.primary.poll()
    world.close(20)
    assert world.run_until(world.equal, 5)
    sessions = world.receiver.counts["sessions"]
    for datagram in taken:
        world.shadow.replicator.receive(datagram, "attacker", world.shadow.now_us())
    assert world.receiver.counts["sessions"] == sessions
    assert world.equal()


def test_another_secret_is_not_heard() -> None:
    world = World(4)
    stranger = Replicator(bytes(32))
    stranger.serve(PRIMARY, 256)
    stranger.send_to(PRIMARY, {SHADOW: "s"}, 9)
    ((_, hello),) = stranger.poll(0)
    world.shadow.replicator.receive(hello, "x", 0)
    assert world.receiver.counts["forged"] == 1
    assert world.shadow.replicator.poll(0) == []
    assert world.receiver.generation == 0


def test_streams_that_were_not_assigned_are_counted() -> None:
    world = World(4)
    other = Replicator(SECRET)
    other.serve(7, 256)
    other.send_to(7, {SHADOW: "s"}, 1)
    ((_, hello),) = other.poll(0)
    world.shadow.replicator.receive(hello, "x", 0)
    assert world.shadow.replicator.counts["unknown_stream"] == 1


def test_a_shadow_that_restarts_is_brought_up_again() -> None:
    world = running()
    world.shadow.restart()
    world.shadow.poll()
    assert world.run_until(lambda: world.equal() and world.receiver.complete, 3)
    assert world.sender.counts["resets"] == 1


def test_an_old_replica_stays_until_the_new_snapshot_is_complete() -> None:
    world = running(count=100)
    before = held_by(world.table)
    world.network.cut("p", "s")
    world.close(50)
    world.primary.restart()
    world.primary.poll()
    world.simulation.run(world.simulation.now_s + 1)
    assert content(world.receiver.replica.rows()) == before
    world.network.mend()
    assert world.run_until(world.equal, 5)
    assert world.receiver.replica.counts["stale"] > 0


def test_a_fenced_generation_is_refused_until_it_is_renewed() -> None:
    world = running()
    before = content(world.receiver.replica.rows())
    world.receiver.fence(2)
    world.open(10)
    assert world.run_until(lambda: world.sender.phase is Phase.FENCED, 3)
    assert world.sender.fenced_by == 2
    assert content(world.receiver.replica.rows()) == before
    assert world.receiver.counts["stale_generation"] > 0
    sent = world.network.counts["sent"]
    world.simulation.run(world.simulation.now_s + 2)
    assert world.network.counts["sent"] == sent
    world.primary.replicator.send_to(PRIMARY, {SHADOW: "s"}, 3)
    world.primary.poll()
    assert world.run_until(world.equal, 3)
    assert world.receiver.generation == 3


def test_a_long_partition_needs_no_snapshot() -> None:
    world = running()
    world.network.cut("p", "s")
    world.network.cut("s", "p")
    world.open(50)
    world.simulation.run(world.simulation.now_s + 60)
    world.close(30)
    world.network.mend()
    assert world.run_until(world.equal, 5)
    assert world.sender.counts["snapshots"] == 1


@pytest.mark.parametrize("way", [("p", "s"), ("s", "p")])
def test_a_partition_of_one_direction_mends(way: tuple[str, str]) -> None:
    world = running()
    world.network.cut(*way)
    world.open(50)
    world.simulation.run(world.simulation.now_s + 5)
    world.network.mend()
    assert world.run_until(world.equal, 5)


def test_sequence_numbers_that_run_out_begin_a_session() -> None:
    world = running()
    world.sender._sequence = 0xFFFFFFFF - 16
    world.open(10)
    assert world.run_until(lambda: world.equal() and world.receiver.counts["sessions"] == 2, 5)


def test_a_shadow_is_told_by_whoever_has_its_place() -> None:
    world = running()
    world.network.bind("elsewhere", world.primary._receive)
    world.network.unbind("p")
    world.primary.address = "elsewhere"
    world.open(10)
    assert world.run_until(lambda: world.equal() and not world.sender.unsettled, 3)
    # acknowledgements found their way: the source of a genuine datagram is where they go
    assert world.shadow.replicator._addresses[PRIMARY, SHADOW] == "elsewhere"


def test_reset_is_not_an_amplifier() -> None:
    world = World(1)
    forged = np.random.default_rng(1)
    for _ in range(1000):
        header = split(bytes((0x13, PRIMARY, SHADOW, 0)) + forged.bytes(40))[0]
        datagram = header.encode() + forged.bytes(28)
        world.shadow.replicator.receive(datagram, "victim", 0)
    assert world.receiver.counts["unknown_session"] == 1000
    assert len(world.shadow.replicator.poll(0)) == 1


def test_heavy_corruption_ends_in_counters() -> None:
    world = World(2, faults=Faults(corrupt=0.5, jitter_s=0.01))
    world.start()
    world.open(60)
    assert world.run_until(world.equal, 30)
    counts = world.receiver.counts + world.shadow.replicator.counts
    assert counts["forged"] + counts["truncated"] + counts["unknown_stream"] > 0

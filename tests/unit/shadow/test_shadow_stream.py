"""The stream itself: order, priorities, limits, repair, lag, and notes that are passed on."""

import numpy as np
import pytest

from bus.simulated import Faults, SimulatedNetwork, Simulation
from dataplane.shadow.board import Board
from dataplane.shadow.pending import Pending
from dataplane.shadow.replica import Replica
from dataplane.shadow.replicator import Replicator
from dataplane.shadow.sender import Phase
from dataplane.shadow.table import ConnectionTable
from headers.replication import FIELDS, GONE, WHOLE, Note, Section
from headers.replication.record import ACTIVITY, FAMILY, STATE, STATUS

from .shadow_world import (
    PRIMARY,
    SECRET,
    SHADOW,
    Node,
    World,
    content,
    held_by,
    key_of,
    keys_array,
    put,
    values_array,
)


def section(mask: int, ids: list[int], value: int = 1) -> Section:
    rows = np.full((len(ids), FIELDS), value, np.uint32)
    rows[:, FAMILY] = 4
    return Section(mask, np.array(ids, np.int64), rows)


@pytest.mark.parametrize("order", [(1, 2, 3, 4), (4, 3, 2, 1), (2, 4, 1, 3), (3, 1, 4, 2)])
def test_a_replica_ends_the_same_in_whatever_order_it_is_told(order: tuple[int, ...]) -> None:
    told = {
        1: section(WHOLE, [3, 5], 1),
        2: section(GONE, [3], 0),
        3: section(WHOLE, [3], 7),
        4: section(GONE, [5], 0),
    }
    replica = Replica(1, 256)
    for sequence in (*order, *order):
        replica.apply(told[sequence], sequence)
    assert content(replica.rows()) == content(section(WHOLE, [3], 7).rows)


def test_a_late_change_does_not_undo_a_later_one() -> None:
    replica = Replica(1, 256)
    replica.apply(section(WHOLE, [0], 1), 1)
    replica.apply(section(STATUS, [0], 2), 5)
    replica.apply(section(STATUS, [0], 9), 4)
    replica.apply(section(ACTIVITY, [0], 8), 3)
    (row,) = replica.rows().tolist()
    assert row[STATE] == 2
    assert row[STATE + 1 :] == [8, 8]


def test_changes_of_unknown_connections_are_counted() -> None:
    replica = Replica(1, 256)
    replica.apply(section(STATUS, [0, 1]), 1)
    assert replica.counts["unknown"] == 2
    assert len(replica) == 0


def test_a_shadow_with_less_room_holds_what_it_can_and_says_so() -> None:
    world = World(1, slots=1024)
    world.shadow.replicator.release(PRIMARY, SHADOW)
    world.shadow.replicator.hold(PRIMARY, SHADOW, 256)
    world.start()
    world.open(600)
    assert world.run_until(lambda: len(world.receiver.replica) == 256, 5)
    world.simulation.run(world.simulation.now_s + 1)
    (seen,) = world.primary.replicator.status(world.primary.now_us())
    assert (seen.held, seen.unheld) == (256, 344)
    (own,) = world.shadow.replicator.status(world.shadow.now_us())
    assert (own.held, own.unheld, own.diverged) == (256, 344, 0)
    everything = held_by(world.table)
    assert content(world.receiver.replica.rows()).items() <= everything.items()
    world.close(500)
    assert world.run_until(lambda: world.receiver.replica.unheld < 344, 5)


def test_what_differs_is_found_and_repaired() -> None:
    world = World(2, slots=1024)
    world.start()
    world.open(700)
    assert world.run_until(world.equal, 5)
    replica = world.receiver.replica
    replica._rows[3, STATE] ^= 2
    replica._held[400] = False
    replica._held[750] = True
    replica._version[750] = 1
    assert not world.equal()
    assert world.run_until(world.equal, 5)
    assert world.receiver.counts["diverged"] == 3
    assert world.sender.counts["repairs"] == 3
    compared = world.sender.counts["compared"]
    world.simulation.run(world.simulation.now_s + 2)
    assert world.sender.counts["compared"] > compared
    assert world.receiver.counts["diverged"] == 3


def test_new_and_ended_connections_go_before_counters_and_snapshots() -> None:
    world = World(3, slots=8192, faults=Faults(delay_s=0.02))
    world.start()
    world.open(6000)
    assert world.run_until(world.equal, 10)
    now = world.primary.now_us()
    world.sender._flight.window, world.sender._flight._slow_start = 32.0, False
    # a repair of everything and activity of all wait, and then something new comes
    world.sender._pending.repair(0, 8192, now)
    active = {
        key: (backend, state, 99, seen + 50)
        for key, (backend, state, _, seen) in world.connections.items()
    }
    world.connections |= active
    put(world.table, active, now)
    began = world.simulation.now_s
    before = set(world.connections)
    world.open(50)
    new = set(world.connections) - before
    identities = set(content(np.concatenate([world.table.rows[world.table.slots_of(
        keys_array(list(new)))]])))  # fmt: skip
    assert world.run_until(lambda: identities <= set(content(world.receiver.replica.rows())), 10)
    assert world.simulation.now_s - began < 0.1
    assert world.sender.unsettled
    assert world.run_until(world.equal, 20)


def test_a_snapshot_does_not_starve_changes() -> None:
    world = World(4, slots=16384, faults=Faults(delay_s=0.01))
    world.open(12_000)
    world.start()
    waits = []
    while world.sender.phase is not Phase.FOLLOWING:
        began = world.simulation.now_s
        before = len(world.receiver.replica)
        world.open(20)
        world.close(20)
        snapshot = world.sender.phase is Phase.SNAPSHOT
        world.run_until(lambda: not world.sender.waiting, 5)
        if snapshot:
            waits.append(world.simulation.now_s - began)
        assert len(world.receiver.replica) >= min(before, 1)
    assert waits
    assert max(waits) <= 0.15
    assert world.run_until(world.equal, 10)


def test_more_events_than_can_be_sent_cost_neither_memory_nor_sense() -> None:
    world = World(5, slots=1024, faults=Faults(delay_s=0.1))
    world.start()
    world.simulation.run(1)
    opened = 0
    for _ in range(300):
        world.open(600)
        opened += 600
        world.close(590)
        world.simulation.run(world.simulation.now_s + 0.001)
        assert world.sender._pending.urgent.length <= 1024
    # what opens and ends before it could be sent is not sent at all
    assert world.sender.counts["records"] < opened / 2
    assert world.run_until(world.equal, 20)
    assert world.receiver.counts["diverged"] == 0


def test_a_slow_shadow_makes_the_window_small_and_gets_everything() -> None:
    world = World(6, slots=4096)
    carry, at = world.network.send, [0.0]

    def slow(source: object, target: object, datagram: bytes) -> None:
        """A link of 100 datagrams per second with room for 20."""
        now = world.simulation.now_s
        if target == "s":
            at[0] = max(at[0], now)
            if at[0] - now > 0.2:
                world.network.counts["overflowed"] += 1
                return
            at[0] += 0.01
            world.simulation.at(at[0], lambda: carry(source, target, datagram))
        else:
            carry(source, target, datagram)

    world.network.send = slow  # type: ignore[method-assign]
    world.start()
    world.open(4000)
    assert world.run_until(world.equal, 60)


def test_lag_is_right_though_clocks_are_apart_and_drift() -> None:
    simulation = Simulation(1)
    network = SimulatedNetwork(simulation, Faults(delay_s=0.004, jitter_s=0.002))

    def primary(randbytes) -> Replicator:
        made = Replicator(SECRET, random=randbytes)
        made.serve(PRIMARY, 4096)
        made.send_to(PRIMARY, {SHADOW: "s"}, 1)
        return made

    def shadow(randbytes) -> Replicator:
        made = Replicator(SECRET, random=randbytes)
        made.hold(PRIMARY, SHADOW, 4096)
        return made

    first = Node(simulation, network, "p", primary, offset_s=1e6)
    second = Node(simulation, network, "s", shadow, offset_s=3.0, rate=1.0001)
    first.poll()
    table = first.replicator.tables[PRIMARY]
    for number in range(1500):
        simulation.run(simulation.now_s + 0.02)
        put(table, {key_of(number): (1, 1, 0, 0)}, first.now_us())
        first.poll()
    lag = second.replicator.receivers[PRIMARY, SHADOW].lag
    # flushing takes 4 ms, the way 4 to 6, the simulation's turns up to 0.5
    assert 7_000 <= lag.percentile_us(0.5) <= 11_000
    assert lag.percentile_us(0.99) <= 13_000
    (status,) = first.replicator.status(first.now_us())
    assert 8 <= status.rtt_ms <= 18


def test_a_lag_grows_while_nothing_comes() -> None:
    world = World(7)
    world.start()
    world.open(10)
    assert world.run_until(world.equal, 2)
    world.network.cut("p", "s")
    world.simulation.run(world.simulation.now_s + 3)
    (status,) = world.shadow.replicator.status(world.shadow.now_us())
    assert 2_900 <= status.behind_ms <= 3_300


def note(subject: int, generation: int, *, term: int = 1, remaining_ms: int = 0) -> Note:
    return Note("shadows", subject, term, generation, remaining_ms, f"g{generation}".encode())


def test_of_each_subject_the_newest_note_wins() -> None:
    board = Board()
    assert board.put(note(1, 5), 0)
    assert not board.put(note(1, 5), 0)
    assert not board.put(note(1, 4), 0)
    assert board.put(note(1, 1, term=2), 0)
    assert board.put(note(2, 1), 0)
    assert board.get("shadows", 1) == note(1, 1, term=2)
    assert board.counts["notes_old"] == 1


def test_a_full_board_forgets_what_is_over_and_refuses_the_rest() -> None:
    board = Board()
    for subject in range(1024):
        board.put(note(subject, 1, remaining_ms=10 if subject == 9 else 0), 0)
    assert not board.put(note(2000, 1), 0)
    assert board.counts["notes_full"] == 1
    assert board.put(note(2000, 1), 20_000)
    assert board.get("shadows", 9) is None


def test_a_note_that_is_over_is_kept_and_not_passed_on() -> None:
    board = Board()
    board.put(note(1, 1, remaining_ms=100), 0)
    assert [n.remaining_ms for n in board.current(40_000)] == [60]
    assert board.current(100_000) == []
    assert board.get("shadows", 1) is not None
    assert board.digest(0) != board.digest(100_000) == Board().digest(0)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (Note("k", 1, 1, 1, 0, bytes(901)), "900 bytes"),
        (Note("", 1, 1, 1, 0, b""), "1 to 32 bytes"),
        (Note("ü" * 17, 1, 1, 1, 0, b""), "1 to 32 bytes"),
        (Note("k", 1 << 32, 1, 1, 0, b""), "subject"),
        (Note("k", 1, 1, -1, 0, b""), "generation"),
    ],
)
def test_a_note_that_nobody_would_read_is_refused(wrong: Note, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Board().put(wrong, 0)


def test_the_longest_notes_pass_both_ways() -> None:
    world = World(10)
    world.start()
    boards = world.primary.replicator.board, world.shadow.replicator.board
    for subject in range(20):
        longest = Note("k" * 32, subject, (1 << 64) - 1, 1, 0xFFFFFFFF, bytes(900))
        boards[subject % 2].put(longest, 0)
    assert world.run_until(lambda: all(len(board.current(0)) == 20 for board in boards), 10)


def test_notes_pass_from_agent_to_agent_both_ways_through_loss() -> None:
    """Five agents in a row, each the shadow of the one before: what one end learns, all know."""
    simulation = Simulation(8)
    network = SimulatedNetwork(simulation, Faults(loss=0.2, jitter_s=0.01))
    nodes = []
    for number in range(1, 6):

        def build(randbytes, number: int = number) -> Replicator:
            made = Replicator(SECRET, random=randbytes)
            made.serve(number, 256)
            if number < 5:
                made.send_to(number, {number + 1: number + 1}, 1)
            if number > 1:
                made.hold(number - 1, number, 256)
            return made

        nodes.append(Node(simulation, network, number, build))
        nodes[-1].poll()
    simulation.run(1)
    for subject in range(60):
        nodes[subject % 5].replicator.board.put(note(subject, 1), nodes[subject % 5].now_us())
    nodes[0].replicator.board.put(note(7, 1), 0)
    nodes[4].replicator.board.put(note(7, 3), 0)
    nodes[2].replicator.board.put(note(8, 9, remaining_ms=60_000), nodes[2].now_us())
    for node in nodes:
        node.poll()
    simulation.run(simulation.now_s + 4)
    for node in nodes:
        board = node.replicator.board
        assert all(board.get("shadows", subject) for subject in range(60))
        assert board.get("shadows", 7) == note(7, 3)
        (timed,) = (n for n in board.current(node.now_us()) if n.remaining_ms)
        assert 50_000 <= timed.remaining_ms <= 60_000


def test_a_table_keeps_the_last_word_about_a_key() -> None:
    table = ConnectionTable(1, 4)
    told = keys_array([key_of(1), key_of(2), key_of(1)])
    happened = np.array([1, 2, 3], np.int64)
    values = values_array([(5, 1, 0, 0), (6, 1, 0, 0), (5, 2, 0, 0)])
    assert table.put(told, values, happened, 3).tolist() == [0, 1, 0]
    assert table.rows[:2, STATE].tolist() == [2, 1]
    assert table.since_us[:2].tolist() == [3, 2]


def test_a_full_table_counts_what_it_cannot_hold_and_uses_what_is_free() -> None:
    table = ConnectionTable(1, 2)
    put(table, {key_of(n): (1, 1, 0, 0) for n in range(4)}, 0)
    assert len(table) == 2
    assert table.counts["table_full"] == 2
    table.remove(keys_array([key_of(0), key_of(77)]), 1)
    put(table, {key_of(9): (1, 1, 0, 0)}, 2)
    assert sorted(table.keys().tolist()) == sorted(keys_array([key_of(1), key_of(9)]).tolist())


def test_small_moves_of_activity_are_not_sent() -> None:
    table = ConnectionTable(1, 2)
    pending = Pending(table)
    table.follow(pending)
    put(table, {key_of(1): (1, 1, 50, 100)}, 0)
    pending.take_urgent(9)
    for value in ((1, 1, 51, 104), (1, 1, 49, 90)):
        put(table, {key_of(1): value}, 0)
    assert pending.counters.length == 0
    put(table, {key_of(1): (1, 1, 52, 100)}, 0)
    assert pending.counters.length == 1


def test_an_agent_stops_sending_to_whom_it_is_told_no_longer() -> None:
    world = World(9)
    world.start()
    world.open(20)
    assert world.run_until(world.equal, 2)
    world.primary.replicator.send_to(PRIMARY, {}, 1)
    sent = world.network.counts["sent"]
    world.open(20)
    world.simulation.run(world.simulation.now_s + 1)
    assert world.network.counts["sent"] <= sent + 1
    assert not world.primary.replicator.senders

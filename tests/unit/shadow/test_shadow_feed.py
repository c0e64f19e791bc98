"""From events and sweeps of the engine's table to the table that is replicated."""

import numpy as np

from dataplane.connections import CONNECTION_DTYPE
from dataplane.maps import EVENT_CLOSED, EVENT_DTYPE, EVENT_ECHO, EVENT_OPENED
from dataplane.shadow.feed import Feed
from dataplane.shadow.flows import engines_of_keys, keys_of_rows, rows_of_keys
from dataplane.shadow.table import ConnectionTable
from headers.replication.record import BACKEND, LAST_SEEN, STATE, THROUGHPUT, throughput_rates

from .shadow_world import PRIMARY, key_of, keys_array

S = 1_000_000_000
SAME = np.arange(4096, dtype=np.uint32)


def events_of(*told: tuple[int, int, int], engine: int = PRIMARY) -> np.ndarray:
    """Return events of kind, connection and time in ns."""
    events = np.zeros(len(told), EVENT_DTYPE)
    for event, (kind, number, time_ns) in zip(events, told, strict=True):
        event["kind"], event["engine"], event["time_ns"] = kind, engine, time_ns
        event["flow"], event["backend"] = key_of(number, engine), number + 1
    return events


def portion(connections: dict[int, tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return a sweep's keys and rows of connections: opened_ns, last_ns, bytes."""
    rows = np.zeros(len(connections), CONNECTION_DTYPE)
    for row, (number, (opened, last, size)) in zip(rows, connections.items(), strict=True):
        row["opened_ns"], row["last_ns"], row["bytes"] = opened, last, size
        row["backend"], row["state"] = number + 1, 1
    return keys_array([key_of(number) for number in connections]), rows


def feed() -> Feed:
    return Feed(ConnectionTable(PRIMARY, 64), SAME)


def test_keys_become_rows_and_keys_again() -> None:
    keys = keys_array([key_of(number) for number in range(40)])
    assert keys_of_rows(rows_of_keys(keys), PRIMARY).tolist() == keys.tolist()
    assert set(engines_of_keys(keys).tolist()) == {PRIMARY}
    assert len(rows_of_keys(keys[:0])) == len(keys_of_rows(rows_of_keys(keys[:0]), 1)) == 0


def test_events_open_and_close_connections() -> None:
    made = feed()
    told = events_of((EVENT_OPENED, 1, 5 * S), (EVENT_OPENED, 2, 6 * S), (EVENT_CLOSED, 1, 7 * S))
    assert made.take_events(told, 8_000_000) == 3
    table = made.table
    assert table.rows[:2, STATE].tolist() == [2, 1]
    assert table.rows[:2, BACKEND].tolist() == [2, 3]
    assert table.rows[:2, LAST_SEEN].tolist() == [7, 6]
    assert table.since_us[:2].tolist() == [7_000_000, 6_000_000]


def test_other_engines_events_and_echoes_are_left_alone() -> None:
    made = feed()
    assert made.take_events(events_of((EVENT_OPENED, 1, 1), engine=9), 0) == 0
    assert made.take_events(events_of((EVENT_ECHO, 1, 1)), 0) == 0
    keys, rows = portion({1: (0, S, 10)})
    made.take_portion(keys_array([key_of(1, engine=9)]), rows, 0)
    assert len(made.table) == 0
    made.take_portion(keys[:0], rows[:0], 0)


def test_a_sweep_finds_what_an_event_did_not_tell() -> None:
    made = feed()
    made.take_portion(*portion({1: (S, 2 * S, 100), 2: (S, 2 * S, 100)}), 3_000_000)
    assert len(made.table) == 2


def test_throughput_is_measured_between_sweeps() -> None:
    made = feed()

    def rate() -> float:
        return float(throughput_rates(made.table.rows[:1, THROUGHPUT])[0])

    made.take_portion(*portion({1: (0, 2 * S, 2_000)}), 2_000_000)
    assert 900 < rate() < 1_100  # since it opened
    made.take_portion(*portion({1: (0, 4 * S, 202_000)}), 4_000_000)
    assert 90_000 < rate() < 110_000
    # too early to measure: what was measured stays
    made.take_portion(*portion({1: (0, 4 * S, 212_000)}), 4_100_000)
    assert 90_000 < rate() < 110_000
    made.take_portion(*portion({1: (0, 4 * S, 212_000)}), 24_000_000)
    assert rate() < 1_000


def test_a_key_that_is_used_again_is_measured_anew() -> None:
    made = feed()
    made.take_portion(*portion({1: (0, 2 * S, 1_000_000)}), 2_000_000)
    made.removed(keys_array([key_of(1)]), 2_100_000)
    made.take_portion(*portion({1: (3 * S, 4 * S, 2_000)}), 4_000_000)
    rate = float(throughput_rates(made.table.rows[:1, THROUGHPUT])[0])
    assert 1_800 < rate < 2_200


def test_what_two_sweeps_do_not_show_is_gone() -> None:
    made = feed()
    both, one = portion({1: (0, S, 1), 2: (0, S, 1)}), portion({1: (0, S, 1)})
    made.take_portion(*both, 1_000_000)
    assert made.end_sweep(1_000_000) == 0
    made.take_portion(*one, 2_000_000)
    assert made.end_sweep(2_000_000) == 0
    made.take_portion(*one, 3_000_000)
    made.take_events(events_of((EVENT_OPENED, 3, 3 * S)), 3_000_000)
    assert made.end_sweep(3_000_000) == 1
    assert sorted(made.table.rows[made.table.live, BACKEND].tolist()) == [2, 4]


def test_what_the_table_has_no_room_for_is_swept_without_harm() -> None:
    made = Feed(ConnectionTable(PRIMARY, 1), SAME)
    made.take_portion(*portion({1: (0, S, 1), 2: (0, S, 1)}), 1_000_000)
    made.take_events(events_of((EVENT_OPENED, 3, 3 * S)), 3_000_000)
    assert len(made.table) == 1
    assert made.table.counts["table_full"] == 2

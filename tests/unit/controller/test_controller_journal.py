"""The journal: a tick comes back as it was written, and the file stays bounded."""

import sqlite3
import zlib
from dataclasses import replace
from pathlib import Path

import msgpack
import numpy as np
import pytest

from controller.errors import JournalError
from controller.journal import Journal, plan_from_wire, plan_to_wire
from controller.journal.values import snapshot_from_wire, snapshot_to_wire
from controller.state import (
    BUCKETS,
    Circuit,
    Decision,
    ExternalPath,
    Forecast,
    LinkState,
    Outcome,
    Plan,
    Snapshot,
    Split,
)

DEMANDS = np.array([[0.0, 1e6], [2.5e6, 0.0]])
SNAPSHOT = Snapshot(
    7, 1e9, 2.0, 300.0, ("a", "b"), (LinkState("a>b", "a", "b", 2e7),), DEMANDS, DEMANDS[None]
)
FORECAST = Forecast(3, 7, (1, 3), (0.5, 0.75), np.arange(16.0).reshape(2, 2, 2, 2), ())
PLAN = Plan(
    5, 7, 3,
    (Circuit(1, "a", "b", ("a>b",), 2),),
    (Split("a", "b", (0, 1), (0.25, 0.75), (0,) * 64 + (1,) * (BUCKETS - 64)),),
    {"a": {"b": "a>b"}}, {"a>b": 0.4}, 0.4, "two-stage", "the load on a>b falls", 12, 40, ("x",),
)  # fmt: skip


def decision(tick: int) -> Decision:
    outcome = Outcome(1, 2, 3, 4, 5, 6, 7.5, ("switch 1: away",))
    return Decision(tick, 1e9, 7, 3, 5, "why", 1.0, 2.0, 3.0, outcome)


def write(journal: Journal, tick: int) -> None:
    journal.write(
        SNAPSHOT,
        FORECAST,
        PLAN,
        decision(tick),
        observed=True,
        link_rates_bps={"a>b": 8e6},
        applied_s=12.5,
    )


def change_body(path: Path, tick: int, body: object) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE decisions SET body = ? WHERE tick = ?", (body, tick))
    connection.close()


def test_whole_tick_comes_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    write(journal, 4)
    journal.close()
    (entry,) = Journal(tmp_path / "j").entries()
    assert (entry.tick, entry.time_s, entry.nodes, entry.observed) == (4, 1e9, ("a", "b"), True)
    assert np.array_equal(entry.demands_bps, DEMANDS)
    assert np.array_equal(entry.forecast_bps, FORECAST.demands_bps)
    assert (entry.horizons_steps, entry.levels) == ((1, 3), (0.5, 0.75))
    assert entry.link_rates_bps == {"a>b": 8e6}
    assert entry.plan == PLAN or plan_to_wire(entry.plan) == plan_to_wire(PLAN)
    assert entry.decision == decision(4)
    assert entry.applied_s == 12.5


def test_plan_comes_back_from_the_wire() -> None:
    packed = msgpack.packb(plan_to_wire(PLAN))
    again = plan_from_wire(msgpack.unpackb(packed))
    assert {k: getattr(again, k) for k in Plan.__slots__} == {
        k: getattr(PLAN, k) for k in Plan.__slots__
    }


def test_external_paths_come_back_and_older_entries_have_none() -> None:
    path = ExternalPath(
        "198.51.100.0/24", "10.0.1.2", "10.0.1.2", (65010, 3356), 7, ("65010:1",), "a"
    )
    packed = msgpack.packb(snapshot_to_wire(replace(SNAPSHOT, external=(path,))))
    body = msgpack.unpackb(packed)
    assert snapshot_from_wire(body).external == (path,)
    del body["external"]
    assert snapshot_from_wire(body).external == ()


def test_only_the_newest_ticks_are_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", keep=10)
    for tick in range(25):
        write(journal, tick)
    assert [entry.tick for entry in journal.entries()] == list(range(15, 25))


def test_last_ticks_come_oldest_first(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    for tick in range(5):
        write(journal, tick)
    assert [entry.tick for entry in journal.entries(2)] == [3, 4]
    assert [entry.tick for entry in journal.entries(0)] == []


def test_tick_written_again_replaces_the_first(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    write(journal, 1)
    write(journal, 1)
    assert len(list(journal.entries())) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no zlib",
        "text",
        zlib.compress(b"\xc1"),
        zlib.compress(msgpack.packb([1, 2])),
        zlib.compress(msgpack.packb({"version": 1})),
    ],
)
def test_damaged_row_is_an_error_that_names_the_tick(tmp_path: Path, body: object) -> None:
    journal = Journal(tmp_path / "j")
    write(journal, 1)
    write(journal, 2)
    change_body(tmp_path / "j", 2, body)
    entries = journal.entries()
    assert next(entries).tick == 1
    with pytest.raises(JournalError, match="tick 2 is damaged"):
        next(entries)


def test_row_of_another_version_is_refused_by_its_number(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    write(journal, 1)
    change_body(tmp_path / "j", 1, zlib.compress(msgpack.packb({"version": 9})))
    with pytest.raises(JournalError, match="tick 1 has version 9"):
        list(journal.entries())


def test_file_that_is_no_journal_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_bytes(b"something else altogether\n" * 100)
    with pytest.raises(JournalError, match="not a database"):
        Journal(path)
    assert path.read_bytes().startswith(b"something else")


def test_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="none/j"):
        Journal(tmp_path / "none" / "j")


def test_write_to_a_journal_that_was_closed_is_a_journal_error(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.close()
    with pytest.raises(JournalError):
        write(journal, 1)

"""Engines of a stage fail, and their connections go on by the shadow."""

from functools import partial
from pathlib import Path

from tests.integration.scenes import play

run = partial(play, "stage_lab")


def test_connections_outlive_their_engine_with_and_without_the_bus(tmp_path: Path) -> None:
    seen = run("failover", tmp_path, 150)
    assert seen["opened"] == 1000
    assert seen["survived"] == 1000, seen
    # none was led to another server on its way there and back
    assert seen["servers"] == {"a": 1000}
    assert max(seen["gap_ms"]) <= 1500
    counted = seen["udp"]["a.count"]
    assert max(counted["gaps_s"]) <= 0.5
    assert counted["received"] > 0.5 * seen["udp"]["streamed"]["sent"]
    assert seen["udp"]["b.count"]["received"] == 0


def test_without_replication_connections_are_broken(tmp_path: Path) -> None:
    seen = run("failover_without", tmp_path, 120)
    assert seen["opened"] == 300
    assert seen["survived"] < 150, seen


def test_killing_agents_takes_nothing_over_and_loses_nothing(tmp_path: Path) -> None:
    seen = run("headless", tmp_path, 150)
    assert seen["before"] == seen["left"] == seen["again"] == seen["after"] == 300
    assert not seen["taken_over"]
    assert seen["survived"] == 300, seen
    assert seen["servers"] == {"a": 300}


def test_planned_switchover_is_not_noticed(tmp_path: Path) -> None:
    seen = run("switchover", tmp_path, 120)
    assert seen["survived"] == 300, seen
    assert seen["servers"] == {"a": 300}
    # a piece is sent every .22 s at most
    assert max(seen["gap_ms"]) <= 220 + 50

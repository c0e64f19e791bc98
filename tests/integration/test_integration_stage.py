"""Engines of a stage fail, and their connections go on by the shadow."""

from functools import partial
from pathlib import Path

from tests.integration.scenes import play

run = partial(play, "stage_scene")


def test_connections_outlive_their_engine_with_and_without_the_bus(tmp_path: Path) -> None:
    seen = run("failover", tmp_path, 150)
    came = seen["came"]
    assert came["opened"] == 1000
    assert came["survived"] == 1000, came["broken"]
    # none was led to another server on its way there and back
    assert came["servers"] == {"a": 1000}
    # bars are measured by `foresteer bench shadow`; this is a machine that others use too
    assert came["gaps_ms"][989] <= 3000
    assert max(seen["down_ms"]) <= 1000
    assert max(seen["gaps_ms"]) <= 1200
    assert seen["received"]["a"] > 0.5 * seen["sent"]
    assert seen["received"]["b"] == 0


def test_without_replication_connections_are_broken(tmp_path: Path) -> None:
    came = run("without", tmp_path, 120)["came"]
    assert came["opened"] == 300
    assert came["survived"] < 150, came


def test_killing_agents_takes_nothing_over_and_loses_nothing(tmp_path: Path) -> None:
    seen = run("headless", tmp_path, 150)
    assert seen["before"] == seen["left"] == seen["again"] == seen["after"] == 300
    assert not seen["taken_over"]
    assert seen["came"]["survived"] == 300, seen
    assert seen["came"]["servers"] == {"a": 300}


def test_planned_switchover_is_not_noticed(tmp_path: Path) -> None:
    came = run("switchover", tmp_path, 120)
    assert came["survived"] == 300, came
    assert came["servers"] == {"a": 300}
    # a piece is sent every .22 s at most, and this machine has other things to do
    assert came["gaps_ms"][150] <= 220 + 50
    assert max(came["gaps_ms"]) <= 1000

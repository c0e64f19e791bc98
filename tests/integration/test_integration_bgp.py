"""Prefixes between ExaBGP, a real BIRD and a real FRR: shares move traffic, restarts heal."""

from functools import partial
from pathlib import Path

from tests.integration.scenes import play

run = partial(play, "names_lab")


def test_shares_move_the_chosen_path_and_nothing_foreign_is_announced(tmp_path: Path) -> None:
    seen = run("bgp_scenarios.shifts", tmp_path)
    assert seen["learned"] == [
        ["198.51.100.0/25", "10.0.1.2", "10.0.1.2", [65010], None, [], "east"],
        ["198.51.100.128/25", "10.0.1.2", "10.0.1.2", [65010], None, [], "east"],
        ["192.0.2.0/24", "10.0.2.2", "10.0.2.2", [65010], 77, ["65010:7"], "west"],
    ]
    assert seen["attributes"]["med"] == "100"
    assert seen["attributes"]["as_path"] == "65000"
    assert seen["attributes"]["community"] == "(65000,42) (65535,65281)"
    assert seen["med_west"] == "100"
    assert seen["read"] == {"east": 0.25, "west": 0.75}
    assert seen["stranger"].startswith("not_ours: 198.18.0.0/24 is not announced")
    assert seen["wider"].startswith("not_ours: ")
    assert seen["longer"].startswith("too_specific: ")
    assert seen["untidy"].startswith("bad_route: ")
    assert seen["no_neighbour"].startswith("no_neighbour: ")
    assert seen["unchanged"]
    assert seen["not_there"] == ""
    assert (seen["counts"]["not_ours"], seen["counts"]["too_specific"]) == (2, 1)


def test_announcement_is_in_the_neighbours_kernel_at_once(tmp_path: Path) -> None:
    seen = run("bgp_scenarios.speed", tmp_path)
    # 15 ms and 1 s on an idle machine; tests.perf.names prints what it is
    assert seen["p50_ms"] <= 60
    assert seen["many"] == 250
    assert seen["many_ms"] <= 4000


def test_routes_are_right_again_after_either_side_restarts(tmp_path: Path) -> None:
    seen = run("bgp_scenarios.restarts", tmp_path)
    assert seen["another"]
    # without a brain ExaBGP holds, and the next one takes it over without touching a route
    assert seen["held"] == ["10.0.3.2", "10.0.2.1"]
    assert seen["adopted"]
    assert seen["kept_unasked"] == 2
    assert seen["untouched"]
    # a neighbour that comes and goes is not believed for a while
    assert seen["suppressed"] == ["10.0.1.2"]
    assert seen["believed"] == ["10.0.2.2"]
    assert seen["counts"]["suppressed"] == 1
    # or the routes go when the brain does not come back, while sessions stay
    assert 0.3 < seen["withdrawn_s"] < 10
    assert seen["sessions_stay"]


def test_plan_shifts_name_and_prefix_by_steps_and_both_go_back_when_one_fails(
    tmp_path: Path,
) -> None:
    seen = run("outside_scenarios.followed", tmp_path)
    assert seen["ramp"] == [1.0, 0.75, 0.5, 0.25]
    assert seen["steps"] == 3
    assert 0 < seen["first_s"] < 5
    # two intervals of 0.3 s lie between three steps
    assert 0.6 <= seen["converged_s"] < 10
    assert seen["ended"] in ("rolled back", "stuck")
    assert "name server bind" in seen["reason"]
    assert seen["counts"]["begun"] >= 4
    assert seen["name_held"] == 1.0

"""Names on a real BIND and a real PowerDNS: changed at once, safely, and only what is ours."""

from functools import partial
from pathlib import Path

import pytest

from tests.integration.scenes import play
from tests.integration.scenes import run as run_lab

run = partial(play, "names_lab")

HALF_OF_WEST = ["192.0.2.1", "198.51.100.1", "198.51.100.2", "198.51.100.3"]
HALF_OF_EAST = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "198.51.100.1"]


def test_change_is_visible_as_soon_as_after_nsupdate(tmp_path: Path) -> None:
    seen = run("dns_scenarios.speed", tmp_path)
    assert seen["rounds"] == 40
    assert seen["ours_ms"] <= 1.5 * seen["nsupdate_ms"]
    assert seen["counts"] == {"changes": 40}


def test_only_signed_changes_of_the_declared_name_are_made_and_trouble_has_names(
    tmp_path: Path,
) -> None:
    seen = run("dns_scenarios.refusals", tmp_path)
    assert seen["unsigned"] == "REFUSED"
    assert seen["wrong_secret"] == seen["unknown_key"] == "signature"
    assert seen["not_granted"] == seen["other_name"] == "refused"
    assert seen["no_zone"] == "not_authoritative"
    assert seen["stale"] == "prerequisite"
    assert seen["outside"] == "outside"
    assert "foreign_name" not in seen
    # by AXFR: nothing of it changed the zone, and what was allowed changed one name and the serial
    assert seen["unchanged"]
    assert seen["differs"] == ["gslb.example. SOA", "www.gslb.example. A"]
    assert seen["answer"] == HALF_OF_EAST
    # another writer is seen and said; an absent server leaves all as it was
    assert seen["conflicts"] == 1
    assert seen["after_conflict"] == seen["kept"] == HALF_OF_WEST
    assert seen["read"] == {"east": 0.25, "west": 0.75}
    assert seen["away"] in ("timeout", "unreachable")
    assert seen["back"] == HALF_OF_EAST
    assert seen["withdrawn"] == []
    assert seen["zone_after"]
    assert seen["counts"]["retries"] == 2


def test_powerdns_gives_clients_answers_by_weight(tmp_path: Path) -> None:
    seen = run("dns_scenarios.weighted", tmp_path)
    # 1,000 clients at 0.8: six standard deviations are 0.076
    assert seen["east"] == pytest.approx(0.8, abs=0.08)
    assert seen["one_address_each"]
    assert seen["client_keeps_answer"]
    assert seen["read"] == pytest.approx({"east": 0.8, "west": 0.2})
    assert seen["fresh"] == pytest.approx({"east": 0.8, "west": 0.2})
    assert seen["wrong_key"] == "refused"
    assert seen["no_zone"] == "no_zone"
    assert seen["both"] == [HALF_OF_EAST, {"east": 0.75, "west": 0.25}]
    assert seen["conflicts"] == 1
    assert seen["healed"] == {"east": 0.25, "west": 0.75}
    assert seen["away"] == "unreachable"
    assert seen["back"] == ["192.0.2.1"]
    assert seen["withdrawn"] == []


def test_names_go_back_to_their_resting_answer_when_the_brain_is_gone(tmp_path: Path) -> None:
    seen = run("outside_scenarios.lost", tmp_path)
    # killed: by the guard, after a while; ended in order: by itself, before it ends
    assert seen["killed"] == 0.0
    assert seen["killed_s"] >= 0.3
    assert seen["ended"] == 1.0


def test_name_follows_the_plans_of_a_whole_brain(tmp_path: Path) -> None:
    seen = run_lab("names_lab_scenarios.followed", tmp_path)
    assert seen["before"] == []
    assert seen["declared"]
    assert seen["followed_s"] < 15
    assert seen["outside"]["shifts"]["services"]["web"]["in_force"] == {"D": 1.0}
    assert seen["state"]["rule_errors"] == 0

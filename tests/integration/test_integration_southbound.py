"""Real Open vSwitch and the real southbound: what was asked for is what packets meet."""

import json
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path

from tests.integration.scenes import play
from tests.integration.south_scenarios import ALLOWED, INNER

run = partial(play, "south_lab")


def test_trace_agrees_with_the_plan_for_every_circuit_rule_and_dead_link(tmp_path: Path) -> None:
    seen = run("south_scenarios.traced", tmp_path)
    assert seen["applied"] == [[dpid, "", 0, 0] for dpid in range(1, 6)]
    # the switches, whether it arrived, by protection, its TTL, and its header as it was sent
    paths = seen["paths"]
    assert paths["5"] == paths["6"] == [[1, 2, 3, 4], True, False, 59, True]
    assert paths["7"] == [[4, 3, 2, 1], True, False, 59, True]
    assert paths["8"] == [[1, 5, 4], True, False, 60, True]
    around = {"1-2": [1, 5, 4], "2-3": [1, 2, 1, 5, 4], "3-4": [1, 2, 3, 2, 1, 5, 4]}
    for cable, way in around.items():
        arrived = [way, True, True, 63 - len(way), True]
        assert paths[f"5 web without {cable}"] == arrived
        assert paths[f"5 anything without {cable}"] == arrived
        assert paths[f"6 web without {cable}"] == arrived
        assert paths[f"6 anything without {cable}"] == [[1], False, False, 0, False]
    for name in INNER:
        shut = [[1, 2, 3, 4], True, False, 59, True]
        assert seen["rules"][f"6 {name}"] == (
            shut if name in ALLOWED else [[1], False, False, 0, False]
        )
        lets_through = [[1, 5, 4], True, False, 60, True]
        assert seen["rules"][f"8 {name}"] == (
            lets_through if name != "telnet" else [[1], False, False, 0, False]
        )


def test_packets_cross_a_firewall_bit_by_bit_or_not_at_all(tmp_path: Path) -> None:
    seen = run("south_scenarios.packets", tmp_path)
    ttl, protection = 14, 18
    for name in INNER:
        assert seen[f"5 {name}"] == [ttl]
        assert seen[f"6 {name}"] == ([ttl] if name in ALLOWED else None)
        # the six bits of the TTL lie in two bytes
        assert seen[f"5 {name} 2-3"] == [ttl, ttl + 1, protection]
        around = [ttl, ttl + 1, protection] if name in ALLOWED else None
        assert seen[f"6 {name} 2-3"] == around
    assert seen["echo"] == [ttl, ttl + 1, protection]


def test_full_table_refuses_whole_circuits_by_name_and_keeps_what_was(tmp_path: Path) -> None:
    seen = run("south_failures.full", tmp_path)
    refused = dict(seen["refused"]["2"])
    assert {why.split(" (")[0] for why in refused.values()} == {"table full"}
    first = min(refused)
    assert 24 <= first <= 28
    assert set(refused) == set(range(first, 60))
    protection = 1 << 23
    held = range(20, first)
    assert set(seen["held"]) == {5, *held, *(n | protection for n in held)}
    assert not any(seen["refused"][n] for n in "1345")
    assert seen["errors"] == [""] * 5
    assert seen["then"] == [[dpid, "", 0, 0] for dpid in range(1, 6)]


def test_restarted_switches_are_refilled_and_a_restarted_southbound_rewrites_nothing(
    tmp_path: Path,
) -> None:
    seen = run("south_failures.restarts", tmp_path)
    assert seen["refilled_s"] < 2
    assert seen["counts"] == seen["again"] == [[dpid, 0, 0, 0] for dpid in range(1, 6)]
    assert seen["old"] == "plan 1 is older than 2, which is in force"
    assert seen["flows"] > 50
    assert seen["younger"] == []


def test_what_is_ours_comes_back_and_what_is_not_is_left_and_counted(tmp_path: Path) -> None:
    seen = run("south_failures.mends", tmp_path)
    assert seen["groups"] == 1
    assert seen["deleted_s"] < 5
    assert seen["groups_s"] < 5
    assert len(seen["foreign"]) == 1
    others, mismatches, added = seen["applied"]["2"]
    assert (others, added) == (1, 0)
    assert mismatches == seen["mended"] > 0
    assert all(row == [0, 0, 0] for dpid, row in seen["applied"].items() if dpid != "2")


def test_silent_cut_counts_as_a_port_that_went_down(tmp_path: Path) -> None:
    seen = run("south_failures.silent", tmp_path)
    assert seen["carrier"]
    assert seen["noticed_s"] < 1
    assert seen["lost"]


def test_link_that_is_lowered_costs_a_protected_circuit_an_instant(tmp_path: Path) -> None:
    seen = run("south_failures.failover", tmp_path)
    for cable, lost_ms in seen.items():
        # nobody but the switches acts; how fast they notice depends on who else is on the machine
        assert statistics.median(lost_ms) < 50, (cable, seen)


def test_unknown_switch_and_second_of_a_name_are_refused(tmp_path: Path) -> None:
    seen = run("south_strangers.strangers", tmp_path)
    assert seen["switches"] == seen["twice"] == [1, 2, 3, 4, 5]
    assert seen["flows"] == seen["t1"] == 0


def test_recorded_discovery_frame_makes_no_link(tmp_path: Path) -> None:
    seen = run("south_strangers.replayed", tmp_path)
    assert seen == {"from": 1, "there": True, "elsewhere": True}


def test_packed_flows_are_several_times_as_fast_as_objects(tmp_path: Path) -> None:
    result = tmp_path / "bench.json"
    command = [sys.executable, "-m", "controller.cli", "bench", "openflow", "--rounds", "2"]
    done = subprocess.run(
        [*command, "--flows", "4000", "--json", str(result)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = {name: row["median"] for name, row in json.loads(result.read_text()).items()}
    assert found["templates"] > 2.5 * found["objects"], done.stdout
    assert found["bundles"] > 2 * found["objects"], done.stdout


def test_switches_come_by_tls_and_whoever_has_no_certificate_of_ours_does_not(
    tmp_path: Path,
) -> None:
    seen = run("south_strangers.secure", tmp_path)
    assert seen["applied"] == [[dpid, "", 0] for dpid in range(1, 6)]
    assert seen["flows"] > 10
    assert "unknown ca" in seen["stranger"]
    assert "certificate required" in seen["nobody"]
    assert not seen.get("plain")
    assert seen["switches"] == [1, 2, 3, 4, 5]

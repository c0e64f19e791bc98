"""The real thing: Open vSwitch, engines, southbound, brain and traffic, and what breaks."""

from pathlib import Path

from tests.integration.scenes import run


def test_hosts_that_know_nothing_talk_over_circuits(tmp_path: Path) -> None:
    seen = run("steers", tmp_path)
    assert "5 received" in seen["ping"]
    rate = float(seen["tcp"].split('"bits_per_second":')[1].split(",")[0])
    assert rate > 5e6
    assert seen["marked"] > 1000
    assert seen["delivered"] > 1000
    assert "nsh_spi" in seen["flows"]
    assert seen["state"]["rule_errors"] == 0
    assert seen["start_s"] < 20


def test_killing_each_process_in_turn_loses_no_packet(tmp_path: Path) -> None:
    seen = run("kills", tmp_path, 180)
    assert set(seen["back_s"]) == {"southbound", "brain", "decide", "agent", "bus"}
    assert seen["sent"] > 5000
    assert seen["received"] == seen["sent"], seen
    assert seen["rule_errors"] == 0


def test_without_kills_nothing_is_lost_or_reordered(tmp_path: Path) -> None:
    seen = run("control", tmp_path)
    assert seen["sent"] > 5000
    assert seen["received"] == seen["sent"]


def test_switch_daemon_that_dies_is_started_and_refilled(tmp_path: Path) -> None:
    seen = run("switch_restart", tmp_path)
    assert seen["waited_s"] < 10
    assert any("outage" in line for line in seen["said"])


def test_link_that_goes_down_is_avoided_and_used_again(tmp_path: Path) -> None:
    seen = run("link_down", tmp_path)
    assert seen["moved_s"] < 5
    assert seen["ready"]


def test_hand_made_packet_comes_out_and_one_with_a_wrong_tag_is_routed(tmp_path: Path) -> None:
    seen = run("injected", tmp_path)
    assert "good" in seen["good"]["arrived"]
    assert "wrong" in seen["wrong"]["arrived"]
    # the host answers each with an ICMP error, which is marked and delivered too
    good, wrong = seen["good"]["counted"], seen["wrong"]["counted"]
    assert good["delivered"] - good["marked"] == 1
    assert wrong.pop("delivered") - wrong.pop("marked") == 0
    # engines send each other echoes all the while
    wrong = {name: count for name, count in wrong.items() if not name.startswith("echo_")}
    assert wrong == {"tag": 1, "returned": 1}


def test_engine_whose_program_is_gone_is_noticed_by_the_others(tmp_path: Path) -> None:
    seen = run("engine_down", tmp_path)
    assert seen["before"] == []
    # three echoes of 0.1 s, a status and a state each second
    assert seen["noticed_s"] < 5
    assert seen["back_s"] < 10


def test_full_switch_takes_its_circuits_plan_back_and_traffic_goes_on(tmp_path: Path) -> None:
    seen = run("table_full", tmp_path)
    assert seen["flows"] <= seen["held"]
    assert seen["sent"] > 2000
    # a packet may be between two readings of the counters
    assert seen["received"] >= seen["sent"] - 10
    assert seen["said_by_brain"]

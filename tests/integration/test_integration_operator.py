"""An operator's circuits and firewall on a real network: there at once, refused whole, gone."""

from pathlib import Path

from tests.integration.scenes import run


def test_circuits_and_rules_are_what_packets_meet_from_request_to_deletion(tmp_path: Path) -> None:
    seen = run("operator_scenarios.operated", tmp_path, 150)
    # what cannot be had is refused with the reason, and nothing is left of it
    assert [any(words in why for words in ("B>X is not there", "not a way between", "1000.0 Mb/s",
            "not two known locations")) for why in seen["refused"]] == [True] * 4  # fmt: skip
    assert seen["left_behind"] == []
    assert seen["rules_left"] == seen["rules_before"] == 0
    # what can is in the switches and at the edge when the call returns
    assert seen["gold"] == [["A>B", "B>C"], True]
    assert seen["shut"] == ["C>D", "D>A"]
    assert seen["moves"] == [[True, True]] * 3
    # real packets: 53 is denied on gold, 54 passes; shut lets only through what a rule allows
    assert seen["there"] == ["54"]
    assert seen["back"] == ["53"]
    assert seen["pings"]
    assert seen["pings_no_more"]
    assert seen["finding"] == [{"what": "shadowed", "rule": "late", "other": "no-dns"}]
    assert "has priority 900 already" in seen["taken_priority"]
    for traced in (seen["traced"], seen["retraced"]):
        assert traced["wrong"] == []
        assert traced["filters"] == 2
        assert traced["asked"] > 2 * traced["circuits"] - 12
    # deleted: all may pass again; and nothing was lost to any of it
    assert seen["named"] == []
    assert seen["everything"] == [["53", "54"], True]
    assert seen["lost"] == {}
    assert seen["sent"] > 10_000
    assert seen["rule_errors"] == 0

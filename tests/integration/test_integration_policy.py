"""The first example of docs/policies.md on real traffic."""

from pathlib import Path

from tests.integration.scenes import run

LATE_S = 4.0
STARVED = 0.02


def test_load_that_is_seen_coming_is_diverted_and_databases_stay(tmp_path: Path) -> None:
    found = run("policy_scenarios.diverted", tmp_path, 170)
    assert found["version"] == 1
    assert found["web"]["first_at_d_s"] is not None, found["seen"][::10]
    assert found["crossed_s"] is not None
    # new connections go elsewhere before the threshold is reached: `python -m tests.perf.policy`
    # measures that on ten days; a machine that is half as fast may be a little late
    assert found["web"]["first_at_d_s"] < found["crossed_s"] + LATE_S
    assert found["web"]["at_d"] > 20
    # none is lost on a machine that is not starved; servers and clients are processes like others
    assert len(found["web"]["lost"]) <= found["web"]["total"] * STARVED, found["web"]
    # databases stay on the nearest replica, and the ruling says so
    assert found["db"]["at_d"] == 0
    assert len(found["db"]["lost"]) <= found["db"]["total"] * STARVED, found["db"]
    assert any("refused by service policy db-replicas" in why
               for one in found["seen"] for why in one["refused"])  # fmt: skip
    assert found["after"]["at_d"] == 0
    assert found["told"], "the timeline does not tell of it"
    assert found["state"]["rule_errors"] == 0

"""After a cut the loop protects every circuit again, within two ticks."""

from pathlib import Path

from tests.integration.restore_scenarios import CUTS, TICK_S
from tests.integration.scenes import run


def test_loop_protects_every_circuit_again_within_two_ticks_of_a_cut(tmp_path: Path) -> None:
    found = run("restore_scenarios.restored", tmp_path, 170)
    seen = found["seen"]
    for kind, _, _ in CUTS:
        # a cut of what nothing used would show nothing
        assert seen[kind]["used"] > 10
        assert seen[kind]["ticks"] <= 2, seen[kind]
        # it is the loop's ticks that count: to look into every switch takes a second itself
        assert seen[kind]["seconds"] <= 3 * TICK_S, seen[kind]
        # a cut leaves a bridge between west and east, where there is one way only
        assert seen[kind]["protected"] > 60
    if seen["plan_stood"]:  # else it was another plan's switches that were asked
        assert seen["wrong"] == []
    assert found["rule_errors"] == 0

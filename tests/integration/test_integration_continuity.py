"""Parts of a running Abilene are killed: nothing is lost, and no right flow is written anew."""

from pathlib import Path

from tests.integration.scenes import run


def test_southbound_and_brain_come_back_without_loss_or_rewriting(tmp_path: Path) -> None:
    seen = run("continuity_scenarios.kills", tmp_path, 170)
    assert seen["sent"] > 20_000
    # what a busy machine's switch is late for; the control of test_integration_network has none
    assert seen["received"] >= 0.998 * seen["sent"]
    for name, found in seen["killed"].items():
        assert found["anew"] == [], (name, found)
        assert found["kept"] > 0.5 * found["before"]


def test_switches_that_restart_are_refilled_soon_after_they_connect(tmp_path: Path) -> None:
    seen = run("continuity_scenarios.restart", tmp_path, 120)
    assert seen["refilled_s"] < 2

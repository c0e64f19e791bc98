"""Prefixes that a real BIRD announces: packets leave where the plan says, steered on the way."""

from pathlib import Path

from tests.integration.exit_scenarios import FAR
from tests.integration.scenes import run


def test_packets_to_prefixes_outside_leave_by_the_exit_of_the_plan(tmp_path: Path) -> None:
    seen = run("exit_scenarios.followed", tmp_path)
    # the lower MED is at C; each packet there and back is marked, and handed to the router by
    # C's switch
    assert seen["by_c"] == {"C": 20, "D": 0, "back": 20}
    assert seen["engines"]["marked"] >= 40
    assert seen["engines"]["no_neighbour"] >= 20
    assert seen["engines"]["returned"] >= 20
    (one,) = seen["exits"]
    assert one["prefixes"] == [FAR]
    assert one["gateways"] == {"C": "10.3.0.1"}
    assert [path["med"] for path in one["announced"]] == [10, 20]
    # another MED, another exit, within a tick and the plan's own time
    assert seen["moved_s"] < 5
    assert seen["by_d"] == {"C": 0, "D": 20, "back": 20}
    assert seen["from_d"]["D"] == seen["from_d"]["back"] == 5
    # both as good: B, in between, has one of them, and C's and D's own hosts leave at home
    (one,) = seen["both_exits"]
    assert one["gateways"] == {"C": "10.3.0.1", "D": "10.4.0.1"}
    assert (one["sources"]["C"], one["sources"]["D"]) == ("C", "D")
    assert all(found["back"] == 10 for found in seen["both"].values())
    # nobody announces it: it is not there, and nothing is left of it
    assert seen["gone"]["back"] == 0
    assert seen["learned"] == 0
    assert seen["state"]["rule_errors"] == 0
    assert seen["state"]["unserved"] == []
    notes = [note for one in seen["notes"] for note in one]
    assert any(note.startswith(f"{FAR}: from ") and "by D instead of C" in note for note in notes)
    assert f"no neighbour announces {FAR} any more" in notes

"""What changes and cuts cost on Abilene with the length of its cables.

The bounds are those of the requirement plus what a busy machine adds: Open vSwitch's main thread
has to get its turn before it can react. ``python -m tests.perf.protection`` prints the figures.
"""

import itertools
from pathlib import Path

from tests.integration.protection_scenarios import CUT_LINKS, DEMANDS, WATCHED_PER_S
from tests.integration.scenes import run

SILENT_S = 0.4
BUSY_S = 0.15


def crossing(link: str) -> set[int]:
    """Return which watched demands go over a link."""
    return {
        number
        for number, way in enumerate(DEMANDS)
        if any(f"{a}>{b}" == link for a, b in itertools.pairwise(way))
    }


def test_changes_lose_nothing_and_cuts_cost_a_protected_circuit_little(tmp_path: Path) -> None:
    seen = run("protection_scenarios.protection", tmp_path, 170)
    losses = seen["losses"]
    for phase in ("control", "weights", "paths"):
        assert losses[phase]["lost"] == [0] * len(DEMANDS), (phase, losses[phase])
        assert min(losses[phase]["sent"]) > WATCHED_PER_S
    for name, link in seen["cuts"]:
        lost = losses[name]["lost"]
        bound_s = (SILENT_S if name.startswith("silent") else 0.015) + BUSY_S
        hit = crossing(link)
        assert hit, link
        for number, count in enumerate(lost):
            most = WATCHED_PER_S * (bound_s if number in hit else BUSY_S)
            assert count <= most, (name, link, lost)
        # a silent cut that costs nothing was none
        if name.startswith("silent"):
            assert all(lost[number] > 0 for number in hit)
    assert seen["state"]["rule_errors"] == 0
    assert {tuple(link.split(">")) for _, link in seen["cuts"]} <= set(CUT_LINKS)

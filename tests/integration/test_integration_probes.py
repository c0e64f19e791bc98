"""Links measured through the data plane, on cables of known length."""

from pathlib import Path

from tests.integration.probe_scenarios import LENGTHS_MS
from tests.integration.test_integration_network import run


def test_links_round_trips_are_those_of_the_cables_and_a_silent_link_loses_probes(
    tmp_path: Path,
) -> None:
    seen = run("probe_scenarios.measured", tmp_path)
    for pair, length_ms in LENGTHS_MS.items():
        for name in (f"{pair[0]}>{pair[1]}", f"{pair[1]}>{pair[0]}"):
            found = seen["whole"][name]
            asked_ms = 2 * length_ms
            assert abs(found["rtt_ms"] - asked_ms) <= 1 + 0.1 * asked_ms, (name, found)
            assert found["loss"] <= 0.2
    assert seen["cut"]["Y>Z"]["loss"] <= 0.2
    assert seen["cut"]["Y>X"]["loss"] > 0
    assert seen["lost_s"] < 10

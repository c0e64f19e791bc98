"""Links and circuits measured through the data plane, on cables of known length."""

from pathlib import Path

from tests.integration.probe_scenarios import LENGTHS_MS, within
from tests.integration.scenes import run


def test_round_trips_are_those_of_the_cables_and_a_silent_link_loses_probes(
    tmp_path: Path,
) -> None:
    seen = run("probe_scenarios.measured", tmp_path)
    assert within(seen["whole"])
    assert all(one["loss"] <= 0.2 for one in seen["whole"].values())
    # the others go on as they were
    assert seen["cut"]["Y>Z"]["loss"] <= 0.2
    assert seen["cut"]["Y>X"]["loss"] > 0
    assert seen["lost_s"] < 10
    # out on the circuit, and back on whichever leads back
    for spi, links in seen["paths"].items():
        pairs = [link.split(">") for link in links]
        length_ms = sum(LENGTHS_MS.get(a + b, LENGTHS_MS.get(b + a, 0.0)) for a, b in pairs)
        assert seen["circuits"][spi]["rtt_ms"] >= length_ms - 0.2, (spi, links)

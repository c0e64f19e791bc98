"""The benchmark runs, and its made-up connections are what they should be."""

import json

import pytest

from dataplane.bench.shadow import figures, load
from dataplane.bench.shadow.figures import Figures, costs
from dataplane.bench.shadow.stream import stream
from dataplane.shadow.flows import rows_of_keys
from headers.replication.record import FAMILY


@pytest.mark.parametrize("six", [False, True])
def test_made_up_connections_are_all_different(six: bool) -> None:
    made = load.keys(5, 20_000, six=six)
    assert len(set(made.tolist())) == 20_000
    assert load.keys(6, 1, six=six).tolist() == made[1:2].tolist()
    assert set(rows_of_keys(made)[:, FAMILY].tolist()) == {6 if six else 4}


@pytest.mark.slow
async def test_figures_of_a_small_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "_TIMES", 3)
    async with stream(1 << 14) as made:
        new = await made.open(5_000, 0.5)
        update = await made.touch(5_000, 0.5)
        new6 = await made.open(2_000, 0.5, six=True)
        held = (await made.ask("look"))["held"]
        assert held == made.opened == len(made.table)
    async with stream(1 << 14) as made:
        taken = await made.snapshot(8_000, 1_000)
    found = Figures(costs(), new, update, new6, new, taken)
    values = json.loads(json.dumps(found.values()))
    assert set(values["lag_ms"]) == {"p50_at_20k", "p99_at_20k", "max_rate_per_s", "p99_at_max"}
    assert 5 < values["bytes"]["per_new"] < 24
    assert 15 < values["bytes"]["per_new_ipv6"] < 48
    assert 2 < values["bytes"]["per_update"] < 8
    assert "snapshot of 8,000" in found.text()

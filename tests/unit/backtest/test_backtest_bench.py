import json

import pytest
from click.testing import CliRunner

from controller.backtest.bench import bench, find_network
from controller.backtest.bench_commands import decide
from controller.state import Policies
from headers.errors import FileError


def test_a_network_that_is_not_there_is_refused_by_name():
    with pytest.raises(FileError, match="no network 'arpanet'; there are abilene, geant"):
        find_network("arpanet", None)


def test_without_data_the_collection_s_topology_and_made_up_traffic_stand_in(tmp_path):
    for data in (None, tmp_path):
        found = find_network("abilene", data)
        assert found.synthetic
        assert len(found.nodes) == 12


@pytest.mark.slow
def test_a_reduced_network_is_told_beside_the_whole_program():
    network = find_network("abilene", None)
    whole = bench(network, "abilene", Policies())
    reduced = bench(network, "abilene", Policies(steered=60), whole=True)
    assert whole.steered == whole.demands == 132
    assert reduced.steered == 60
    assert whole.least is None
    assert reduced.least <= whole.utilisation * (1 + 1e-6)
    assert reduced.utilisation <= reduced.least * 1.1
    assert whole.utilisation < whole.plain
    assert whole.decide_ms > 0.0


@pytest.mark.slow
def test_the_command_prints_growth_and_writes_a_file(tmp_path):
    out = tmp_path / "bench.json"
    args = ["--only", "abilene,geant", "--steered", "200", "--full", "--json", str(out)]
    result = CliRunner().invoke(decide, args, env={"FORESTEER_DATA": ""})
    assert result.exit_code == 0, result.output
    assert "abilene to geant:" in result.output
    assert "the whole program:" in result.output
    found = json.loads(out.read_text())["networks"]
    assert [one["name"] for one in found] == ["abilene", "geant"]
    assert found[1]["steered"] == 200
    wrong = CliRunner().invoke(decide, ["--only", "x"])
    assert "there is no network 'x'" in wrong.output

"""Where topologies come from."""

from pathlib import Path

import pytest

from headers.files import FileError, Link, Node, Topology, save_topology
from topologies.errors import TopologyError
from topologies.sources import ENVIRONMENT, data_directory, find_topology, from_topohub

PAIR = Topology("pair", (Node("x"), Node("y")), (Link("x", "y", 10.0), Link("y", "x", 10.0)))


@pytest.fixture(autouse=True)
def no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)


def test_topology_is_found_by_its_files_path(tmp_path: Path) -> None:
    save_topology(PAIR, tmp_path / "pair.json")
    assert find_topology(str(tmp_path / "pair.json")) == PAIR


def test_topology_is_found_by_name_in_the_data_directory_before_topohub(tmp_path: Path) -> None:
    save_topology(PAIR, tmp_path / "abilene.json")
    assert find_topology("abilene", tmp_path) == PAIR


def test_environment_names_the_data_directory_and_the_argument_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path))
    assert data_directory() == tmp_path
    (tmp_path / "other").mkdir()
    assert data_directory(tmp_path / "other") == tmp_path / "other"


def test_data_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match="none is not there"):
        data_directory(tmp_path / "none")


@pytest.mark.parametrize("name", ["abilene", "sndlib/abilene"])
def test_topohub_has_abilene_by_short_and_full_name(name: str, tmp_path: Path) -> None:
    topology = find_topology(name, tmp_path)
    assert (topology.name, len(topology.nodes), len(topology.links)) == ("abilene", 12, 30)
    ends = {(link.src, link.dst) for link in topology.links}
    assert ends == {(dst, src) for src, dst in ends}
    assert all(20 < node.lat < 55 and -130 < node.lon < -60 for node in topology.nodes)  # type: ignore[operator]


def test_delay_is_that_of_light_over_the_distance_that_is_the_metric() -> None:
    for link in from_topohub("abilene").links:
        assert link.delay_ms == pytest.approx(link.metric / 200.0)


def test_unknown_topology_is_named() -> None:
    with pytest.raises(TopologyError, match="no topology 'atlantis'"):
        find_topology("atlantis")


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"gone\.json: No such file"):
        find_topology(str(tmp_path / "gone.json"))

"""The lab's commands, as far as they go without root: what they refuse, and how."""

import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from bus import Instance
from headers.files import Link, Node, Topology, save_topology
from topologies.commands import clean, controller, demo, mn, network, take_directory
from topologies.sources import ENVIRONMENT


def refused(result: Result, words: str) -> None:
    assert result.exit_code == 1
    assert words in result.output
    assert len(result.output.strip().splitlines()) == 1


@pytest.fixture(autouse=True)
def no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "data"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--topology", "atlantis"], "no topology 'atlantis'"),
        (["--topology", "gone.json"], "gone.json: No such file"),
        (["--tm", "gone.npz"], "--tm needs --topology"),
        (["--data", "gone"], "the data directory gone is not there"),
    ],
)
def test_demo_without_what_it_was_asked_for_ends_in_one_line(
    options: list[str], words: str
) -> None:
    refused(CliRunner().invoke(demo, options), words)


def test_demo_names_the_file_of_a_topology_with_unknown_nodes(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    save_topology(Topology("t", (Node("x"),), (Link("x", "y", 1.0),)), path)
    refused(CliRunner().invoke(demo, ["--topology", str(path)]), "unknown node 'y'")


def test_demo_in_an_earlier_one_s_directory_keeps_none_of_its_state(tmp_path: Path) -> None:
    Instance(tmp_path / "instance").save_settings({"origin_s": 1.0})
    os.close(take_directory(tmp_path))
    # what no demo wrote stays
    assert Instance(tmp_path / "instance").settings() == {"origin_s": 1.0}
    (tmp_path / "settings.json").write_text("{}")
    held = take_directory(tmp_path)
    assert not (tmp_path / "instance").exists()
    with pytest.raises(click.ClickException, match="a demo is running"):
        take_directory(tmp_path)
    os.close(held)
    os.close(take_directory(tmp_path))


def test_mininet_without_a_controller_says_how_to_start_one(instance_directory: Path) -> None:
    refused(CliRunner().invoke(mn, ["--topo", "abilene"]), "./run controller")


def test_second_controller_of_an_instance_is_refused(instance_directory: Path) -> None:
    held = Instance(instance_directory).hold("southbound")
    assert held is not None
    refused(CliRunner().invoke(controller, []), "running already")


def test_network_file_that_is_wrong_is_named(tmp_path: Path) -> None:
    path = tmp_path / "n.json"
    path.write_text('{"version": 2}')
    refused(CliRunner().invoke(network, ["check", str(path)]), f"{path}: version 2")


def test_clean_of_an_instance_where_nothing_runs_does_nothing(instance_directory: Path) -> None:
    result = CliRunner().invoke(clean, [])
    assert (result.exit_code, result.output) == (0, "")

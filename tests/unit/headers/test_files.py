"""Files that others make: what is right is read, what is wrong is named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headers.errors import FileError
from headers.files import (
    TrafficMatrices,
    load_matrices,
    load_topology,
    save_matrices,
    save_topology,
)
from headers.files.network import load_network, network_to_dict, save_network

TRIANGLE: dict[str, Any] = {
    "name": "triangle",
    "nodes": [{"name": "A", "lat": 1.0, "lon": 2.0}, {"name": "B"}, {"name": "C"}],
    "links": [
        {"src": a, "dst": b, "capacity_mbps": 10.0, "metric": 1.0}
        for a, b in ("AB", "BA", "BC", "CB")
    ],
}


def written(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "file.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_topology_survives_saving(tmp_path: Path) -> None:
    topology = load_topology(written(tmp_path, TRIANGLE))
    save_topology(topology, tmp_path / "again.json")
    assert load_topology(tmp_path / "again.json") == topology
    assert topology.index() == {"A": 0, "B": 1, "C": 2}


def test_topology_without_a_name_takes_the_files(tmp_path: Path) -> None:
    nameless = {k: v for k, v in TRIANGLE.items() if k != "name"}
    assert load_topology(written(tmp_path, nameless)).name == "file"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nodes": 3}, "no list 'nodes'"),
        ({"links": None}, "no list 'links'"),
        ({"nodes": []}, "no nodes"),
        ({"nodes": [{"name": ""}]}, "has no name"),
        ({"nodes": [{"name": "A"}, {"name": "A"}]}, "more than once"),
        ({"links": [{"src": "A", "dst": "X", "capacity_mbps": 1}]}, "unknown node 'X' as its dst"),
        ({"links": [{"src": "A", "dst": "A", "capacity_mbps": 1}]}, "to itself"),
        ({"links": [{"src": "A", "dst": "B", "capacity_mbps": 0}]}, "not above 0"),
        ({"links": [{"src": "A", "dst": "B"}]}, "not a finite number"),
        ({"links": ["A"]}, "not an object"),
    ],
)
def test_wrong_topology_is_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(FileError, match=words):
        load_topology(written(tmp_path, {**TRIANGLE, **change}))


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    for load in (load_topology, load_matrices, load_network):
        with pytest.raises(FileError, match="missing"):
            load(tmp_path / "missing")
    for load in (load_topology, load_network):
        with pytest.raises(FileError, match="not JSON"):
            load(written(tmp_path, "{"))
    with pytest.raises(FileError, match="not a NumPy archive"):
        load_matrices(written(tmp_path, "zip?"))


def matrices() -> TrafficMatrices:
    tm = np.arange(18, dtype=float).reshape(2, 3, 3)
    tm[:, range(3), range(3)] = 0
    return TrafficMatrices("m", ("A", "B", "C"), np.array([0, 300]), tm, synthetic=True)


def test_matrices_survive_saving(tmp_path: Path) -> None:
    save_matrices(matrices(), tmp_path / "m.npz")
    found = load_matrices(tmp_path / "m.npz")
    assert found.synthetic
    assert found.step_s == 300
    assert (found.tm_mbps == matrices().tm_mbps).all()
    assert len(found.part(0, 1)) == 1


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"tm": np.zeros((2, 3, 3)), "time": [0, 1]}, "no array 'nodes'"),
        ({"tm": np.zeros((2, 3, 3)), "time": [0, 1], "nodes": ["A"]}, "has shape"),
        ({"tm": np.zeros((2, 3)), "time": [0, 1], "nodes": ["A"]}, "2 dimensions"),
        ({"tm": -np.ones((2, 3, 3)), "time": [0, 1], "nodes": list("ABC")}, "negative"),
        ({"tm": np.full((1, 2, 2), np.nan), "time": [0], "nodes": list("AB")}, "not finite"),
        ({"tm": np.zeros((2, 1, 1)), "time": [5, 5], "nodes": ["A"]}, "does not increase"),
        ({"tm": np.zeros((0, 1, 1)), "time": [], "nodes": ["A"]}, "no intervals"),
    ],
)
def test_wrong_matrices_are_named(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    np.savez(tmp_path / "m.npz", **arrays)
    with pytest.raises(FileError, match=words):
        load_matrices(tmp_path / "m.npz")


def network_dict() -> dict[str, Any]:
    return {
        "version": 1,
        "name": "n",
        "locations": [
            {
                "name": name,
                "dpid": number,
                "prefix": f"10.{number}.0.0/16",
                "gateway": f"10.{number}.255.254",
                "engine": {
                    "name": f"e{number}",
                    "number": number,
                    "host_ports": [f"e{number}-eth1"],
                    "fabric_port": f"e{number}-eth2",
                    "switch_port": 1,
                },
            }
            for number, name in ((1, "A"), (2, "B"))
        ],
        "links": [{"src": "A", "dst": "B", "capacity_bps": 1e6}],
    }


def test_network_survives_saving(tmp_path: Path) -> None:
    network = load_network(written(tmp_path, network_dict()))
    save_network(network, tmp_path / "again.json")
    assert load_network(tmp_path / "again.json") == network
    assert network_to_dict(network)["version"] == 1


def broken(*path: str | int, value: Any) -> dict[str, Any]:
    data = network_dict()
    target: Any = data
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (broken("version", value=2), "version 2"),
        (broken("locations", 0, "prefix", value="10.1.0.0/99"), "location 0"),
        (broken("locations", 0, "gateway", value="10.9.0.1"), "not in 10.1.0.0/16"),
        (broken("locations", 1, "dpid", value=1), "dpid occurs more than once"),
        (broken("locations", 1, "name", value="A"), "name occurs more than once"),
        (broken("locations", 0, "engine", "number", value=0), "not between 1 and 255"),
        (broken("locations", 0, "engine", "host_ports", value=["a b"]), "no interface name"),
        (broken("locations", 0, "engine", "host_ports", value=list("abcd")), "at most 3"),
        (broken("links", 0, "dst", value="X"), "unknown location"),
        (broken("links", 0, "capacity_bps", value=0), "above 0"),
        (broken("links", 0, "capacity_bps", value="fast"), "'fast'"),
    ],
)
def test_wrong_network_is_named(tmp_path: Path, data: dict[str, Any], words: str) -> None:
    with pytest.raises(FileError, match=words):
        load_network(written(tmp_path, data))

"""Network files that are wrong in ways that only show later, if they are let in."""

import json
from pathlib import Path
from typing import Any

import pytest

from headers.errors import FileError
from headers.files.network import AgentAddress, load_network, save_network

GOOD: dict[str, Any] = {
    "version": 1,
    "name": "pair",
    "locations": [
        {
            "name": name,
            "dpid": number,
            "prefix": f"10.{number}.0.0/16",
            "gateway": f"10.{number}.255.254",
            "engine": {
                "name": f"e{number}",
                "number": number,
                "host_ports": ["eth1"],
                "fabric_port": "eth2",
                "switch_port": 1,
            },
        }
        for number, name in enumerate(("west", "east"), 1)
    ],
    "links": [{"src": "west", "dst": "east", "capacity_bps": 1e9}],
}


def write(directory: Path, *where: str | int, value: object = None) -> Path:
    content = json.loads(json.dumps(GOOD))
    if where:
        place = content
        for key in where[:-1]:
            place = place[key]
        place[where[-1]] = value
    path = directory / "network.json"
    path.write_text(json.dumps(content))
    return path


def test_what_may_be_left_out_has_defaults(tmp_path: Path) -> None:
    network = load_network(write(tmp_path))
    assert (network.max_frame, network.synthetic) == (1614, False)
    (link,) = network.links
    assert (link.metric, link.delay_ms) == (1.0, None)
    assert network.locations[0].engine.netns_pid is None


def test_agents_and_stages_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, "agents", value=[{"name": "one", "host": "192.0.2.1"}])
    network = load_network(path)
    assert network.agents == (AgentAddress("one", "192.0.2.1", 6610),)
    engine = load_network(write(tmp_path, "locations", 0, "engine", "stage", value="edge"))
    assert engine.locations[0].engine.stage == "edge"
    assert engine.locations[1].engine.agent == ""
    save_network(network, path)
    assert load_network(path) == network


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        (("agents",), [{"name": "one", "host": "rack-1"}], "agent 0: 'rack-1' does not appear"),
        (("agents",), [{"name": "a.b", "host": "::1"}], "agent 0: 'a.b' is no name of an agent"),
        (("agents",), [{"name": "a", "host": "::1", "port": 0}], "port 0 is not between"),
        (("agents",), [{"name": "a", "host": "::1"}] * 2, "an agent's name occurs more than once"),
        (("agents",), {}, "'agents' is {}"),
        (("locations", 0, "engine", "stage"), 7, "'stage' is 7"),
        (("locations", 0, "engine", "risk_groups"), "rack", "'risk_groups' is 'rack'"),
        (("links", 0, "metric"), "short", "link 0: 'metric' is 'short'"),
        (("links", 0, "metric"), None, "link 0: 'metric' is None"),
        (("links", 0, "metric"), -1, "link 0: metric must be above 0"),
        (("links", 0, "capacity_bps"), float("nan"), "link 0: capacity_bps must be above 0"),
        (("links", 0, "capacity_bps"), float("inf"), "link 0: capacity_bps must be above 0"),
        (("links", 0, "delay_ms"), "1", "link 0: 'delay_ms' is '1'"),
        (("locations", 1, "lat"), "north", "location 1: 'lat' is 'north'"),
        (("locations", 1, "engine", "netns_pid"), "init", "engine: 'netns_pid' is 'init'"),
        (("locations", 1, "engine", "fabric_peer"), 7, "engine: 'fabric_peer' is 7"),
        (("max_frame",), "large", "'max_frame' is 'large'"),
    ],
)
def test_field_of_the_wrong_kind_is_refused_by_name(
    tmp_path: Path, where: tuple[str | int, ...], value: object, words: str
) -> None:
    path = write(tmp_path, *where, value=value)
    with pytest.raises(FileError) as caught:
        load_network(path)
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)


def test_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "network.json"
    path.write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(FileError, match="not JSON"):
        load_network(path)

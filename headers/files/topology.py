"""Topology files: nodes with names and places, directed links with capacities.

JSON with ``nodes`` (``name``, ``lat``/``lon`` where known) and ``links`` (directed: ``src``,
``dst``, ``capacity_mbps``, ``metric``, ``delay_ms`` where known).
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headers.errors import FileError


@dataclass(frozen=True, slots=True)
class Node:
    """A location: its name and, where known, its coordinates in degrees."""

    name: str
    lat: float | None = None
    lon: float | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A directed link: capacity in Mb/s, IGP metric (above 0), propagation delay in ms."""

    src: str
    dst: str
    capacity_mbps: float
    metric: float = 1.0
    delay_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Topology:
    """Nodes in matrix order and directed links between them."""

    name: str
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes' names, in matrix order."""
        return tuple(node.name for node in self.nodes)

    def index(self) -> dict[str, int]:
        """Return each node's position in the matrices, by name."""
        return {node.name: position for position, node in enumerate(self.nodes)}


def _number(value: Any, where: str, *, above: float | None = None) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise FileError(f"{where} is {value!r}, not a finite number")
    if above is not None and value <= above:
        raise FileError(f"{where} is {value}, not above {above:g}")
    return float(value)


def _optional(value: Any, where: str) -> float | None:
    return None if value is None else _number(value, where)


def topology_from_dict(data: Any, source: str) -> Topology:
    """Build a Topology from decoded JSON; ``source`` names it in errors.

    Raises:
        FileError: a field is missing or of the wrong kind, a node's name occurs twice, or a link
            names a node that is not there or leads from a node to itself.
    """
    if not isinstance(data, dict) or not isinstance(data.get("nodes"), list):
        raise FileError(f"{source}: no list 'nodes': this is not a topology file")
    if not isinstance(data.get("links"), list):
        raise FileError(f"{source}: no list 'links': this is not a topology file")
    nodes = []
    for number, item in enumerate(data["nodes"]):
        where = f"{source}: node {number}"
        if not isinstance(item, dict) or not isinstance(item.get("name"), str) or not item["name"]:
            raise FileError(f"{where} has no name")
        nodes.append(
            Node(
                item["name"],
                _optional(item.get("lat"), f"{where}: lat"),
                _optional(item.get("lon"), f"{where}: lon"),
            )
        )
    names = [node.name for node in nodes]
    if not names:
        raise FileError(f"{source}: there are no nodes")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FileError(f"{source}: node name {twice[0]!r} occurs more than once")
    known = set(names)
    links = []
    for number, item in enumerate(data["links"]):
        where = f"{source}: link {number}"
        if not isinstance(item, dict):
            raise FileError(f"{where} is not an object")
        for end in ("src", "dst"):
            if item.get(end) not in known:
                raise FileError(f"{where} names the unknown node {item.get(end)!r} as its {end}")
        if item["src"] == item["dst"]:
            raise FileError(f"{where} leads from {item['src']!r} to itself")
        links.append(
            Link(
                item["src"],
                item["dst"],
                _number(item.get("capacity_mbps"), f"{where}: capacity_mbps", above=0.0),
                _number(item.get("metric", 1.0), f"{where}: metric", above=0.0),
                _optional(item.get("delay_ms"), f"{where}: delay_ms"),
            )
        )
    name = data.get("name")
    return Topology(name if isinstance(name, str) else source, tuple(nodes), tuple(links))


def load_topology(path: Path) -> Topology:
    """Read a topology file.

    Raises:
        FileError: the file cannot be read, is no JSON, or breaks the format.
    """
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise FileError(f"{path}: not JSON: {error}") from error
    topology = topology_from_dict(data, str(path))
    return (
        topology
        if isinstance(data.get("name"), str)
        else Topology(path.stem, topology.nodes, topology.links)
    )


def topology_to_dict(topology: Topology) -> dict[str, Any]:
    """Return what a topology file holds, ready for JSON; unknown places and delays are left out."""

    def known(item: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in item.items() if value is not None}

    return {
        "name": topology.name,
        "nodes": [known({"name": n.name, "lat": n.lat, "lon": n.lon}) for n in topology.nodes],
        "links": [
            known(
                {
                    "src": link.src,
                    "dst": link.dst,
                    "capacity_mbps": link.capacity_mbps,
                    "metric": link.metric,
                    "delay_ms": link.delay_ms,
                }
            )
            for link in topology.links
        ],
    }


def save_topology(topology: Topology, path: Path) -> None:
    """Write a topology file."""
    path.write_text(json.dumps(topology_to_dict(topology), indent=1) + "\n")

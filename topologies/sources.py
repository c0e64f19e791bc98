"""Where topologies come from: a file, a data directory, or topohub's collection, by name."""

import os
from pathlib import Path

from headers.files import Link, Node, Topology, load_topology
from topologies.errors import TopologyError

ENVIRONMENT = "FORESTEER_DATA"
KM_PER_MS = 200.0  # light in fibre
TOPOHUB_CAPACITY_MBPS = 10_000.0
TOPOHUB_GROUPS = ("sndlib", "topozoo", "backbone")


def data_directory(given: Path | None = None) -> Path | None:
    """Return where measured data lie: the argument, FORESTEER_DATA, or ``data/`` of the clone."""
    named = given or (Path(os.environ[ENVIRONMENT]) if os.environ.get(ENVIRONMENT) else None)
    if named is not None:
        if not named.is_dir():
            raise TopologyError(f"the data directory {named} is not there")
        return named
    local = Path(__file__).resolve().parent.parent / "data"
    return local if local.is_dir() else None


def from_topohub(name: str) -> Topology:
    """Return a topology of topohub by ``group/name``, or by name from SNDlib or Topology Zoo.

    All links get one capacity (topohub has none), their length as metric, and the delay of light.

    Raises:
        TopologyError: topohub has no such topology.
    """
    import topohub

    for key in (name, *(f"{group}/{name}" for group in TOPOHUB_GROUPS)):
        try:
            found = topohub.get(key)
            break
        except (KeyError, FileNotFoundError, OSError, ValueError):
            continue
    else:
        raise TopologyError(f"there is no topology {name!r}: neither a file nor in topohub")
    names = {node["id"]: str(node.get("name") or node["id"]) for node in found["nodes"]}
    if len(set(names.values())) < len(names):
        names = {number: f"n{number}" for number in names}
    nodes = tuple(
        Node(names[n["id"]], float(n["pos"][1]), float(n["pos"][0])) for n in found["nodes"]
    )
    links = []
    for edge in found["edges"]:
        distance = max(float(edge.get("dist", 1.0)), 1.0)
        for a, b in ((edge["source"], edge["target"]), (edge["target"], edge["source"])):
            links.append(
                Link(names[a], names[b], TOPOHUB_CAPACITY_MBPS, distance, distance / KM_PER_MS)
            )
    return Topology(name.rpartition("/")[2], nodes, tuple(links))


def find_topology(name: str, data: Path | None = None) -> Topology:
    """Return a topology by file path, by name in the data directory, or by name in topohub.

    Raises:
        TopologyError: there is none of that name.
        FileError: the file is no topology file.
    """
    if name.endswith(".json") or ("/" in name and Path(name).exists()):
        return load_topology(Path(name))
    directory = data_directory(data)
    if directory is not None and (directory / f"{name}.json").exists():
        return load_topology(directory / f"{name}.json")
    return from_topohub(name)

"""What the demo replays: which matrices on which topology, scaled so that routing decides."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headers.files import Topology, TrafficMatrices, load_matrices, load_topology
from topologies.errors import TopologyError
from topologies.sources import data_directory, find_topology

MEASURED = {"abilene": "abilene_200403_5min", "geant": "geant_15min"}
"""Topologies whose real traffic is in the data directory, and the matrices' name there."""

STEERING_BYTES = 24
PEAK = 1.2
LINK_HOPS_PER_S, HOPS_LINKS = 16_000, 36
"""Open vSwitch's one thread carries 47,000 without loss on Abilene, and looks at every port; with
the wires that delay every hop and a machine that is half as fast, less than half of that."""

HISTORY_INTERVALS = 288


@dataclass(frozen=True, slots=True, eq=False)
class Scenario:
    """Matrices to replay with the ones before them, in packets per second and bits on the wire.

    ``wire_bps`` and ``history_bps``: [T, N, N], bit/s in the core, steering header included.
    ``packets_per_s``: [T, N, N]. ``synthetic``: the traffic was made up.
    """

    topology: Topology
    data: str
    synthetic: bool
    wire_bps: NDArray[np.float64]
    history_bps: NDArray[np.float64]
    packets_per_s: NDArray[np.float64]
    data_step_s: float


def shortest_path_loads(topology: Topology, demands: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return [T, L]: the links' loads under shortest paths with equal-cost splitting.

    Raises:
        TopologyError: two nodes are not connected.
    """
    count = len(topology.nodes)
    index = topology.index()
    ends = [(index[link.src], index[link.dst]) for link in topology.links]
    distance = np.full((count, count), np.inf)
    np.fill_diagonal(distance, 0.0)
    for (a, b), link in zip(ends, topology.links, strict=True):
        distance[a, b] = min(distance[a, b], link.metric)
    for middle in range(count):
        distance = np.minimum(distance, distance[:, middle, None] + distance[None, middle])
    if not np.isfinite(distance).all():
        raise TopologyError(f"{topology.name} is not connected")
    loads = np.zeros((len(demands), len(topology.links)))
    for target in range(count):
        through = demands[:, :, target].copy()
        for node in np.argsort(-distance[:, target], kind="stable"):
            if node == target:
                continue
            out = [
                number
                for number, ((a, b), link) in enumerate(zip(ends, topology.links, strict=True))
                if a == node and np.isclose(distance[a, target], link.metric + distance[b, target])
            ]
            for number in out:
                share = through[:, node] / len(out)
                loads[:, number] += share
                through[:, ends[number][1]] += share
    return loads


def match_nodes(topology: Topology, matrices: TrafficMatrices) -> TrafficMatrices:
    """Return the matrices in the topology's order of nodes.

    Raises:
        TopologyError: they are about other nodes.
    """
    if set(matrices.nodes) != set(topology.names):
        missing = sorted(set(topology.names) ^ set(matrices.nodes))
        raise TopologyError(
            f"{matrices.name} and {topology.name} are about different nodes ({missing[0]} is in"
            " one only)"
        )
    order = [matrices.nodes.index(name) for name in topology.names]
    return TrafficMatrices(
        matrices.name,
        topology.names,
        matrices.time_s,
        matrices.tm_mbps[:, order][:, :, order],
        matrices.synthetic,
    )


def busiest_start(loads: NDArray[np.float64], count: int, first: int) -> int:
    """Return where ``count`` intervals have the highest mean load, from ``first`` on.

    ``loads``: [T], the busiest link's utilisation. Single spikes do not decide: values are capped
    at their 99th percentile.

    Raises:
        TopologyError: there are fewer than ``count`` from ``first`` on.
    """
    if len(loads) < first + count:
        raise TopologyError(
            f"{len(loads)} matrices are too few to replay {count}: ask for fewer with --matrices"
        )
    calm = np.minimum(loads, np.percentile(loads, 99))
    sums = np.convolve(calm, np.ones(count), "valid")
    return first + int(np.argmax(sums[first:]))


def prepare(
    topology: Topology,
    matrices: TrafficMatrices,
    count: int,
    rates_bps: NDArray[np.float64],
    *,
    frame: int,
    peak: float = PEAK,
) -> Scenario:
    """Choose the busiest stretch and scale it to the emulated links.

    The busiest link under shortest paths gets ``peak`` times its rate at the stretch's 95th
    percentile of busy intervals, or less where one machine could not carry that many packets;
    ``rates_bps``: [L] in the order of the topology's links.

    Raises:
        TopologyError: nodes differ, too few matrices, or no traffic.
    """
    matrices = match_nodes(topology, matrices)
    tm = matrices.tm_mbps * 1e6
    loads = shortest_path_loads(topology, tm)
    busiest = (loads / rates_bps).max(axis=1)
    history = min(HISTORY_INTERVALS, max(len(matrices) - count, 0))
    # what was tuned was tuned on earlier days: the replay is from the last quarter
    first = max(history, min(len(matrices) * 3 // 4, len(matrices) - count))
    start = busiest_start(busiest, count, first)
    top = float(np.percentile(busiest[start : start + count], 95))
    if top <= 0:
        raise TopologyError(f"{matrices.name} holds no traffic")
    bits = 8.0 * (frame + STEERING_BYTES)
    hops = float(loads[start : start + count].sum(axis=1).max()) / bits
    most = LINK_HOPS_PER_S * min(1.0, HOPS_LINKS / len(topology.links))
    wire = tm * min(peak / top, most / hops)
    return Scenario(
        topology,
        matrices.name,
        matrices.synthetic,
        wire[start : start + count],
        wire[start - history : start],
        wire[start : start + count] / bits,
        matrices.step_s,
    )


def measured(name: str, data: Path | None) -> tuple[Topology, TrafficMatrices] | None:
    """Return a topology and its real matrices if the data are there."""
    directory = data_directory(data)
    if directory is None or name not in MEASURED:
        return None
    files = directory / f"{name}.json", directory / f"{MEASURED[name]}.npz"
    if not all(path.exists() for path in files):
        return None
    return load_topology(files[0]), load_matrices(files[1])


def choose(
    tm: Path | None, topology: str | None, data: Path | None, count: int, seed: int
) -> tuple[Topology, TrafficMatrices]:
    """Return what to replay: given files, else measured traffic, else synthetic traffic.

    Without a topology that is Abilene.

    Raises:
        TopologyError: matrices without a topology, or an unknown topology.
        FileError: a file is wrong.
    """
    if tm is not None:
        if topology is None:
            raise TopologyError("--tm needs --topology: a file, or a name")
        return find_topology(topology, data), load_matrices(tm)
    found = measured(topology or "abilene", data)
    if found is not None:
        return found
    from models.datasets.synthetic import generate_matrices

    shape = find_topology(topology or "abilene", data)
    return shape, generate_matrices(shape, HISTORY_INTERVALS + count, 300.0, seed)

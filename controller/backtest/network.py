"""What a back-test runs on: a topology's links, and matrices in its order of nodes."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from controller.decide.candidates import Floats, capacities
from controller.decide.graph import Graph, graph_of
from controller.state import LinkState, Matrix
from headers.errors import FileError
from headers.files import Topology, TrafficMatrices


@dataclass(frozen=True, slots=True, eq=False)
class TestNetwork:
    """A network and its traffic: ``tm_bps`` [T, N, N]; ``capacity`` [E] in the graph's order."""

    name: str
    synthetic: bool
    nodes: tuple[str, ...]
    links: tuple[LinkState, ...]
    tm_bps: Matrix
    step_s: float

    @property
    def graph(self) -> Graph:
        """The graph of all links."""
        return graph_of(self.nodes, self.links)

    def capacity(self, graph: Graph) -> Floats:
        """Return [E] in bit/s."""
        return capacities(graph, self.links)


def links_of(topology: Topology) -> tuple[LinkState, ...]:
    """Return a topology's links as the loop would see them; parallel ones get a number."""
    seen: dict[str, int] = defaultdict(int)
    links = []
    for link in topology.links:
        base = f"{link.src}>{link.dst}"
        seen[base] += 1
        name = base if seen[base] == 1 else f"{base}/{seen[base]}"
        capacity = link.capacity_mbps * 1e6
        links.append(LinkState(name, link.src, link.dst, capacity, link.metric, link.delay_ms))
    return tuple(links)


def test_network(topology: Topology, matrices: TrafficMatrices) -> TestNetwork:
    """Put topology and matrices together.

    Raises:
        FileError: they are about different nodes.
    """
    if set(topology.names) != set(matrices.nodes):
        odd = min(set(topology.names) ^ set(matrices.nodes))
        raise FileError(
            f"{matrices.name} and {topology.name} are about different nodes: {odd} is in one only"
        )
    order = [matrices.nodes.index(name) for name in topology.names]
    tm = matrices.tm_mbps[:, order][:, :, order].astype(np.float64) * 1e6
    return TestNetwork(
        matrices.name, matrices.synthetic, topology.names, links_of(topology), tm, matrices.step_s
    )

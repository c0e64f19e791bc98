"""The network as a decision sees it: graph, capacities, what links are like. All by edge number."""

from collections.abc import Mapping
from dataclasses import dataclass

from controller.decide.candidates import Floats, capacities
from controller.decide.costs import LinkTerms, link_terms
from controller.decide.disjoint import Risks, risks_of
from controller.decide.graph import Graph, graph_of
from controller.state import LinkState, Snapshot, Weights


@dataclass(frozen=True, slots=True, eq=False)
class Situation:
    """The usable network: ``capacity`` [E] in bit/s, ``links`` and ``risks`` in edge order.

    ``regions``: of the nodes by number, empty where none was declared.
    """

    nodes: tuple[str, ...]
    graph: Graph
    capacity: Floats
    links: list[LinkState]
    risks: Risks
    regions: list[str]
    weights: Weights

    def terms(self, utilisation: Floats) -> LinkTerms:
        """Return the edges' cost terms at a predicted utilisation [E]."""
        return link_terms(self.links, self.capacity, utilisation)


def situation_of(snapshot: Snapshot, weights: Weights) -> Situation:
    """Return what a snapshot's links that can carry traffic are like."""
    graph = graph_of(snapshot.nodes, snapshot.links)
    by_name: Mapping[str, LinkState] = {link.name: link for link in snapshot.links}
    return Situation(
        snapshot.nodes,
        graph,
        capacities(graph, snapshot.links),
        [by_name[edge.name] for edge in graph.edges],
        risks_of(graph, by_name),
        [snapshot.regions.get(node, "") for node in snapshot.nodes],
        weights,
    )

"""What one whole decision takes as networks grow, and what reducing a large one costs.

Processor time of ``plan`` as the loop calls it: paths cached, the solver started from what is in
force, the previous plan known. Medians over consecutive intervals.
"""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from controller.backtest.network import TestNetwork
from controller.backtest.network import test_network as put_together
from controller.decide import plan
from controller.decide.candidates import candidates
from controller.decide.te import place
from controller.report.fluid import loads, plain_routing
from controller.state import Forecast, Plan, Policies, Snapshot
from headers.errors import FileError
from headers.files import Link, Node, Topology, load_matrices, load_topology
from models import QUANTILES, generate_matrices

INTERVALS = 9
"""Decisions per network; the first, which has to find paths, is not counted."""

NETWORKS = {
    "abilene": ("abilene", "abilene_200403_5min", "sndlib/abilene"),
    "geant": ("geant", "geant_15min", "sndlib/geant"),
    "germany50": ("germany50", "", "sndlib/germany50"),
    "uscarrier": ("uscarrier", "", "topozoo/UsCarrier"),
}
"""By name: files of topology and matrices in the data directory, and what stands in for them."""

TARGETS_MS = {"abilene": 60.0, "geant": 150.0, "uscarrier": 3000.0}

WIDTH = 0.2
"""The made-up forecasts' width, from the lowest quantile to the highest, over the last value."""

ENOUGH = 100_000_000
"""Iterations for the whole program of a large network."""


@dataclass(frozen=True, slots=True)
class Took:
    """What decisions took: medians; ``first_ms``: the one that found the paths.

    ``utilisation``: planned for the worst link, mean; ``plain``: on shortest paths; ``least``: by
    the linear program over all demands, None where it was not asked for.
    """

    name: str
    nodes: int
    links: int
    demands: int
    steered: int
    decide_ms: float
    first_ms: float
    iterations: int
    utilisation: float
    plain: float
    least: float | None = None
    least_s: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what the JSON file holds of it."""
        return {key: getattr(self, key) for key in self.__slots__}


def find_network(name: str, data: Path | None) -> TestNetwork:
    """Return a network of NETWORKS with INTERVALS matrices: measured ones if ``data`` has them.

    Raises:
        FileError: there is no such network, or a file breaks its format.
    """
    if name not in NETWORKS:
        raise FileError(f"there is no network {name!r}; there are {', '.join(NETWORKS)}")
    file, matrices, known = NETWORKS[name]
    where = data / f"{file}.json" if data else None
    topology = load_topology(where) if where and where.exists() else _collected(known)
    measured = data / f"{matrices}.npz" if data and matrices else None
    if measured and measured.exists():
        tm = load_matrices(measured)
        half = len(tm) // 2
        network = put_together(topology, tm)
        return TestNetwork(
            name, False, network.nodes, network.links, network.tm_bps[half : half + INTERVALS],
            network.step_s,
        )  # fmt: skip
    return put_together(topology, generate_matrices(topology, INTERVALS, 300.0, 1))


def _collected(name: str) -> Topology:
    """Return one of topohub's topologies: links of one capacity, their length as metric."""
    import topohub

    try:
        found = topohub.get(name)
    except (KeyError, OSError, ValueError) as error:
        raise FileError(f"topohub has no topology {name!r}") from error
    nodes = tuple(Node(f"n{node['id']}") for node in found["nodes"])
    links = tuple(
        Link(f"n{a}", f"n{b}", 10_000.0, max(float(edge.get("dist", 1.0)), 1.0))
        for edge in found["edges"]
        for a, b in ((edge["source"], edge["target"]), (edge["target"], edge["source"]))
    )
    return Topology(name.rpartition("/")[2].lower(), nodes, links)


def questions(network: TestNetwork) -> Iterator[tuple[Snapshot, Forecast]]:
    """Yield what is asked at the end of every interval: forecasts are the last value, widened."""
    for t in range(len(network.tm_bps)):
        past = network.tm_bps[: t + 1]
        snapshot = Snapshot(
            t, t * network.step_s, network.step_s, network.step_s, network.nodes, network.links,
            past[-1], past,
        )  # fmt: skip
        fan = np.stack([past[-1] * (1 + (level - 0.5) * WIDTH) for level in QUANTILES])[None]
        yield snapshot, Forecast(t, t, (1,), QUANTILES, fan, ())


def bench(network: TestNetwork, name: str, policies: Policies, *, whole: bool = False) -> Took:
    """Return what deciding took on a network; ``whole``: also what reducing it costs."""
    previous: Plan | None = None
    times: list[float] = []
    plans: list[Plan] = []
    for snapshot, forecast in questions(network):
        began = time.process_time()
        previous = plan(snapshot, forecast, policies, previous)
        times.append((time.process_time() - began) * 1e3)
        plans.append(previous)
    graph = network.graph
    capacity = network.capacity(graph)
    asked = list(questions(network))[-1][1].quantile(1, policies.quantile)
    count = len(network.nodes)
    least = least_s = None
    if whole:
        began = time.process_time()
        options = candidates(graph, policies.paths)
        least = place(options, capacity, asked, None, ENOUGH).bound
        least_s = time.process_time() - began
    return Took(
        name,
        count,
        len(graph.edges),
        count * (count - 1),
        len(plans[-1].splits),
        statistics.median(times[1:]),
        times[0],
        round(statistics.median(one.iterations for one in plans[1:])),
        plans[-1].max_utilisation,
        float((loads(plain_routing(graph), asked) / capacity).max()),
        least,
        least_s,
    )

"""Others' published figures: topohub's equal-cost loads, and GÉANT's optimal utilisation."""

import ast
import os

import numpy as np
import pytest
import topohub
from decide_nets import link

from controller.backtest.network import test_network as put_together
from controller.decide.graph import graph_of
from controller.report.fluid import Ecmp, loads
from controller.report.optimum import optimal_utilisation
from headers.files import load_matrices, load_topology

SNDLIB = (
    "abilene", "atlanta", "brain", "cost266", "dfn-bwin", "dfn-gwin", "di-yuan", "france", "geant",
    "germany50", "giul39", "india35", "janos-us-ca", "janos-us", "newyork", "nobel-eu",
    "nobel-germany", "nobel-us", "norway", "pdh", "pioro40", "polska", "sun", "ta1", "ta2", "zib54",
)  # fmt: skip
ROUNDED = 0.005 + 1e-9
"""Published with two digits, in per cent of the busiest link."""

SAMPLED = 25
"""Every so-manieth interval of GÉANT, unless FORESTEER_ALL_OPTIMA is set."""


def read(name):
    """Return a topology's graph by hops, its edges' published loads, and matrices by kind.

    Their loads are of demands both ways: each of a to b counts as one of b to a as well. ``uni``:
    1 between all pairs; ``deg``: the product of the nodes' degrees; ``org``: SNDlib's demands.
    """
    found = topohub.get(f"sndlib/{name}")
    nodes = [node["id"] for node in found["nodes"]]
    at = {node: number for number, node in enumerate(nodes)}
    names = tuple(str(node) for node in nodes)
    links, published, degree = [], {}, np.zeros(len(nodes))
    for edge in found["edges"]:
        a, b = edge["source"], edge["target"]
        degree[[at[a], at[b]]] += 1
        links += [link(str(a), str(b)), link(str(b), str(a))]
        published[f"{a}>{b}"], published[f"{b}>{a}"] = edge["ecmp_fwd"], edge["ecmp_bwd"]
    size = len(nodes)
    matrices = {"uni": np.ones((size, size)), "deg": np.outer(degree, degree)}
    given = found["graph"].get("demands")
    if given:
        matrices["org"] = np.zeros((size, size))
        for a, row in (ast.literal_eval(given) if isinstance(given, str) else given).items():
            for b, rate in row.items():
                matrices["org"][at[int(a)], at[int(b)]] += rate
        matrices["org"] += matrices["org"].T
    for matrix in matrices.values():
        np.fill_diagonal(matrix, 0.0)
    return graph_of(names, links), published, matrices


@pytest.mark.parametrize("name", SNDLIB)
def test_equal_cost_loads_are_those_that_topohub_publishes(name):
    graph, published, matrices = read(name)
    kinds = {kind for edge in published.values() for kind in edge}
    assert kinds
    for kind in kinds:
        found = loads(Ecmp(graph), matrices[kind])
        shares = 100 * found / found.max()
        theirs = np.array([published[edge.name][kind] for edge in graph.edges])
        assert np.abs(shares - theirs).max() <= ROUNDED, kind


def test_no_topology_of_theirs_is_left_out():
    from pathlib import Path

    there = (Path(topohub.__file__).parent / "data" / "sndlib").glob("*.json")
    assert {path.stem for path in there} == set(SNDLIB)


@pytest.mark.slow
def test_the_optimum_is_geant_s_published_one(data_directory):
    if data_directory is None or not (data_directory / "geant_15min.npz").exists():
        pytest.skip("no measured data (FORESTEER_DATA)")
    file = data_directory / "geant_15min.npz"
    network = put_together(load_topology(data_directory / "geant.json"), load_matrices(file))
    with np.load(file) as archive:
        published = np.array(archive["mlu_opt"], dtype=np.float64).ravel()
    assert len(published) == len(network.tm_bps)
    graph = network.graph
    capacity = network.capacity(graph)
    step = 1 if os.environ.get("FORESTEER_ALL_OPTIMA") else SAMPLED
    for t in range(0, len(published), step):
        found = optimal_utilisation(graph, capacity, network.tm_bps[t])
        assert found == pytest.approx(published[t], rel=1e-4), f"interval {t}"

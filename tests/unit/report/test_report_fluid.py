import numpy as np
import pytest
import topohub
from decide_nets import DIAMOND, DIAMOND_NODES, demands_of, from_topohub, link, traffic
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.decide.candidates import candidates, capacities
from controller.decide.graph import graph_of
from controller.decide.te import place
from controller.report.fluid import Ecmp, Routing, carried, loads, plain_routing
from controller.report.optimum import optimal_utilisation
from headers.files import load_matrices, load_topology

SNDLIB = (
    "abilene", "atlanta", "brain", "cost266", "dfn-bwin", "dfn-gwin", "di-yuan", "france",
    "geant", "germany50", "giul39", "india35", "janos-us", "janos-us-ca", "newyork", "nobel-eu",
    "nobel-germany", "nobel-us", "norway", "pdh", "pioro40", "polska", "sun", "ta1", "ta2", "zib54",
)  # fmt: skip


@pytest.mark.parametrize("name", SNDLIB)
def test_ecmp_loads_equal_those_that_topohub_publishes(name):
    found = topohub.get(f"sndlib/{name}")
    ids = {node["id"]: str(number) for number, node in enumerate(found["nodes"])}
    ends = [(ids[edge["source"]], ids[edge["target"]]) for edge in found["edges"]]
    graph = graph_of(tuple(ids.values()), [link(*x) for a, b in ends for x in ((a, b), (b, a))])
    found_loads = loads(Ecmp(graph), np.ones((graph.size, graph.size)) - np.eye(graph.size))
    share = {
        e.name: x / found_loads.max() * 100 for e, x in zip(graph.edges, found_loads, strict=True)
    }
    for (a, b), edge in zip(ends, found["edges"], strict=True):
        assert share[f"{a}>{b}"] == pytest.approx(edge["ecmp_fwd"]["uni"], abs=0.006)
        assert share[f"{b}>{a}"] == pytest.approx(edge["ecmp_bwd"]["uni"], abs=0.006)


def test_ecmp_splits_evenly_at_every_hop():
    links = [
        link("a", "b"),
        link("a", "c"),
        link("b", "d"),
        link("c", "d"),
        link("c", "d", number=2),
    ]
    graph = graph_of(DIAMOND_NODES, links)
    found_loads = loads(Ecmp(graph), demands_of(DIAMOND_NODES, a_d=90.0, d_a=5.0))
    assert dict(zip([e.name for e in graph.edges], found_loads, strict=True)) == {
        "a>b": 45.0, "a>c": 45.0, "b>d": 45.0, "c>d": 22.5, "c>d/2": 22.5,
    }  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_the_optimum_is_what_all_paths_together_reach(seed):
    links = (*DIAMOND, link("b", "c", 30.0), link("c", "b", 20.0))
    graph = graph_of(DIAMOND_NODES, links)
    demands = traffic(4, 1, seed, mean=20.0)[0]
    capacity = capacities(graph, links)
    every_path = place(candidates(graph, 50), capacity, demands).bound
    assert optimal_utilisation(graph, capacity, demands) == pytest.approx(every_path, rel=1e-6)


def test_the_optimum_leaves_out_demands_without_a_way():
    links = [link("a", "b", 10.0)]
    graph = graph_of(("a", "b", "c"), links)
    demands = np.full((3, 3), 5.0)
    assert optimal_utilisation(graph, capacities(graph, links), demands) == pytest.approx(0.5)
    assert optimal_utilisation(graph, capacities(graph, links), np.zeros((3, 3))) == 0.0


def test_the_optimum_equals_the_published_one(data_directory):
    """On GÉANT's measured matrices where they are; else a routing by hand stands in."""
    if data_directory is None:
        nodes, links = ("a", "b", "d"), (link("a", "b"), link("a", "d", 50.0), link("b", "d"))
        matrices, published = [demands_of(nodes, a_d=120.0)], [0.8]
    else:
        path = data_directory / "geant_15min.npz"
        topology = load_topology(data_directory / "geant.json")
        nodes = topology.names
        links = tuple(link(x.src, x.dst, x.capacity_mbps, x.metric) for x in topology.links)
        matrices = load_matrices(path).tm_mbps[::60]
        with np.load(path) as archive:
            published = archive["mlu_opt"][::60]
    graph = graph_of(nodes, links)
    found = [optimal_utilisation(graph, capacities(graph, links), m) for m in matrices]
    assert found == pytest.approx(list(published), rel=1e-4)


def test_loads_are_the_sum_of_what_paths_carry():
    graph = graph_of(DIAMOND_NODES, DIAMOND)
    names = [edge.name for edge in graph.edges]
    upper = (names.index("a>b"), names.index("b>d"))
    lower = (names.index("a>c"), names.index("c>d"))
    way = Routing(graph, {(0, 3): {upper: 0.75, lower: 0.25}})
    found = dict(zip(names, loads(way, demands_of(DIAMOND_NODES, a_d=80.0)), strict=True))
    assert found["a>b"] == found["b>d"] == 60.0
    assert found["a>c"] == found["c>d"] == 20.0


@pytest.mark.parametrize("routed", [plain_routing, Ecmp])
def test_what_a_link_drops_loads_nothing_after_it(routed):
    nodes = ("a", "b", "c")
    links = [link("a", "b", 50.0), link("b", "c", 60.0)]
    graph = graph_of(nodes, links)
    demands = demands_of(nodes, a_c=100.0, b_c=25.0)
    arriving, lost = carried(routed(graph), np.array([50.0, 60.0]), demands)
    assert arriving == pytest.approx([100.0, 75.0])
    assert lost == pytest.approx(125.0 - 60.0)


def test_nothing_is_lost_where_everything_fits_but_what_has_no_way():
    nodes, links = from_topohub("sndlib/polska")
    graph = graph_of(nodes, links)
    demands = traffic(len(nodes), 1, mean=1e6)[0]
    arriving, lost = carried(plain_routing(graph), capacities(graph, links), demands)
    assert lost == pytest.approx(0.0, abs=1.0)
    assert arriving == pytest.approx(loads(plain_routing(graph), demands))
    alone = graph_of(nodes, ())
    assert carried(plain_routing(alone), np.zeros(0), demands)[1] == pytest.approx(demands.sum())

import numpy as np
import pytest
from decide_nets import DIAMOND, DIAMOND_NODES, demands_of, from_topohub, link, traffic
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.decide.candidates import candidates, capacities
from controller.decide.errors import SolveError
from controller.decide.graph import graph_of
from controller.decide.lp import Program, Solver
from controller.decide.te import SLOPES, STEPS, congestion_cost, place


def network(nodes=DIAMOND_NODES, links=DIAMOND, k=8):
    graph = graph_of(nodes, links)
    return candidates(graph, k), capacities(graph, links)


@pytest.fixture(scope="module")
def abilene():
    return network(*from_topohub("sndlib/abilene"))


def test_the_least_maximum_utilisation_is_found():
    options, capacity = network()
    found = place(options, capacity, demands_of(DIAMOND_NODES, a_d=120.0))
    assert found.max_utilisation == pytest.approx(120 / 150)
    assert found.bound == pytest.approx(120 / 150)
    assert found.stages == 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_the_second_stage_stays_within_its_slack_and_costs_less(abilene, seed):
    options, capacity = abilene
    demands = traffic(len(set(options.sources)), 1, seed)[0]
    one, two = place(options, capacity, demands), place(options, capacity, demands, 1.002)
    assert two.stages == 2
    assert two.bound == pytest.approx(one.bound)
    assert two.max_utilisation <= one.bound * 1.002 * (1 + 1e-6)
    for found in (one, two):
        assert (found.shares >= 0).all()
        assert np.add.reduceat(found.shares, options.first) == pytest.approx(1.0)
    costs = [
        congestion_cost(options.loads(x.shares, demands) / capacity, one.bound * 1.002)
        for x in (one, two)
    ]
    assert costs[1] <= costs[0] * (1 + 1e-6)


def test_the_second_stage_relieves_links_that_do_not_decide():
    links = [*DIAMOND, link("d", "e", 10.0)]
    nodes = (*DIAMOND_NODES, "e")
    options, capacity = network(nodes, links)
    demands = demands_of(nodes, d_e=9.0, a_d=60.0)
    found = place(options, capacity, demands, 1.002)
    utilisation = options.loads(found.shares, demands) / capacity
    ways = {e.name: float(u) for e, u in zip(options.graph.edges, utilisation, strict=True)}
    assert ways["d>e"] == pytest.approx(0.9)
    assert ways["a>b"] < 0.6
    assert ways["a>c"] > 0.0


def test_the_same_question_gives_the_same_answer(abilene):
    options, capacity = abilene
    demands = traffic(12, 1)[0]
    first = place(options, capacity, demands, 1.002)
    again = place(options, capacity, demands, 1.002)
    assert (first.shares == again.shares).all()
    assert first.iterations == again.iterations


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e9])
def test_units_do_not_matter(abilene, factor):
    options, capacity = abilene
    demands = traffic(12, 1)[0]
    found = place(options, capacity * factor, demands * factor, 1.002)
    assert found.bound == pytest.approx(place(options, capacity, demands).bound)


def test_without_traffic_every_demand_keeps_its_shortest_path():
    options, capacity = network()
    found = place(options, capacity, np.zeros((4, 4)), 1.002)
    assert found.stages == 0
    assert set(np.flatnonzero(found.shares)) == set(options.first)


def test_a_demand_too_small_to_see_keeps_its_shortest_path():
    options, capacity = network()
    demands = demands_of(DIAMOND_NODES, a_d=120.0, b_c=1e-9)
    found = place(options, capacity, demands, 1.002)
    number = options.pairs.index((1, 2))
    assert found.shares[options.first[number]] == 1.0
    assert found.max_utilisation == pytest.approx(120 / 150, rel=0.003)


def test_a_network_without_links_has_nothing_to_place():
    options, capacity = network(("a", "b"), ())
    assert place(options, capacity, np.ones((2, 2)), 1.002).stages == 0


def test_too_few_iterations_are_an_error_of_the_solver(abilene):
    options, capacity = abilene
    with pytest.raises(SolveError, match="teration limit") as caught:
        place(options, capacity, traffic(12, 1)[0], 1.002, iterations=3)
    assert 0 < caught.value.iterations <= 4


def test_iterations_that_last_for_one_stage_give_its_answer(abilene):
    options, capacity = abilene
    demands = traffic(12, 1)[0]
    enough = place(options, capacity, demands).iterations + 2
    found = place(options, capacity, demands, 1.002, iterations=enough)
    assert found.stages == 1
    assert found.max_utilisation == pytest.approx(found.bound)


def test_demands_that_are_not_numbers_are_refused():
    options, capacity = network()
    with pytest.raises(SolveError, match="not finite"):
        place(options, capacity, np.full((4, 4), np.nan))


def test_a_malformed_program_is_refused():
    one = np.ones(1)
    broken = Program(
        one, one, one, one, one, np.array([0, 1], np.int32), np.array([7], np.int32), one
    )
    with pytest.raises(SolveError, match="malformed"):
        Solver(broken)


def test_the_cost_grows_ever_faster_with_utilisation():
    at = np.linspace(0.0, 1.3, 60)
    costs = [congestion_cost(np.array([u]), 1.0) for u in at]
    assert costs[0] == pytest.approx(0.0, abs=1e-12)
    assert costs[-1] > (SLOPES * STEPS).sum()
    assert (np.diff(costs, 2) > -1e-9).all()

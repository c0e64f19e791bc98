"""What must fit besides the demands: bursts, other matrices, what is there already."""

import numpy as np
import pytest
from decide_nets import DIAMOND, DIAMOND_NODES, both, demands_of, from_topohub, traffic
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.decide.candidates import candidates, capacities
from controller.decide.graph import graph_of
from controller.decide.te import Terms, place


def network(nodes=DIAMOND_NODES, links=DIAMOND, k=8):
    graph = graph_of(nodes, links)
    return candidates(graph, k), capacities(graph, links)


@pytest.fixture(scope="module")
def polska():
    return network(*from_topohub("sndlib/polska"), k=4)


def worst_burst(options, capacity, demands, bursts, shares):
    """Return the highest utilisation when any single demand bursts, tried one by one."""
    highest = 0.0
    for number, pair in enumerate(options.pairs):
        burst = demands.copy()
        burst[pair] += bursts[number]
        highest = max(highest, float((options.loads(shares, burst) / capacity).max()))
    return highest


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_no_single_burst_takes_a_link_above_the_bound(polska, seed):
    options, capacity = polska
    demands = traffic(12, 1, seed)[0]
    bursts = options.rates(demands) * np.random.default_rng(seed).uniform(0, 3, len(options.pairs))
    found = place(options, capacity, demands, 1.01, terms=Terms(bursts=bursts))
    assert found.stages == 2
    worst = worst_burst(options, capacity, demands, bursts, found.shares)
    assert worst <= found.bound * 1.01 * (1 + 1e-4)
    plain = place(options, capacity, demands, 1.01)
    assert found.bound >= plain.bound * (1 - 1e-6)
    assert worst <= worst_burst(options, capacity, demands, bursts, plain.shares) * (1 + 1e-4)


def test_a_burst_is_kept_from_filling_a_link():
    options, capacity = network(links=both(
        ("a", "b", 100.0, 1.0), ("b", "d", 100.0, 1.0), ("a", "c", 100.0, 2.0),
        ("c", "d", 100.0, 2.0)))  # fmt: skip
    demands = demands_of(DIAMOND_NODES, a_d=50.0, a_b=50.0, a_c=50.0)
    bursts = np.zeros(len(options.pairs))
    bursts[options.pairs.index((0, 1))] = 40.0
    plain = place(options, capacity, demands, 1.0)
    hedged = place(options, capacity, demands, 1.0, terms=Terms(bursts=bursts))
    assert plain.max_utilisation == pytest.approx(0.75)
    assert worst_burst(options, capacity, demands, bursts, plain.shares) == pytest.approx(1.15)
    assert worst_burst(options, capacity, demands, bursts, hedged.shares) < 1.0


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_every_scenario_fits_under_the_bound(polska, seed):
    options, capacity = polska
    demands, *others = traffic(12, 4, seed) * np.array([1.0, 0.8, 1.3, 1.1])[:, None, None]
    found = place(options, capacity, demands, 1.01, terms=Terms(scenarios=tuple(others)))
    for matrix in (demands, *others):
        highest = (options.loads(found.shares, matrix) / capacity).max()
        assert highest <= found.bound * 1.01 * (1 + 1e-4)
    least = max(place(options, capacity, matrix).bound for matrix in (demands, *others))
    assert found.bound >= least * (1 - 1e-6)


def test_what_is_on_the_links_already_is_gone_round():
    options, capacity = network()
    demands = demands_of(DIAMOND_NODES, a_d=30.0)
    there = np.zeros(len(capacity))
    names = [edge.name for edge in options.graph.edges]
    there[names.index("a>b")] = 90.0
    found = place(options, capacity, demands, 1.0, terms=Terms(background_bps=there))
    assert found.max_utilisation == pytest.approx(0.9)
    loads = options.loads(found.shares, demands)
    assert loads[names.index("a>c")] == pytest.approx(30.0)


def test_paths_that_may_not_be_used_are_not():
    options, capacity = network()
    usable = np.array(["a>b" not in {options.graph.edges[e].name for e in path}
                       for path in options.paths])  # fmt: skip
    demands = demands_of(DIAMOND_NODES, a_d=60.0)
    found = place(options, capacity, demands, 1.01, terms=Terms(usable=usable))
    assert found.max_utilisation == pytest.approx(1.2)
    stuck = options.pairs.index((0, 1))
    alone = usable.copy()
    alone[options.first[stuck] : options.last[stuck]] = False
    found = place(options, capacity, demands, 1.01, terms=Terms(usable=alone))
    assert found.shares[options.first[stuck]] == 1.0


def moved(before, after):
    return float(np.maximum(after - before, 0.0).sum())


def test_the_price_of_moving_keeps_what_is_held(polska):
    options, capacity = polska
    one = traffic(12, 1, 5)[0]
    two = one * np.exp(0.03 * np.random.default_rng(5).normal(size=one.shape))
    held = place(options, capacity, one, 1.01).shares

    def weighted(price):
        found = place(options, capacity, two, 1.01, terms=Terms(held=held, churn_price=price))
        gains = np.maximum(found.shares - held, 0.0) * options.rates(two)[options.demand]
        assert found.max_utilisation <= found.bound * 1.01 * (1 + 1e-6)
        return float(gains.sum() / two.sum())

    free, dear = weighted(0.0), weighted(1e6)
    assert dear < free
    assert dear < 0.1
    assert weighted(20.0) <= free + 1e-9


def test_a_price_on_paths_takes_the_cheaper_of_two_that_serve_alike():
    options, capacity = network(links=both(
        ("a", "b", 100.0, 1.0), ("b", "d", 100.0, 1.0), ("a", "c", 100.0, 2.0),
        ("c", "d", 100.0, 2.0)))  # fmt: skip
    demands = demands_of(DIAMOND_NODES, a_d=20.0, b_a=80.0)
    names = [[options.graph.edges[e].name for e in path] for path in options.paths]
    dear = np.array([1e6 if "a>b" in path else 0.0 for path in names])
    found = place(options, capacity, demands, 1.01, terms=Terms(path_price=dear))
    pair = options.pairs.index((0, 3))
    shares = {tuple(names[n]): float(found.shares[n])
              for n in range(options.first[pair], options.last[pair])}  # fmt: skip
    assert shares["a>c", "c>d"] == pytest.approx(1.0)


def test_a_demand_that_falls_silent_keeps_its_split():
    options, capacity = network()
    held = place(options, capacity, demands_of(DIAMOND_NODES, a_d=120.0), 1.01).shares
    terms = Terms(held=held, churn_price=20.0)
    for rates in ({}, {"b_c": 40.0}, {"b_c": 40.0, "a_d": 1e-9}):
        found = place(options, capacity, demands_of(DIAMOND_NODES, **rates), 1.01, terms=terms)
        first = options.first[options.pairs.index((0, 3))]
        assert found.shares[first : first + 2] == pytest.approx(held[first : first + 2])


def test_bursts_find_room_beside_what_is_on_the_links_already(polska):
    options, capacity = polska
    demands = traffic(12, 1, 3)[0]
    rng = np.random.default_rng(3)
    there = rng.uniform(0.0, 0.5, len(capacity)) * options.loads(options.shortest(), demands).max()
    bursts = options.rates(demands) * 2.0
    terms = Terms(bursts=bursts, background_bps=there)
    found = place(options, capacity, demands, 1.01, terms=terms)
    highest = 0.0
    for number, pair in enumerate(options.pairs):
        burst = demands.copy()
        burst[pair] += bursts[number]
        loads = options.loads(found.shares, burst) + there
        highest = max(highest, float((loads / capacity).max()))
    assert highest <= found.bound * 1.01 * (1 + 1e-4)
    assert found.bound == pytest.approx(highest, rel=0.02)

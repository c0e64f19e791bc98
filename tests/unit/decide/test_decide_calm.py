import numpy as np
import pytest
from decide_nets import DIAMOND, DIAMOND_NODES, demands_of, from_topohub, traffic
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.decide.calm import COST_TOLERANCE, UTILISATION_TOLERANCE, calm
from controller.decide.candidates import candidates, capacities
from controller.decide.graph import graph_of
from controller.decide.spread import in_buckets, loads, moved
from controller.decide.te import congestion_cost, place

GRAPH = graph_of(DIAMOND_NODES, DIAMOND)
CAPACITY = capacities(GRAPH, DIAMOND)
NAMES = [edge.name for edge in GRAPH.edges]
UPPER = (NAMES.index("a>b"), NAMES.index("b>d"))
LOWER = (NAMES.index("a>c"), NAMES.index("c>d"))
AD = (0, 3)


def test_a_split_that_is_good_enough_stays():
    demands = demands_of(DIAMOND_NODES, a_d=90.0)
    held = {AD: {UPPER: 171, LOWER: 85}}
    wanted = {AD: {UPPER: 170, LOWER: 86}}
    assert calm(held, wanted, CAPACITY, demands) == held


def test_a_split_that_would_cost_too_much_goes():
    demands = demands_of(DIAMOND_NODES, a_d=90.0)
    held = {AD: {UPPER: 256}}
    wanted = {AD: {UPPER: 170, LOWER: 86}}
    assert calm(held, wanted, CAPACITY, demands) == wanted


def test_only_the_moves_that_matter_are_made():
    demands = demands_of(DIAMOND_NODES, a_d=90.0, d_a=1.0)
    back = tuple(NAMES.index(name) for name in ("d>b", "b>a"))
    round_about = tuple(NAMES.index(name) for name in ("d>c", "c>a"))
    held = {AD: {UPPER: 256}, (3, 0): {back: 256}}
    wanted = {AD: {UPPER: 170, LOWER: 86}, (3, 0): {round_about: 256}}
    assert calm(held, wanted, CAPACITY, demands) == {AD: wanted[AD], (3, 0): held[3, 0]}


def test_without_traffic_nothing_moves():
    held, wanted = {AD: {LOWER: 256}}, {AD: {UPPER: 256}}
    assert calm(held, wanted, CAPACITY, np.zeros((4, 4))) == held


def test_what_has_no_split_yet_takes_the_wanted_one():
    wanted = {AD: {UPPER: 256}}
    assert calm({}, wanted, CAPACITY, demands_of(DIAMOND_NODES, a_d=1.0)) == wanted


@pytest.fixture(scope="module")
def abilene():
    nodes, links = from_topohub("sndlib/abilene")
    graph = graph_of(nodes, links)
    return candidates(graph, 8), capacities(graph, links)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_calm_never_costs_more_than_it_may_and_never_moves_more(abilene, seed):
    options, capacity = abilene
    before, demands = traffic(12, 2, seed)
    edges = len(capacity)
    held = in_buckets(options, place(options, capacity, before, 1.002).shares, {})
    wanted = in_buckets(options, place(options, capacity, demands, 1.002).shares, held)
    found = calm(held, wanted, capacity, demands)
    best, now = (loads(x, edges, demands) / capacity for x in (wanted, found))
    assert now.max() <= best.max() * UTILISATION_TOLERANCE * (1 + 1e-9)
    cost = congestion_cost(best, best.max())
    assert congestion_cost(now, best.max()) <= cost * COST_TOLERANCE * (1 + 1e-9)
    assert all(found[pair] in (held[pair], wanted[pair]) for pair in wanted)
    volume = [sum(demands[p] * moved(held[p], x[p]) for p in x) for x in (wanted, found)]
    assert volume[1] <= volume[0] * (1 + 1e-9)

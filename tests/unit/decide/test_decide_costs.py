from dataclasses import replace

import numpy as np
import pytest
from decide_nets import DIAMOND_NODES, link

from controller.decide.candidates import candidates, capacities
from controller.decide.costs import (
    BUSIEST,
    PACKET_BITS,
    QUEUE_PACKETS,
    TERMS,
    allowed,
    broken,
    calibration,
    link_terms,
    path_costs,
    path_terms,
    queueing_ms,
)
from controller.decide.graph import graph_of
from controller.state import PathConstraints, PathQuality, Weights

RATE = 10e6
REGIONS = ["", "east", "west", ""]


def network(**changes):
    """Two ways from a to d; ``changes`` by link name, with ``_`` for ``>``."""
    ways = {"ab": 1.0, "bd": 2.0, "ac": 4.0, "cd": 4.0}
    links = [
        replace(link(*ends, RATE, delay), delay_ms=delay, **changes.get("_".join(ends), {}))
        for ends, delay in ways.items()
    ]
    graph = graph_of(DIAMOND_NODES, links)
    options = candidates(graph, 4)
    by_name = {x.name: x for x in links}
    return options, [by_name[e.name] for e in graph.edges], capacities(graph, links)


def terms_of(utilisation=(), **changes):
    """Return the terms of a-b-d and a-c-d, by name."""
    options, links, capacity = network(**changes)
    loads = dict(utilisation)
    level = np.array([loads.get(x.name, 0.0) for x in links])
    found = path_terms(options, link_terms(links, capacity, level))
    number = options.pairs.index((0, 3))
    first = options.first[number]
    return {name: tuple(found[name][first : first + 2]) for name in TERMS}


def test_latency_is_propagation_and_queueing():
    service_ms = PACKET_BITS / RATE * 1e3
    quiet, busy = terms_of(), terms_of({"b>d": 0.5})
    assert quiet["latency"] == pytest.approx((3.0, 8.0))
    assert busy["latency"] == pytest.approx((3.0 + service_ms, 8.0))


def test_a_queue_is_never_longer_than_it_is():
    waits = queueing_ms(np.array([0.0, 0.5, BUSIEST, 1.0, 7.0]), np.full(5, RATE))
    service_ms = PACKET_BITS / RATE * 1e3
    assert waits[0] == 0.0
    assert (np.diff(waits) >= 0).all()
    assert waits[-1] == waits[-2] == pytest.approx(QUEUE_PACKETS * service_ms)


def test_shortage_is_that_of_the_worst_link():
    found = terms_of({"a>b": 1.25, "b>d": 1.1, "a>c": 0.9})
    assert found["shortage"] == pytest.approx((0.25, 0.0))


def test_hops_untrusted_links_and_money_add_up():
    cheap = {"price_per_gb": 2.0}
    found = terms_of(a_b={"trusted": False, **cheap}, b_d={"trusted": False, **cheap})
    assert found["hops"] == (2.0, 2.0)
    assert found["security"] == (2.0, 0.0)
    assert found["money"] == (4.0, 0.0)


def test_below_the_commitment_a_gb_costs_nothing_more():
    paid = {"price_per_gb": 2.0, "commitment_bps": 0.5 * RATE}
    assert terms_of({"a>b": 0.4}, a_b=paid)["money"] == (0.0, 0.0)
    assert terms_of({"a>b": 0.6}, a_b=paid)["money"] == (2.0, 0.0)


def test_a_cost_is_the_weighted_sum_of_its_terms():
    terms = {name: np.array([float(at + 1)]) for at, name in enumerate(TERMS)}
    weights = Weights(latency=1.0, shortage=10.0, hops=100.0, security=1e3, money=1e4)
    assert path_costs(terms, weights) == pytest.approx([54321.0])


def quality(rtt_ms):
    return PathQuality(rtt_ms, 0.0, 0.0, 20)


def test_queues_are_calibrated_by_what_probes_measured():
    service_ms = PACKET_BITS / RATE * 1e3
    measured = {"rate_bps": 0.5 * RATE, "quality": quality(2 * (1.0 + 3 * service_ms))}
    _, links, capacity = network(a_b=measured)
    assert calibration(links, capacity) == pytest.approx(3.0)
    found = link_terms(links, capacity, np.full(4, 0.5))
    assert found.latency_ms[0] == pytest.approx(1.0 + 3 * service_ms)


def test_idle_links_and_wild_measurements_do_not_calibrate():
    _, idle, capacity = network(a_b={"rate_bps": 0.0, "quality": quality(500.0)})
    assert calibration(idle, capacity) == 1.0
    _, wild, capacity = network(a_b={"rate_bps": 0.5 * RATE, "quality": quality(50_000.0)})
    assert calibration(wild, capacity) == 10.0


def test_without_a_declared_delay_half_the_round_trip_stands_in():
    _, links, capacity = network()
    links[0] = replace(links[0], delay_ms=None, quality=quality(20.0))
    assert link_terms(links, capacity, np.zeros(4)).latency_ms[0] == 10.0
    links[0] = replace(links[0], quality=None)
    assert link_terms(links, capacity, np.zeros(4)).latency_ms[0] == 0.0


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        (PathConstraints(), (True, True)),
        (PathConstraints(trusted_only=True), (False, True)),
        (PathConstraints(avoid_links=("a>c",)), (True, False)),
        (PathConstraints(max_latency_ms=3.5), (True, False)),
        (PathConstraints(max_latency_ms=1.0), (False, False)),
        (PathConstraints(forbidden_regions=("east",)), (False, True)),
        (PathConstraints(forbidden_regions=("east", "west")), (False, False)),
    ],
)
def test_hard_constraints_rule_paths_out(wanted, kept):
    options, links, capacity = network(b_d={"trusted": False})
    terms = link_terms(links, capacity, np.zeros(4))
    found = allowed(options, links, path_terms(options, terms), REGIONS, wanted)
    first = options.first[options.pairs.index((0, 3))]
    assert tuple(found[first : first + 2]) == kept
    for number in (first, first + 1):
        why = broken(options.paths[number], options.graph, links, terms, REGIONS, wanted)
        assert bool(why) != found[number]


def test_the_ends_of_a_path_may_lie_in_a_forbidden_region():
    options, links, capacity = network()
    terms = path_terms(options, link_terms(links, capacity, np.zeros(4)))
    wanted = PathConstraints(forbidden_regions=("east",))
    found = allowed(options, links, terms, REGIONS, wanted)
    for pair in ((0, 1), (1, 3)):
        assert found[options.first[options.pairs.index(pair)]]


def test_a_network_without_paths_has_no_costs():
    graph = graph_of(("a", "b"), ())
    options = candidates(graph, 2)
    terms = path_terms(options, link_terms([], np.zeros(0), np.zeros(0)))
    assert all(len(terms[name]) == 0 for name in TERMS)
    assert len(allowed(options, [], terms, ["", ""], PathConstraints(trusted_only=True))) == 0

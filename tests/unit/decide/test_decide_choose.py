"""Which splits a plan takes: limits, freezing, refusals, constraints, classes, broken networks."""

from dataclasses import replace

import numpy as np
import pytest
from decide_nets import (
    DIAMOND,
    DIAMOND_NODES,
    both,
    demands_of,
    forecast_of,
    from_topohub,
    link,
    snapshot_of,
    traffic,
)

from controller.decide import plan
from controller.state import (
    BUCKETS,
    CircuitRequest,
    PathConstraints,
    Policies,
    Refused,
)


def decide(demands, previous=None, *, nodes=DIAMOND_NODES, links=DIAMOND, policies=None, **more):
    snapshot = replace(snapshot_of(nodes, links, demands), **more)
    return plan(snapshot, forecast_of(demands), policies or Policies(), previous)


def ways(made, src, dst):
    """Return the share of a demand on each path."""
    paths = {c.spi: c.links for c in made.circuits}
    split = next(s for s in made.splits if (s.src, s.dst) == (src, dst))
    return {paths[spi]: share for spi, share in zip(split.spis, split.shares, strict=True)}


def moved_share(made, before, demands, nodes):
    """Return which share of the traffic is on other paths than before."""
    total = 0.0
    for split in made.splits:
        old, new = (ways(x, split.src, split.dst) for x in (before, made))
        rate = demands[nodes.index(split.src), nodes.index(split.dst)]
        total += rate * sum(max(0.0, share - old.get(path, 0.0)) for path, share in new.items())
    return total / demands.sum()


@pytest.mark.parametrize("limit", [0.0, 0.01, 0.03])
def test_no_more_traffic_moves_than_may(limit):
    nodes, links = from_topohub("sndlib/abilene")
    one, two = traffic(12, 2, mean=3e9)
    two = two * np.random.default_rng(1).uniform(0.2, 3.0, two.shape)
    first = decide(one, nodes=nodes, links=links)
    free = decide(two, first, nodes=nodes, links=links)
    made = decide(two, first, nodes=nodes, links=links, policies=Policies(move_limit=limit))
    assert moved_share(free, first, two, nodes) > 0.04
    assert moved_share(made, first, two, nodes) <= limit + 0.002
    assert any("of the traffic would move" in note for note in made.notes)
    stay = decide(two, first, nodes=nodes, links=links, policies=Policies(frozen=True))
    assert free.max_utilisation <= made.max_utilisation * 1.01
    assert made.max_utilisation <= stay.max_utilisation * 1.01


def test_what_must_move_moves_whatever_may():
    demands = demands_of(DIAMOND_NODES, a_d=40.0)
    first = decide(demands)
    links = [replace(x, up=x.name != "b>d") for x in DIAMOND]
    made = decide(demands, first, links=links, policies=Policies(move_limit=0.0))
    assert ways(made, "a", "d") == {("a>c", "c>d"): 1.0}
    avoid = PathConstraints(avoid_links=("b>d",))
    made = decide(demands, first, policies=Policies(move_limit=0.0, constraints=avoid))
    assert ways(made, "a", "d") == {("a>c", "c>d"): 1.0}


def test_frozen_keeps_every_table_and_says_so():
    first = decide(demands_of(DIAMOND_NODES, a_d=45.0))
    made = decide(demands_of(DIAMOND_NODES, a_d=140.0), first, policies=Policies(frozen=True))
    assert made.splits == first.splits
    assert made.circuits == first.circuits
    assert made.method == "frozen"
    assert "frozen by an operator" in made.notes


def test_frozen_still_leaves_a_dead_link():
    demands = demands_of(DIAMOND_NODES, a_d=45.0, b_a=5.0)
    first = decide(demands)
    links = [replace(x, up=x.name != "b>d") for x in DIAMOND]
    made = decide(demands, first, links=links, policies=Policies(frozen=True))
    assert ways(made, "a", "d") == {("a>c", "c>d"): 1.0}
    assert ways(made, "b", "a") == ways(first, "b", "a")


@pytest.mark.parametrize("policies", [Policies(frozen=True), Policies(iterations=1)])
def test_a_circuit_asked_for_meanwhile_gets_exactly_its_share(policies):
    demands = demands_of(DIAMOND_NODES, a_d=120.0)
    first = decide(demands)
    asked = replace(policies, requests=(CircuitRequest("x", "a", "d", ("a>c", "c>d"), 0.5),))
    made = decide(demands, first, policies=asked)
    split = next(s for s in made.splits if (s.src, s.dst) == ("a", "d"))
    named = next(c.spi for c in made.circuits if c.name == "x")
    assert split.buckets.count(named) == BUCKETS // 2
    gone = decide(demands, made, policies=policies)
    assert not [c for c in gone.circuits if c.name]
    assert sum(ways(gone, "a", "d").values()) == 1.0


def test_a_path_that_a_switch_refused_is_left_alone():
    demands = demands_of(DIAMOND_NODES, a_d=40.0)
    assert ("a>b", "b>d") in ways(decide(demands), "a", "d")
    refused = (Refused("a", "d", ("a>b", "b>d"), "table full"),)
    made = decide(demands, refused=refused)
    assert ways(made, "a", "d") == {("a>c", "c>d"): 1.0}
    other = (Refused("a", "b", ("a>b",), "table full"),)
    assert ("a>b", "b>d") in ways(decide(demands, refused=other), "a", "d")


def test_constraints_that_no_path_keeps_are_named_and_traffic_still_flows():
    impossible = Policies(constraints=PathConstraints(max_latency_ms=-1.0))
    made = decide(demands_of(DIAMOND_NODES, a_d=40.0), policies=impossible)
    assert len(made.splits) == 12
    assert made.notes[0].startswith("no path of a→b keeps the constraints")
    assert "and 9 more demands likewise" in made.notes


def test_constraints_are_kept_where_they_can_be():
    links = [replace(x, trusted=x.name not in {"b>d", "d>b"}) for x in DIAMOND]
    demands = demands_of(DIAMOND_NODES, a_d=100.0)
    made = decide(demands, links=links, policies=Policies(constraints=PathConstraints(True)))
    assert ways(made, "a", "d") == {("a>c", "c>d"): 1.0}
    assert made.max_utilisation == pytest.approx(2.0)
    regions = {"c": "far"}
    away = Policies(constraints=PathConstraints(forbidden_regions=("far",)))
    made = decide(demands, policies=away, regions=regions)
    assert ways(made, "a", "d") == {("a>b", "b>d"): 1.0}


def test_premium_demands_are_placed_first():
    links = both(("a", "b", 100.0, 1.0), ("b", "d", 100.0, 1.0), ("a", "c", 100.0, 3.0),
                 ("c", "d", 100.0, 3.0))  # fmt: skip
    demands = demands_of(DIAMOND_NODES, a_d=60.0, b_d=70.0)
    made = decide(demands, links=links, policies=Policies(premium=(("b", "d"),)))
    assert made.max_utilisation <= 0.76
    only = decide(demands_of(DIAMOND_NODES, b_d=70.0), links=links,
                  policies=Policies(premium=(("b", "d"),)))  # fmt: skip
    assert ways(made, "b", "d") == pytest.approx(ways(only, "b", "d"), abs=0.02)


def test_premium_demands_do_not_care_what_others_do():
    nodes, links = from_topohub("sndlib/abilene")
    one = traffic(12, 1, mean=3e9)[0]
    pair = (nodes[0], nodes[9])
    policies = Policies(premium=(pair,))
    alone = decide(one, nodes=nodes, links=links, policies=policies)
    other = one * 3.0
    other[0, 9] = one[0, 9]
    made = decide(other, nodes=nodes, links=links, policies=policies)
    assert ways(made, *pair) == ways(alone, *pair)


def test_a_large_network_is_steered_where_it_matters():
    nodes, links = from_topohub("sndlib/abilene")
    demands = traffic(12, 1, mean=3e9)[0]
    policies = Policies(steered=50)
    made = decide(demands, nodes=nodes, links=links, policies=policies)
    assert len(made.splits) == 50
    whole = decide(demands, nodes=nodes, links=links)
    assert whole.max_utilisation <= made.max_utilisation < 1.1 * whole.max_utilisation
    again = decide(demands * 1.01, made, nodes=nodes, links=links, policies=policies)
    assert {(s.src, s.dst) for s in again.splits} == {(s.src, s.dst) for s in made.splits}
    asked = replace(policies, requests=(CircuitRequest("x", nodes[3], nodes[4]),))
    assert [c for c in decide(demands, nodes=nodes, links=links, policies=asked).circuits if c.name]


def test_a_large_network_without_traffic_steers_nothing():
    nodes, links = from_topohub("sndlib/abilene")
    made = decide(np.zeros((12, 12)), nodes=nodes, links=links, policies=Policies(steered=30))
    assert made.splits == made.circuits == ()
    assert made.max_utilisation == 0.0


def test_a_network_in_two_parts_is_planned_part_by_part():
    nodes = tuple("abcd")
    links = both(("a", "b", 100.0, 1.0), ("c", "d", 100.0, 1.0))
    made = decide(np.full((4, 4), 10.0), nodes=nodes, links=links)
    assert {(s.src, s.dst) for s in made.splits} == {
        ("a", "b"), ("b", "a"), ("c", "d"), ("d", "c")
    }  # fmt: skip
    assert "8 demands have no path" in made.notes[0]
    assert made.max_utilisation == pytest.approx(0.1)


def test_a_link_without_capacity_carries_nothing_and_divides_nothing():
    links = [replace(x, capacity_bps=0.0) if x.name == "a>b" else x for x in DIAMOND]
    made = decide(demands_of(DIAMOND_NODES, a_d=40.0), links=links)
    assert ways(made, "a", "d") == {("a>c", "c>d"): 1.0}
    assert "a>b" not in made.utilisation
    assert all(np.isfinite(value) for value in made.utilisation.values())


def test_parallel_links_share_a_demand():
    links = [link("a", "b"), link("a", "b", number=2), link("b", "a")]
    demands = np.array([[0.0, 160.0], [0.0, 0.0]])
    made = decide(demands, nodes=("a", "b"), links=links)
    assert ways(made, "a", "b") == pytest.approx({("a>b",): 0.5, ("a>b/2",): 0.5}, abs=0.02)
    assert made.max_utilisation == pytest.approx(0.8, rel=0.02)


def test_a_demand_to_itself_is_no_demand():
    demands = demands_of(DIAMOND_NODES, a_d=40.0)
    itself = demands + np.diag(np.full(4, 1e6))
    assert decide(itself).utilisation == decide(demands).utilisation

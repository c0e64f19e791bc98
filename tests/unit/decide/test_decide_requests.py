from dataclasses import replace

import numpy as np
import pytest
from decide_nets import DIAMOND, DIAMOND_NODES, demands_of, forecast_of, link, snapshot_of

from controller.decide import plan
from controller.decide.candidates import candidates
from controller.decide.requests import grant
from controller.decide.situation import situation_of
from controller.state import BUCKETS, CircuitRequest, PathConstraints, Policies, Weights

TOP = ("a>b", "b>d")
BOTTOM = ("a>c", "c>d")
NOTHING = np.zeros((4, 4))


def ask(*requests, links=DIAMOND, demands=NOTHING, nodes=DIAMOND_NODES):
    """Return the grants, and the granted paths by request."""
    situation = situation_of(snapshot_of(nodes, links, demands), Weights())
    options = candidates(situation.graph, 8, None, situation.risks)
    found = grant(requests, situation, options, demands)
    edges = situation.graph.edges
    paths = {one.request.name: tuple(edges[e].name for e in one.path) for one in found.granted}
    return found, paths


def request(name, path=(), **more):
    return CircuitRequest(name, "a", "d", path, **more)


def test_the_path_that_was_asked_for_is_given():
    assert ask(request("x", BOTTOM))[1] == {"x": BOTTOM}


def test_without_a_path_the_cheapest_is_taken():
    slow = [replace(x, delay_ms=9.0 if x.name == "a>b" else 1.0) for x in DIAMOND]
    fast = [replace(x, delay_ms=1.0) for x in DIAMOND]
    assert ask(request("x"), links=slow)[1] == {"x": BOTTOM}
    assert ask(request("x"), links=fast)[1] == {"x": TOP}


def test_a_reservation_looks_for_a_path_with_room():
    _, paths = ask(request("x", reserved_bps=60.0), request("y", reserved_bps=45.0))
    assert paths == {"x": TOP, "y": BOTTOM}


def test_a_refusal_names_the_link_and_what_is_free():
    found, paths = ask(
        request("a", TOP, reserved_bps=70e6, priority=1), request("b", TOP, reserved_bps=40e6),
        links=[replace(x, capacity_bps=x.capacity_bps * 1e6) for x in DIAMOND],
    )  # fmt: skip
    assert list(paths) == ["a"]
    assert found.refused["b"] == "40.0 Mb/s are asked for, and a>b has 30.0 Mb/s free"


def test_more_than_any_path_has_is_refused_with_the_most_there_is():
    found, _ = ask(
        request("x", reserved_bps=120e6),
        links=[replace(x, capacity_bps=x.capacity_bps * 1e6) for x in DIAMOND],
    )
    assert "no allowed path has more than 100.0 Mb/s free" in found.refused["x"]


def test_important_ones_are_placed_first_whatever_their_order():
    low, high = request("low", reserved_bps=60.0), request("high", reserved_bps=60.0, priority=5)
    for order in ((low, high), (high, low)):
        found, paths = ask(*order)
        assert paths == {"high": TOP}
        assert set(found.refused) == {"low"}


def test_a_circuit_that_moves_does_not_count_against_itself():
    def made(wanted, previous=None):
        policies = Policies(requests=(wanted,))
        snapshot = snapshot_of(DIAMOND_NODES, DIAMOND, NOTHING)
        return plan(snapshot, forecast_of(NOTHING), policies, previous)

    first = made(request("x", TOP, reserved_bps=90.0))
    again = made(request("x", TOP, reserved_bps=95.0), first)
    named = [c for c in again.circuits if c.name == "x"]
    assert [(c.links, c.reserved_bps) for c in named] == [(TOP, 95.0)]
    moved = made(request("x", BOTTOM, reserved_bps=50.0), again)
    named = [c for c in moved.circuits if c.name == "x"]
    assert [(c.links, c.generation) for c in named] == [(BOTTOM, moved.number)]
    assert not [note for note in moved.notes if "refused" in note]


def test_shares_take_buckets_and_what_is_left_is_the_loop_s():
    demands = demands_of(DIAMOND_NODES, a_d=40.0)
    found, _ = ask(request("x", BOTTOM, share=0.25), demands=demands)
    assert found.taken() == {(0, 3): BUCKETS // 4}
    assert found.rest(demands)[0, 3] == pytest.approx(30.0)
    assert sorted(found.background_bps) == [0.0] * 6 + [10.0] * 2


def test_shares_of_one_demand_never_add_up_to_more_than_all():
    found, _ = ask(request("x", TOP, share=0.75), request("y", BOTTOM, share=0.75))
    assert {one.request.name: one.buckets for one in found.granted} == {"x": 192, "y": 64}


def test_a_name_is_granted_once():
    found, paths = ask(request("x", TOP), request("x", BOTTOM))
    assert len(found.granted) == 1
    assert paths == {"x": TOP}


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (request("x", ("a>b", "b>z")), "b>z is not there, or down"),
        (request("x", ("a>b",)), "a>b is not a way between its ends"),
        (request("x", ("b>d", "a>b")), "b>d, a>b is not a way between its ends"),
        (request("x", ("a>b", "b>a", "a>c", "c>d")), "passes a location twice"),
        (CircuitRequest("x", "a", "z"), "a to z are not two known locations"),
        (CircuitRequest("x", "a", "a"), "a to a are not two known locations"),
        (CircuitRequest("x", "a", "e"), "there is no way from a to e"),
        (request("x", constraints=PathConstraints(max_latency_ms=-1.0)),
         "no path keeps its constraints"),
        (request("x", TOP, constraints=PathConstraints(avoid_links=("b>d",))),
         "its path breaks its own constraints: b>d is to be avoided"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_named(wanted, why):
    nodes = (*DIAMOND_NODES, "e")
    found, paths = ask(wanted, nodes=nodes, demands=np.zeros((5, 5)))
    assert paths == {}
    assert why in found.refused["x"]
    assert not found.background_bps.any()


def test_a_path_through_a_location_that_vanished_leaves_the_rest_of_the_plan_as_it_is():
    demands = demands_of(DIAMOND_NODES, a_d=40.0)
    policies = Policies(requests=(request("x", BOTTOM, share=0.5),))
    first = plan(snapshot_of(DIAMOND_NODES, DIAMOND, demands), forecast_of(demands), policies, None)
    assert [c.links for c in first.circuits if c.name] == [BOTTOM]
    nodes = ("a", "b", "d")
    links = [x for x in DIAMOND if "c" not in (x.src, x.dst)]
    left = demands_of(nodes, a_d=40.0)
    made = plan(snapshot_of(nodes, links, left), forecast_of(left), policies, first)
    assert not [c for c in made.circuits if c.name]
    assert "circuit x is refused: a>c is not there, or down" in made.notes
    split = next(s for s in made.splits if (s.src, s.dst) == ("a", "d"))
    used = {c.spi: c.links for c in made.circuits}
    assert {used[spi] for spi in split.spis} == {TOP}
    back = plan(snapshot_of(DIAMOND_NODES, DIAMOND, demands), forecast_of(demands), policies, made)
    assert [c.links for c in back.circuits if c.name] == [BOTTOM]


def test_parallel_links_can_be_told_apart():
    links = [link("a", "b"), link("a", "b", number=2)]
    wanted = CircuitRequest("x", "a", "b", ("a>b/2",))
    assert ask(wanted, links=links, nodes=("a", "b"), demands=np.zeros((2, 2)))[1] == {
        "x": ("a>b/2",)
    }

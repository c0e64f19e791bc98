"""Where traffic to prefixes outside leaves: BGP's order first, then the predicted way."""

from dataclasses import replace

import numpy as np
import pytest
from decide_nets import DIAMOND, DIAMOND_NODES, forecast_of, snapshot_of
from hypothesis import given
from hypothesis import strategies as st

from controller.decide import plan
from controller.decide.external import STAYS, exits, places
from controller.decide.policy import Ways
from controller.journal.wire import plan_from_wire, plan_to_wire
from controller.state import ExternalPath, Plan, Policies

NODES = DIAMOND_NODES
NEAR = "198.51.100.0/24"


def path(location, prefix=NEAR, *, peer=None, hops=(65010,), med=None):
    return ExternalPath(prefix, f"n-{location}", peer or f"gw-{location}", hops, med, (), location)


def ways(latency):
    shape = (len(NODES), len(NODES))
    full = np.full(shape, np.inf)
    for (src, dst), value in latency.items():
        full[NODES.index(src), NODES.index(dst)] = value
    ones = np.ones(shape)
    return Ways(full, ones.astype(bool), ones, full, ones)


def seen(*external):
    snapshot = snapshot_of(DIAMOND_NODES, DIAMOND, np.zeros((4, 4)))
    return replace(snapshot, external=external)


def near(**more):
    """a is nearer to c, b to d; c and d are exits themselves."""
    latency = {("a", "c"): 1, ("a", "d"): 3, ("b", "c"): 3, ("b", "d"): 1}
    latency |= {("c", "c"): 0, ("c", "d"): 2, ("d", "d"): 0, ("d", "c"): 2}
    latency |= {tuple(pair.split("_")): value for pair, value in more.items()}
    return ways(latency)


def before(*found):
    return replace(PLAN, exits=tuple(found))


PLAN = Plan(1, 1, 1, (), (), {}, {}, 0.0, "igp", "")


def test_each_source_leaves_by_the_exit_it_reaches_fastest():
    (one,), notes = exits(seen(path("c"), path("d")), near(), None)
    assert one.prefixes == (NEAR,)
    assert one.gateways == {"c": "gw-c", "d": "gw-d"}
    assert one.sources == {"a": "c", "b": "d", "c": "c", "d": "d"}
    assert one.location == "c"
    assert notes == (f"{NEAR} can be left for by c, d",)


def test_a_shorter_as_path_comes_before_a_faster_way():
    longer = path("c", hops=(65010, 65020))
    (one,), _ = exits(seen(longer, path("d", hops=(65030,))), near(), None)
    assert set(one.sources.values()) == {"d"}


def test_med_counts_within_one_neighbouring_network_only():
    (one,), _ = exits(seen(path("c", med=20), path("d", med=10)), near(), None)
    assert one.gateways == {"d": "gw-d"}
    other = path("d", med=10, hops=(65020,))
    (one,), _ = exits(seen(path("c", med=20), other), near(), None)
    assert one.gateways == {"c": "gw-c", "d": "gw-d"}


def test_source_keeps_its_exit_until_another_is_clearly_faster():
    both = seen(path("c"), path("d"))
    (first,), _ = exits(both, near(), None)
    (held,), notes = exits(both, near(a_c=3 * STAYS * 0.99), before(first))
    assert held.sources["a"] == "c"
    assert notes == ()
    (moved,), notes = exits(both, near(a_c=3 * STAYS * 1.01), before(first))
    assert moved.sources["a"] == "d"
    assert notes == (f"{NEAR}: from a now by d instead of c",)
    # what is not marked keeps its way whatever the load
    assert moved.location == "c"


def test_exit_that_is_gone_is_left_at_once_and_said():
    (first,), _ = exits(seen(path("c"), path("d")), near(), None)
    (left,), notes = exits(seen(path("d")), near(), before(first))
    assert set(left.sources.values()) == {"d"}
    assert left.location == "d"
    assert f"{NEAR}: from a, c now by d instead of c" in notes
    none, notes = exits(seen(), near(), before(left))
    assert none == ()
    assert notes == (f"no neighbour announces {NEAR} any more",)


def test_source_without_a_way_has_no_exit_and_strangers_are_left_out():
    (one,), _ = exits(seen(path("c")), ways({("c", "c"): 0, ("a", "c"): 1}), None)
    assert one.sources == {"a": "c", "c": "c"}
    assert exits(seen(path("elsewhere"), path("")), near(), None)[0] == ()
    assert places([path("elsewhere"), path("c")], NODES) == {"c"}


def test_adjacent_prefixes_with_the_same_exits_are_joined_and_others_are_not():
    halves = [path("c", "10.9.0.0/25"), path("c", "10.9.0.128/25")]
    six = [path("c", "2001:db8::/33"), path("c", "2001:db8:8000::/33")]
    found, _ = exits(seen(*halves, *six, path("d", "10.9.1.0/24")), near(), None)
    assert [one.prefixes for one in found] == [("10.9.0.0/24", "2001:db8::/32"), ("10.9.1.0/24",)]
    # that they were joined is no change
    (first,), _ = exits(seen(halves[0]), near(), None)
    _, notes = exits(seen(*halves), near(), before(first))
    assert not any("no neighbour" in note for note in notes)


def test_many_changes_are_named_in_few_words():
    many = seen(*(path("c", f"10.{at}.0.0/16", peer=f"gw{at}") for at in range(1, 60, 2)))
    _, notes = exits(many, near(), None)
    assert len(notes) == 6
    assert notes[-1] == "and 25 more exits changed"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(NODES),
            st.sampled_from(("10.9.0.0/24", "10.9.1.0/24", "0.0.0.0/0", "2001:db8::/32")),
            st.lists(st.integers(1, 3), min_size=1, max_size=3),
            st.one_of(st.none(), st.integers(0, 2)),
        ),
        max_size=12,
    ),
    st.randoms(),
)
def test_order_of_announcements_does_not_matter_and_every_exit_has_a_gateway(rows, random):
    external = [path(at, prefix, hops=tuple(hops), med=med) for at, prefix, hops, med in rows]
    found, _ = exits(seen(*external), near(), None)
    shuffled = list(external)
    random.shuffle(shuffled)
    assert exits(seen(*shuffled), near(), None)[0] == found
    announced = {prefix for _, prefix, _, _ in rows}
    assert announced == set() or len({p for one in found for p in one.prefixes}) >= 1
    for one in found:
        assert one.location in one.gateways
        assert set(one.sources.values()) <= one.gateways.keys()


def test_whole_plan_knows_exits_and_the_journal_keeps_them():
    snapshot = seen(path("c"), path("d"))
    made = plan(snapshot, forecast_of(np.zeros((4, 4))), Policies(), None)
    (one,) = made.exits
    assert set(one.gateways) == {snapshot.nodes[2], snapshot.nodes[3]}
    assert set(one.sources) == set(snapshot.nodes)
    assert any("can be left for by" in note for note in made.notes)
    assert plan_from_wire(plan_to_wire(made)).exits == made.exits
    again = plan(snapshot, forecast_of(np.zeros((4, 4))), Policies(), made)
    assert again.exits == made.exits
    assert not any("left for" in note for note in again.notes)


def test_plan_of_an_older_journal_has_no_exits():
    wire = plan_to_wire(PLAN)
    del wire["exits"]
    assert plan_from_wire(wire).exits == ()
    assert pytest.approx(plan_from_wire(wire).max_utilisation) == 0

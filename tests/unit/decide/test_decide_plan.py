import ast
import itertools
import pickle
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from decide_nets import (
    DIAMOND,
    DIAMOND_NODES,
    demands_of,
    forecast_of,
    from_topohub,
    link,
    snapshot_of,
    traffic,
)

import controller.decide
from controller.decide import DecideError, plan
from controller.decide.candidates import candidates, capacities
from controller.decide.graph import graph_of
from controller.decide.te import place
from controller.state import BUCKETS, UNSTEERED, Policies

PURE = {
    "cel_expr_python", "collections", "collections.abc", "contextlib", "controller", "dataclasses",
    "functools", "headers.prefixes", "heapq", "highspy", "ipaddress", "itertools", "numpy",
    "numpy.typing", "re", "struct", "typing", "zlib",
}  # fmt: skip


def decide(demands, previous=None, *, nodes=DIAMOND_NODES, links=DIAMOND, policies=None, **more):
    snapshot = snapshot_of(nodes, links, demands)
    return plan(snapshot, forecast_of(demands), policies or Policies(), previous, **more)


def loads_of(made, nodes, demands):
    """Add up what the bucket tables put on every link."""
    by_number = {circuit.spi: circuit for circuit in made.circuits}
    load = Counter()
    for split in made.splits:
        rate = demands[nodes.index(split.src), nodes.index(split.dst)] / BUCKETS
        for spi in split.buckets:
            for name in by_number[spi].links:
                load[name] += rate
    return load


def check(made, nodes, links):
    """Check what every plan must keep, whatever it was made from."""
    up = {x.name: x for x in links if x.up}
    by_number = {circuit.spi: circuit for circuit in made.circuits}
    assert len(by_number) == len(made.circuits)
    for circuit in made.circuits:
        ends = [(up[name].src, up[name].dst) for name in circuit.links]
        assert ends[0][0] == circuit.src
        assert ends[-1][1] == circuit.dst
        assert all(a[1] == b[0] for a, b in itertools.pairwise(ends))
    for split in made.splits:
        counts = Counter(split.buckets)
        assert len(split.buckets) == BUCKETS
        assert tuple(sorted(counts)) == split.spis
        assert tuple(counts[spi] / BUCKETS for spi in split.spis) == split.shares
        assert all(
            (by_number[spi].src, by_number[spi].dst) == (split.src, split.dst) for spi in split.spis
        )
    used = {spi for split in made.splits for spi in split.spis}
    standing_by = {spi for split in made.splits for spi in split.backups} - {0}
    assert used | standing_by == set(by_number)
    for circuit in made.circuits:
        ways = [(up[name].src, up[name].dst) for name in circuit.backup]
        if ways:
            assert (ways[0][0], ways[-1][1]) == (circuit.src, circuit.dst)
            assert all(a[1] == b[0] for a, b in itertools.pairwise(ways))
            assert not set(circuit.links) <= set(circuit.backup)
    assert set(made.utilisation) == set(up)
    assert made.max_utilisation == max(made.utilisation.values(), default=0.0)


def test_a_demand_too_large_for_one_path_is_split_as_the_bound_says():
    demands = demands_of(DIAMOND_NODES, a_d=120.0)
    made = decide(demands)
    check(made, DIAMOND_NODES, DIAMOND)
    split = next(s for s in made.splits if (s.src, s.dst) == ("a", "d"))
    assert sorted(split.shares) == pytest.approx([1 / 3, 2 / 3], abs=2 / BUCKETS)
    assert made.max_utilisation == pytest.approx(0.8, rel=0.01)
    assert made.method == "two-stage"


def test_utilisation_is_what_the_bucket_tables_make():
    nodes, links = from_topohub("sndlib/polska")
    demands = traffic(len(nodes), 1)[0]
    made = decide(demands, nodes=nodes, links=links)
    check(made, nodes, links)
    load = loads_of(made, nodes, demands)
    for x in links:
        assert made.utilisation[x.name] == pytest.approx(load[x.name] / x.capacity_bps)


def test_every_pair_is_steered_also_without_traffic():
    made = decide(np.zeros((4, 4)))
    check(made, DIAMOND_NODES, DIAMOND)
    assert {(s.src, s.dst) for s in made.splits} == {
        (a, b) for a in DIAMOND_NODES for b in DIAMOND_NODES if a != b
    }
    assert made.notes == ()
    assert made.max_utilisation == 0.0


def test_a_pair_without_a_path_is_left_unsteered_and_named():
    nodes = (*DIAMOND_NODES, "e")
    links = (*DIAMOND, link("e", "a"))
    made = decide(np.ones((5, 5)), nodes=nodes, links=links)
    check(made, nodes, links)
    assert not [s for s in made.splits if s.dst == "e"]
    assert [s for s in made.splits if s.src == "e"]
    assert len(made.notes) == 1
    assert "4 demands" in made.notes[0]
    assert "a→e" in made.notes[0]


def test_without_any_link_nothing_is_steered():
    made = decide(np.ones((4, 4)), links=())
    assert made.circuits == made.splits == ()
    assert "nothing can be steered" in made.reason


def test_the_same_again_moves_nothing():
    demands = demands_of(DIAMOND_NODES, a_d=120.0, b_c=10.0)
    first = decide(demands)
    second = decide(demands, first)
    assert second.number == first.number + 1
    assert second.splits == first.splits
    assert second.circuits == first.circuits
    assert second.moved_buckets == 0
    assert second.method == "previous"
    assert "Nothing moves" in second.reason


def test_a_plan_is_a_function_of_its_arguments_and_travels_between_processes():
    nodes, links = from_topohub("sndlib/abilene")
    one, two = traffic(12, 2)
    first = decide(one, nodes=nodes, links=links)
    question = (snapshot_of(nodes, links, two), forecast_of(two), Policies(), first)
    here, there = plan(*question), plan(*pickle.loads(pickle.dumps(question)))
    for field in here.__slots__:
        assert getattr(here, field) == getattr(there, field), field
    back = pickle.loads(pickle.dumps(here))
    assert (back.splits, back.circuits) == (here.splits, here.circuits)


def test_what_moves_is_counted_and_told():
    first = decide(demands_of(DIAMOND_NODES, a_d=45.0, c_d=30.0))
    made = decide(demands_of(DIAMOND_NODES, a_d=140.0), first)
    check(made, DIAMOND_NODES, DIAMOND)
    tables = {(s.src, s.dst): s.buckets for s in first.splits}
    counted = sum(
        a != b for s in made.splits for a, b in zip(tables[s.src, s.dst], s.buckets, strict=True)
    )
    assert made.moved_buckets == counted > 0
    assert "would reach" in made.reason
    assert "a→d" in made.reason
    assert "a>b would reach 140 %" in made.reason
    assert "33 % of a→d moves, most of it to a-c-d" in made.reason
    assert "observed" in made.reason


def test_the_reason_names_forecast_and_observed_utilisation_of_the_worst_link():
    links = [replace(x, rate_bps=31.0) if x.name == "a>b" else x for x in DIAMOND]
    first = decide(demands_of(DIAMOND_NODES, a_d=45.0))
    demands = demands_of(DIAMOND_NODES, a_d=45.0, a_b=90.0)
    made = decide(demands, first, links=links)
    share = next(s for s in first.splits if (s.src, s.dst) == ("a", "d")).shares
    assert f"a>b would reach {max(share) * 45 + 90:.0f} %" in made.reason
    assert "(31 % observed)" in made.reason
    assert f"{made.max_utilisation * 100:.0f} %" in made.reason


def test_after_a_link_fails_its_demands_take_what_is_left():
    demands = demands_of(DIAMOND_NODES, a_d=40.0, b_a=10.0)
    alone = Policies(protect=False)
    first = decide(demands, policies=alone)
    links = [replace(x, up=False) if x.name == "b>d" else x for x in DIAMOND]
    made = decide(demands, first, links=links, policies=alone)
    check(made, DIAMOND_NODES, links)
    assert len(made.splits) == 12
    assert made.reason.startswith("b>d is gone. ")
    untouched = {(s.src, s.dst): s for s in first.splits}
    stays = next(s for s in made.splits if (s.src, s.dst) == ("b", "a"))
    assert untouched["b", "a"].buckets == stays.buckets
    numbers = {c.spi for c in first.circuits}
    before = {(c.src, c.dst, c.links) for c in first.circuits}
    fresh = [c for c in made.circuits if (c.src, c.dst, c.links) not in before]
    assert fresh
    assert not numbers & {c.spi for c in fresh}


def test_after_a_link_fails_what_stood_by_carries_without_a_new_circuit():
    demands = demands_of(DIAMOND_NODES, a_d=40.0, b_a=10.0)
    first = decide(demands)
    links = [replace(x, up=False) if x.name == "b>d" else x for x in DIAMOND]
    made = decide(demands, first, links=links)
    check(made, DIAMOND_NODES, links)
    assert {c.links for c in made.circuits} <= {c.links for c in first.circuits}


def test_circuits_keep_their_numbers_over_many_plans():
    nodes, links = from_topohub("sndlib/abilene")
    previous = None
    for demands in traffic(12, 12, mean=3e9):
        made = decide(demands, previous, nodes=nodes, links=links)
        check(made, nodes, links)
        if previous is not None:
            before = {(c.src, c.dst, c.links): c for c in previous.circuits}
            for circuit in made.circuits:
                old = before.get((circuit.src, circuit.dst, circuit.links))
                assert old is None or old.spi == circuit.spi
                assert old in (None, circuit) or old.backup != circuit.backup
                assert old or circuit.spi not in {c.spi for c in previous.circuits}
        previous = made
    assert max(c.spi for c in previous.circuits) < 2 * len(previous.circuits)


@pytest.mark.slow
def test_calm_and_whole_buckets_cost_hardly_any_utilisation():
    nodes, links = from_topohub("sndlib/abilene")
    graph = graph_of(nodes, links)
    previous, excess = None, []
    for demands in traffic(12, 30, mean=3e9):
        made = decide(demands, previous, nodes=nodes, links=links)
        best = place(candidates(graph, 8), capacities(graph, links), demands)
        excess.append(made.max_utilisation / best.bound)
        previous = made
    assert max(excess) < 1.015
    assert np.mean(excess) < 1.01


def test_small_changes_move_little():
    nodes, links = from_topohub("sndlib/abilene")
    rng = np.random.default_rng(3)
    base = traffic(12, 1, mean=3e9)[0]
    previous, moved = decide(base, nodes=nodes, links=links), []
    for _ in range(15):
        demands = base * np.exp(0.02 * rng.normal(size=base.shape))
        previous = decide(demands, previous, nodes=nodes, links=links)
        moved.append(previous.moved_buckets)
    assert np.mean(moved) < 0.05 * 132 * BUCKETS


def test_when_the_solver_fails_the_previous_splits_stand():
    nodes, links = from_topohub("sndlib/abilene")
    one, two = traffic(12, 2, mean=3e9)
    first = decide(one, nodes=nodes, links=links)
    made = decide(two * 2, first, nodes=nodes, links=links, policies=Policies(iterations=2))
    check(made, nodes, links)
    assert made.method == "previous"
    assert made.splits == first.splits
    assert "found no answer" in made.notes[0]
    assert "since the solver found no answer" in made.reason


def test_when_the_solver_fails_and_a_link_too_only_dead_paths_change():
    nodes, links = from_topohub("sndlib/abilene")
    one, two = traffic(12, 2, mean=3e9)
    first = decide(one, nodes=nodes, links=links)
    dead = first.circuits[0].links[0]
    left = [replace(x, up=x.name != dead) for x in links]
    made = decide(two, first, nodes=nodes, links=left, policies=Policies(iterations=2))
    check(made, nodes, left)
    on_dead = {c.spi for c in first.circuits if dead in c.links}
    for split in first.splits:
        assert (split in made.splits) == (not on_dead & set(split.spis))


def test_without_solver_and_previous_plan_every_demand_takes_its_shortest_path():
    nodes, links = from_topohub("sndlib/abilene")
    made = decide(traffic(12, 1)[0], nodes=nodes, links=links, policies=Policies(iterations=2))
    check(made, nodes, links)
    assert made.method == "igp"
    used = {spi for split in made.splits for spi in split.spis}
    first_links = {(c.src, c.dst): c.links[0] for c in made.circuits if c.spi in used}
    assert first_links == {
        (src, dst): name for src, row in made.routes.items() for dst, name in row.items()
    }


def test_short_circuit_numbers_leave_the_smallest_demands_on_the_plain_routes():
    demands = demands_of(DIAMOND_NODES, a_d=120.0, b_c=5.0, c_b=4.0, d_a=3.0)
    made = decide(demands, circuit_limit=5)
    check(made, DIAMOND_NODES, DIAMOND)
    assert len(made.circuits) == 5
    assert "no path or no circuit" in made.notes[0]
    assert ("a", "d") in {(s.src, s.dst) for s in made.splits}
    steered = {(s.src, s.dst) for s in made.splits}
    load = loads_of(made, DIAMOND_NODES, demands)
    for src, dst in (("b", "c"), ("c", "b"), ("d", "a")):
        here = src
        while (src, dst) not in steered and here != dst:
            name = made.routes[here][dst]
            load[name] += demands[DIAMOND_NODES.index(src), DIAMOND_NODES.index(dst)]
            here = name.partition(">")[2]
    assert len(steered) < 12
    for x in DIAMOND:
        assert made.utilisation[x.name] == pytest.approx(load[x.name] / x.capacity_bps)


def test_a_demand_that_was_not_forecast_counts_as_last_seen():
    demands = demands_of(DIAMOND_NODES, a_b=50.0)
    forecast = forecast_of(demands)
    forecast.demands_bps[..., 0, 1] = np.nan
    made = plan(snapshot_of(DIAMOND_NODES, DIAMOND, demands), forecast, Policies(), None)
    assert made.max_utilisation == decide(demands).max_utilisation > 0.2
    assert "1 demands without a forecast" in made.notes[0]


def test_the_forecast_decides_and_not_what_is_there_now():
    now, soon = demands_of(DIAMOND_NODES, a_d=10.0), demands_of(DIAMOND_NODES, a_d=120.0)
    snapshot = snapshot_of(DIAMOND_NODES, DIAMOND, now)
    made = plan(snapshot, forecast_of(soon), Policies(), None)
    assert made.max_utilisation == pytest.approx(0.8, rel=0.01)


def test_a_horizon_that_was_not_forecast_is_refused():
    demands = demands_of(DIAMOND_NODES, a_d=1.0)
    with pytest.raises(DecideError, match="horizon 3"):
        decide(demands, policies=Policies(horizon_steps=3))


def test_a_forecast_about_another_network_is_refused():
    snapshot = snapshot_of(DIAMOND_NODES, DIAMOND, np.zeros((4, 4)))
    with pytest.raises(DecideError, match="not about 4 locations"):
        plan(snapshot, forecast_of(np.zeros((5, 5))), Policies(), None)


def test_a_previous_plan_with_unknown_circuits_and_locations_is_survived():
    demands = demands_of(DIAMOND_NODES, a_d=120.0)
    first = decide(demands)
    strange = replace(first.splits[0], src="z", dst="y")
    loose = replace(first.splits[1], buckets=(UNSTEERED,) * BUCKETS, spis=(), shares=())
    wrong = replace(first.splits[2], buckets=(4_000_000,) * BUCKETS)
    odd = replace(first, splits=(strange, loose, wrong, *first.splits[3:]))
    made = decide(demands, odd)
    check(made, DIAMOND_NODES, DIAMOND)
    assert len(made.splits) == 12


def test_deciding_imports_nothing_that_touches_the_world():
    folder = Path(controller.decide.__file__).parent
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found = {node.module or ""}
            else:
                continue
            for name in found:
                inside = name.startswith(("controller.decide", "controller.layers"))
                assert inside or name == "controller.state" or name in PURE, (
                    f"{path.name} imports {name}"
                )

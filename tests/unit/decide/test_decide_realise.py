"""From splits to circuits, tables, backups and filters."""

from dataclasses import replace

from decide_nets import DIAMOND, DIAMOND_NODES, both, demands_of, forecast_of, snapshot_of

from controller.decide import plan
from controller.state import BUCKETS, CircuitRequest, FirewallRule, Policies

TOP = ("a>b", "b>d")
BOTTOM = ("a>c", "c>d")
NOTHING = demands_of(DIAMOND_NODES)


def decide(policies=None, previous=None, demands=NOTHING, links=DIAMOND):
    snapshot = snapshot_of(DIAMOND_NODES, links, demands)
    return plan(snapshot, forecast_of(demands), policies or Policies(), previous)


def circuits(made, src="a", dst="d"):
    return {c.links: c for c in made.circuits if (c.src, c.dst) == (src, dst)}


def split(made, src="a", dst="d"):
    return next(s for s in made.splits if (s.src, s.dst) == (src, dst))


def named(made, name):
    return next(c for c in made.circuits if c.name == name)


def test_a_circuit_is_protected_by_a_disjoint_one_that_stands_by():
    made = decide()
    of_pair = circuits(made)
    assert of_pair[TOP].backup == BOTTOM
    assert of_pair[BOTTOM].backup == ()
    assert split(made).spis == (of_pair[TOP].spi,)
    assert split(made).backups == (of_pair[BOTTOM].spi,) * BUCKETS


def test_two_circuits_in_use_stand_by_for_each_other():
    made = decide(demands=demands_of(DIAMOND_NODES, a_d=120.0))
    of_pair = circuits(made)
    assert set(of_pair) == {TOP, BOTTOM}
    other = {of_pair[TOP].spi: of_pair[BOTTOM].spi, of_pair[BOTTOM].spi: of_pair[TOP].spi}
    found = split(made)
    assert found.backups == tuple(other[spi] for spi in found.buckets)
    assert of_pair[BOTTOM].backup == TOP


def test_protection_can_be_left_out():
    made = decide(Policies(protect=False))
    assert not [c for c in made.circuits if c.backup]
    assert not [s for s in made.splits if s.backups]
    assert set(circuits(made)) == {TOP}


def test_where_there_is_one_way_only_there_is_no_backup():
    made = decide(links=both(("a", "b", 100.0, 1.0), ("b", "d", 100.0, 1.0)))
    assert circuits(made)[TOP].backup == ()
    assert split(made).backups == ()


def test_nothing_changes_its_generation_when_nothing_changed():
    wanted = Policies(requests=(
        CircuitRequest("x", "a", "d", BOTTOM, 0.5, rules=(FirewallRule("web", True, 5),)),
    ))  # fmt: skip
    first = decide(wanted)
    second = decide(wanted, first)
    third = decide(wanted, second)
    for made in (second, third):
        assert made.circuits == first.circuits
        assert made.filters == first.filters
        assert made.splits == first.splits
        assert made.moved_buckets == 0


def test_a_circuit_whose_backup_changes_gets_a_new_generation():
    links = (*DIAMOND, *both(("a", "d", 50.0, 9.0)))
    first = decide(links=links)
    without = [x for x in links if x.name not in {"a>c", "c>a"}]
    made = decide(previous=first, links=without)
    before, after = circuits(first)[TOP], circuits(made)[TOP]
    assert before.spi == after.spi
    assert before.backup != after.backup == ("a>d",)
    assert after.generation == made.number > before.generation


def test_an_operator_s_circuit_beside_the_loop_s_on_the_same_path():
    made = decide(Policies(requests=(CircuitRequest("x", "a", "d", TOP, 0.5, 7.0),)))
    mine = named(made, "x")
    assert (mine.links, mine.reserved_bps, mine.backup) == (TOP, 7.0, BOTTOM)
    table = split(made).buckets
    assert table.count(mine.spi) == BUCKETS // 2
    others = {c.spi for c in made.circuits if not c.name and (c.src, c.dst) == ("a", "d")}
    assert set(table) - {mine.spi} <= others


def test_a_circuit_without_a_share_is_there_and_carries_nothing():
    made = decide(Policies(requests=(CircuitRequest("x", "a", "d", BOTTOM, 0.0),)))
    assert named(made, "x").spi not in split(made).buckets


WEB = FirewallRule("web", True, 50, "10.0.0.0/24", "10.3.0.0/24", 6, 0, 443)


def filters(made):
    names = {c.spi: c.name for c in made.circuits}
    return {names[one.spi]: one for one in made.filters}


def requests(direction, priority=50):
    rule = replace(WEB, direction=direction, priority=priority)
    there = CircuitRequest("there", "a", "d", TOP, rules=(rule,), allow_rest=False)
    return Policies(requests=(there, CircuitRequest("back", "d", "a", ("d>b", "b>a"))))


def test_a_rule_forward_is_on_its_circuit_alone():
    found = filters(decide(requests("forward")))
    assert set(found) == {"there"}
    assert [rule.name for rule in found["there"].rules] == ["web"]
    assert found["there"].allow_rest is False


def test_a_rule_of_the_way_back_is_on_the_circuit_back_with_its_ends_exchanged():
    found = filters(decide(requests("reverse")))
    (back,) = found["back"].rules
    assert (back.source, back.destination) == ("10.3.0.0/24", "10.0.0.0/24")
    assert (back.source_port, back.destination_port) == (443, 0)
    assert back.direction == "forward"
    assert found["there"].rules == ()
    assert found["there"].allow_rest is False
    assert found["back"].allow_rest is True


def test_a_rule_both_ways_is_on_both():
    found = filters(decide(requests("both")))
    assert found["there"].rules[0].destination_port == 443
    assert found["back"].rules[0].source_port == 443


def test_rules_are_asked_by_priority_and_circuits_without_any_have_no_filter():
    rules = tuple(FirewallRule(f"r{n}", True, n) for n in (1, 900, 50))
    made = decide(Policies(requests=(
        CircuitRequest("x", "a", "d", TOP, 0.1, rules=rules),
        CircuitRequest("y", "a", "d", BOTTOM, 0.1),
        CircuitRequest("z", "a", "d", BOTTOM, 0.1, allow_rest=False),
    )))  # fmt: skip
    found = filters(made)
    assert [rule.priority for rule in found["x"].rules] == [900, 50, 1]
    assert set(found) == {"x", "z"}
    assert found["z"].rules == ()


def test_a_rule_that_changes_gets_a_new_generation_and_others_keep_theirs():
    first = decide(requests("both"))
    made = decide(requests("both", priority=60), first)
    assert {one.generation for one in made.filters} == {made.number}
    one = decide(requests("forward"), first)
    assert filters(one)["there"].generation == first.number + 1
    assert "back" not in filters(one)

"""Rulings: order, conflicts, lifetimes, the loop's own rules, and what never may be violated."""

import random
from dataclasses import replace

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_nets import DB, LINKS, REGIONS, WEB, decide, spread

from controller.journal.wire import plan_from_wire, plan_to_wire
from controller.layers import Bound, Global, GranularRule, Layers, Match, Ruling, ServicePolicy
from controller.state import BUCKETS, Plan

HOT = Global(high=Bound(0.8), low=Bound(0.5), hold_s=10.0)


def divert(name="x", **more):
    return GranularRule(name, "divert", **{"at": ("d",), "to": ("b",), "share": 0.5, **more})


def refusals(made):
    return {(one.name, one.service): one.why for one in made.ruling.refused}


def test_without_policies_the_nearest_location_serves_by_capacity():
    made = decide(Layers())
    assert spread(made, "web", "d") == {"d": 1.0}
    assert spread(made, "web", "a") == {"b": 1.0}
    split = next(x for x in made.services if (x.service, x.src) == ("web", "d"))
    assert split.shares == (0.25, 0.75)
    assert len(split.buckets) == BUCKETS
    assert split.buckets.count(1) == 192
    assert split.reason == "nearest: d"
    assert made.ruling == Ruling()


def test_sick_instances_are_left_out_and_nobody_left_is_noted():
    sick = replace(WEB, instances=tuple(replace(x, healthy=x.name == "w1") for x in WEB.instances))
    made = decide(Layers(), services=(sick,))
    assert {x.instances for x in made.services} == {("w1",)}
    none = replace(WEB, instances=tuple(replace(x, healthy=False) for x in WEB.instances))
    made = decide(Layers(), services=(none,))
    assert {(x.instances, x.buckets) for x in made.services} == {((), ())}
    assert made.notes[0] == "nobody serves web to a and 3 more: it has no healthy instance"


@pytest.mark.parametrize(
    ("policy", "source", "shares"),
    [
        ({"forbidden_locations": ("d",)}, "d", {"b": 1.0}),
        ({"allowed_regions": ("south",)}, "a", {"d": 1.0}),
        ({"forbidden_regions": ("north",)}, "a", {"d": 1.0}),
        ({"max_latency_ms": 7.0}, "a", {"b": 1.0}),
        ({"max_latency_ms": 1.0}, "a", {}),
        ({"nearest": False}, "a", {"b": 0.2, "d": 0.8}),
        ({"pin": ("d",)}, "a", {"d": 1.0}),
        ({"pin": ("d",), "forbidden_locations": ("d",)}, "a", {"b": 1.0}),
        ({"min_bandwidth_bps": 85e6}, "a", {"b": 1.0}),
        ({"min_bandwidth_bps": 1e12}, "a", {"b": 1.0}),
    ],
)
def test_service_policies_bound_and_wish(policy, source, shares):
    made = decide(Layers(services=(ServicePolicy("p", **policy),)), services=(WEB,))
    assert spread(made, "web", source) == pytest.approx(shares, abs=1 / BUCKETS)


def test_untrusted_ways_are_not_taken_by_who_asks_for_trust():
    links = tuple(replace(x, trusted=x.name != "a>b") for x in LINKS)
    layers = Layers(services=(ServicePolicy("safe", trusted_only=True),))
    made = decide(layers, services=(DB,), links=links)
    assert spread(made, "db", "a") == {"c": 1.0}
    assert spread(made, "db", "b") == {"b": 1.0}


@pytest.mark.parametrize(
    ("match", "who"),
    [
        (Match(services=("db",)), {"db"}),
        (Match(prefixes=("10.9.0.1/32",)), {"web"}),
        (Match(prefixes=("2001:db8::/32",)), set()),
        (Match(protocol=6, ports=((5000, 6000),)), {"db"}),
        (Match(labels={"tier": "front"}), {"web"}),
        (Match(dscp=46), set()),
        (Match(), {"web", "db"}),
    ],
)
def test_services_are_matched_by_all_that_is_given(match, who):
    made = decide(Layers(services=(ServicePolicy("p", match, pin=("b",)),)))
    assert {name for name in ("web", "db") if spread(made, name, "d") == {"b": 1.0}} == who


def test_divert_moves_its_share_and_service_policies_may_stand_over_it():
    over = ServicePolicy("db-replicas", Match(ports=((5432, 5432),)), over_granular=True)
    made = decide(Layers(7, services=(over,), rules=(divert(condition="predicted > 0.3"),)))
    assert spread(made, "web", "d") == {"b": 0.5, "d": 0.5}
    assert spread(made, "db", "d") == {"d": 1.0}
    assert refusals(made) == {
        ("x", "db"): "refused by service policy db-replicas: it stands over granular rules"
    }
    (active,) = made.ruling.active
    assert (active.name, active.location, active.targets) == ("x", "d", ("b",))
    assert active.why == "predicted > 0.3 holds at d"
    assert (active.since_s, active.until_s, made.ruling.layers) == (0.0, 60.0, 7)


@pytest.mark.parametrize(
    ("rules", "service", "shares", "why"),
    [
        ([divert(to=("a",))], "web", {"d": 1.0}, "no healthy instance of web is at a"),
        ([divert(to=())], "db", {"d": 0.5, "c": 0.5}, ""),
        ([divert(share=1.0)], "web", {"b": 1.0}, ""),
        ([divert(sources=("a",))], "web", {"d": 1.0}, ""),
        ([divert(), divert("y", at=("b",), to=("d",))], "web", {"d": 0.5, "b": 0.5}, "contradicts"),
        ([divert(), divert("y", share=1.0)], "web", {"b": 1.0}, ""),
        ([GranularRule("p", "pin", to=("b",))], "web", {"b": 1.0}, ""),
        ([GranularRule("p", "pin", to=("d",)), divert()], "web", {"d": 1.0},
         "refused by p: it pins elsewhere"),
        ([GranularRule("p", "pin", to=("d",)), GranularRule("q", "pin", to=("b",))], "web",
         {"d": 1.0}, "contradicts p"),
        ([GranularRule("l", "limit", at=("d",), share=0.25)], "web", {"d": 0.25, "b": 0.75}, ""),
        ([GranularRule("l", "limit", at=("b",), share=0.25), divert(share=1.0)], "web",
         {"d": 0.75, "b": 0.25}, "b is limited to 25 % by l"),
        ([GranularRule("a", "attract", at=("b",), share=0.5)], "web", {"d": 0.5, "b": 0.5}, ""),
        ([GranularRule("a", "attract", at=("d",)), divert()], "web", {"d": 0.5, "b": 0.5},
         "contradicts x"),
        ([GranularRule("a", "attract", at=("b",), priority=200), divert()], "web", {"b": 1.0}, ""),
        ([GranularRule("o", "drop", sources=("d",), match=Match(services=("web",)))], "web", {},
         ""),
        ([GranularRule("l", "limit", at=("d",), share=0.5, priority=50),
          GranularRule("p", "pin", to=("d",))], "web", {"d": 1.0}, "refused by p"),
    ],
)  # fmt: skip
def test_rules_and_their_conflicts(rules, service, shares, why):
    made = decide(Layers(rules=tuple(rules)))
    assert spread(made, service, "d") == pytest.approx(shares, abs=1 / BUCKETS)
    told = " ".join(text for (_, of), text in refusals(made).items() if of == service)
    assert why in told
    assert bool(why) == bool(told)


def test_rule_ends_with_its_lifetime_and_not_before():
    layers = Layers(rules=(divert(condition="predicted > 0.3", lifetime_s=30.0),))
    previous = None
    shares = []
    for time_s, scale in ((0, 1.0), (10, 1.0), (20, 0.5), (39, 0.5), (41, 0.5), (50, 0.5)):
        previous = decide(layers, time_s=float(time_s), scale=scale, previous=previous)
        shares.append(spread(previous, "web", "d").get("b", 0.0))
    assert shares == [0.5, 0.5, 0.5, 0.5, 0.0, 0.0]
    assert previous.ruling == Ruling()


def test_rule_with_an_end_stands_until_that_holds():
    layers = Layers(
        rules=(divert(condition="predicted > 0.3", until="predicted < 0.2", lifetime_s=5.0),)
    )
    previous = None
    shares = []
    for time_s, scale in ((0, 1.0), (60, 0.7), (120, 0.3), (126, 0.3)):
        previous = decide(layers, time_s=float(time_s), scale=scale, previous=previous)
        shares.append(spread(previous, "web", "d").get("b", 0.0))
    assert shares == [0.5, 0.5, 0.0, 0.0]


def test_rule_expires_whatever_holds():
    layers = Layers(rules=(divert(expires_s=100.0),))
    first = decide(layers, time_s=99.0)
    assert first.ruling.active[0].until_s == 100.0
    assert decide(layers, time_s=100.0, previous=first).ruling == Ruling()


def test_condition_that_cannot_be_told_is_refused_and_does_not_hold():
    rule = divert(condition="predicted / (observed - observed) > 0.1", at=())
    made = decide(Layers(rules=(rule,)))
    assert made.ruling.active == ()
    assert refusals(made)["x", ""] == (
        "its condition does not hold: a division by zero (and at 3 more)"
    )


def hot_and_cold(scales, layers, **more):
    previous, found = None, []
    for at, scale in enumerate(scales):
        previous = decide(layers, time_s=at * 10.0, scale=scale, previous=previous, **more)
        found.append(spread(previous, "web", "d").get("b", 0.0))
    return found, previous


def test_loop_diverts_in_steps_what_will_be_full_and_takes_it_back_when_it_stays_below():
    scales = [1.0, 1.9, 1.9, 1.9, 1.9, 1.0, 0.3, 0.3, 0.3, 0.3]
    found, last = hot_and_cold(scales, Layers(general=HOT))
    assert found == [0.0, 0.25, 0.5, 0.75, 0.75, 0.75, 0.5, 0.25, 0.0, 0.0]
    assert last.ruling == Ruling()


def test_loops_rule_says_who_why_and_until_when():
    made = decide(Layers(general=HOT), scale=1.9)
    (active,) = made.ruling.active
    assert (active.name, active.written_by, active.share) == ("loop:d", "loop", 0.25)
    assert active.why == "P(utilisation above 80 % within 60 s) is 100 %, 89 % predicted"
    assert (active.since_s, active.until_s, active.targets) == (0.0, 70.0, ("b", "c"))


def test_loop_adjusts_no_sooner_than_it_may():
    layers = Layers(general=replace(HOT, hold_s=25.0))
    assert hot_and_cold([1.9] * 5, layers)[0] == [0.25, 0.25, 0.25, 0.5, 0.5]


def test_surge_counts_before_the_forecast_knows_of_it():
    made = decide(Layers(general=HOT), surges={("a", "d"): 110e6})
    assert [one.name for one in made.ruling.active] == ["loop:d"]


def test_loop_leads_nowhere_that_would_be_full_and_says_so():
    general = replace(HOT, capacities_bps={"b": 30e6})
    made = decide(Layers(general=general), scale=1.9, services=(WEB,))
    assert made.ruling.active == ()
    why = refusals(made)["loop:d", "web"]
    assert why == "no allowed location has room: b would reach 174 %"
    assert spread(made, "web", "d") == {"d": 1.0}


def test_withdrawn_threshold_leaves_no_rule_and_frozen_ones_stay():
    _, hot = hot_and_cold([1.9, 1.9], Layers(general=HOT))
    frozen = decide(Layers(general=HOT), time_s=30.0, scale=0.1, previous=hot, frozen=True)
    assert spread(frozen, "web", "d") == {"b": 0.5, "d": 0.5}
    assert frozen.ruling.active[0].share == 0.5
    gone = decide(Layers(), time_s=40.0, scale=1.9, previous=frozen)
    assert gone.ruling == Ruling()
    assert spread(gone, "web", "d") == {"d": 1.0}


def test_frozen_split_moves_off_what_died():
    before = decide(Layers())
    sick = replace(WEB, instances=tuple(replace(x, healthy=x.name != "w1") for x in WEB.instances))
    after = decide(Layers(), previous=before, frozen=True, services=(sick, DB))
    assert spread(after, "web", "d") == {"d": 1.0}
    assert "w1" not in {name for split in after.services for name in split.instances}


def test_tables_change_by_no_more_than_they_need():
    before = decide(Layers())
    after = decide(Layers(rules=(divert(share=0.25),)), previous=before)

    def table(made):
        split = next(x for x in made.services if (x.service, x.src) == ("web", "d"))
        return [split.instances[at] for at in split.buckets]

    assert sum(a != b for a, b in zip(table(before), table(after), strict=True)) == 64
    again = decide(Layers(rules=(divert(share=0.25),)), previous=after)
    assert again.services == after.services


def test_whole_demands_are_pinned_to_a_path_or_dropped():
    pin = GranularRule("p", "pin", demands=(("a", "d"),), path=("a>c", "c>d"))
    drop = GranularRule("o", "drop", demands=(("b", "d"),), condition="predicted > 0.1")
    made = decide(Layers(rules=(pin, drop)))
    named = {one.name: one for one in made.circuits if one.name}
    assert named["policy p a>d"].links == ("a>c", "c>d")
    denied = named["policy o b>d"].spi
    assert next(x for x in made.filters if x.spi == denied).allow_rest is False
    assert decide(Layers(rules=(pin, drop)), scale=0.1).filters == ()
    odd = decide(Layers(rules=(replace(pin, path=("a>c",)),)))
    assert refusals(odd)["p", ""] == "policy p a>d: a>c is not a way between its ends"


def test_ruling_and_services_survive_the_journal():
    made = decide(Layers(3, HOT, rules=(divert(), divert("y", to=("a",)))), scale=1.9)
    back = plan_from_wire(msgpack.unpackb(msgpack.packb(plan_to_wire(made))))
    assert (back.ruling, back.services) == (made.ruling, made.services)
    assert made.ruling.active
    assert made.ruling.refused
    old = plan_to_wire(made)
    del old["ruling"], old["services"]
    assert isinstance(plan_from_wire(old), Plan)


PLACES = st.lists(st.sampled_from("abcd"), max_size=2, unique=True).map(tuple)
CONDITIONS = st.sampled_from(
    ["", "predicted > 0.3", "observed < 0.2", "probability_above(0.5, 60.0) > 0.5",
     "region == 'south'", "predicted / (observed - observed) > 0.0"]
)  # fmt: skip
MATCHES = st.sampled_from([Match(), Match(services=("web",)), Match(ports=((5432, 5432),))])
POLICIES = st.builds(
    ServicePolicy,
    st.just(""),
    MATCHES,
    st.sampled_from([50, 100]),
    st.booleans(),
    pin=PLACES,
    allowed_locations=PLACES,
    forbidden_locations=PLACES,
    forbidden_regions=st.sampled_from([(), ("north",)]),
    max_latency_ms=st.sampled_from([None, None, 6.0, 12.0]),
    trusted_only=st.booleans(),
    over_granular=st.sampled_from([False, False, True]),
)
RULES = st.builds(
    GranularRule,
    st.just(""),
    st.sampled_from(["divert", "divert", "attract", "pin", "limit", "drop"]),
    CONDITIONS,
    MATCHES,
    at=PLACES,
    to=PLACES,
    sources=PLACES,
    share=st.sampled_from([0.25, 0.5, 1.0]),
    priority=st.sampled_from([100, 200]),
)


@st.composite
def layers(draw):
    policies = draw(st.lists(POLICIES, max_size=3))
    rules = draw(st.lists(RULES, max_size=4))
    return Layers(
        1,
        draw(st.sampled_from([Global(), HOT])),
        tuple(replace(one, name=f"s{at}") for at, one in enumerate(policies)),
        tuple(replace(one, name=f"r{at}") for at, one in enumerate(rules)),
    )


UNSAFE = tuple(replace(x, trusted=x.name not in ("c>d", "d>c")) for x in LINKS)


def fits(policy, service):
    match = policy.match
    return (not match.services or service.name in match.services) and (
        not match.ports or match.ports[0][0] <= service.port <= match.ports[0][1]
    )


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(layers(), st.sampled_from([0.5, 1.9]), st.integers(0, 1 << 30))
def test_every_ruling_keeps_what_must_hold(asked, scale, seed):
    before = decide(Layers(general=HOT), scale=1.9, links=UNSAFE)
    made = decide(asked, time_s=20.0, scale=scale, previous=before, links=UNSAFE)

    # the order in the document does not count
    shuffled = random.Random(seed)
    other = replace(
        asked,
        services=tuple(shuffled.sample(asked.services, len(asked.services))),
        rules=tuple(shuffled.sample(asked.rules, len(asked.rules))),
    )
    again = decide(other, time_s=20.0, scale=scale, previous=before, links=UNSAFE)
    assert (again.services, again.ruling) == (made.services, made.ruling)

    # shares add up, tables realise them
    paths = {one.spi: one.links for one in made.circuits}
    links = {x.name: x for x in UNSAFE}
    by_pair = {
        (x.src, x.dst): [paths[spi] for spi in x.spis] for x in made.splits
    }  # fmt: skip
    for split in made.services:
        if split.instances:
            assert sum(split.shares) == pytest.approx(1.0)
            counts = [split.buckets.count(at) / BUCKETS for at in range(len(split.instances))]
            assert counts == list(split.shares)
            assert min(split.shares) > 0

        # hard constraints hold on the paths in use, whatever the rules say
        service = next(x for x in (WEB, DB) if x.name == split.service)
        places = {x.name: x.location for x in service.instances}
        for policy in (x for x in asked.services if fits(x, service)):
            for place in {places[name] for name in split.instances}:
                assert not policy.allowed_locations or place in policy.allowed_locations
                assert place not in policy.forbidden_locations
                assert REGIONS[place] not in policy.forbidden_regions
                for path in by_pair.get((split.src, place), ()):
                    assert not policy.trusted_only or all(links[x].trusted for x in path)
                    if policy.max_latency_ms is not None:
                        took = sum(links[name].delay_ms for name in path)
                        assert took <= policy.max_latency_ms

    # what is withdrawn leaves nothing behind
    gone = decide(Layers(), time_s=21.0, scale=scale, previous=made, links=UNSAFE)
    fresh = decide(Layers(), time_s=21.0, scale=scale, links=UNSAFE)
    assert gone.ruling == Ruling()
    assert [(x.instances, x.shares) for x in gone.services] == [
        (x.instances, x.shares) for x in fresh.services
    ]
    # rules in force are of this document, or the loop's where it is told to have any
    names = {rule.name for rule in asked.rules} | (
        {f"loop:{place}" for place in "abcd"} if asked.general.high else set()
    )
    assert {one.name for one in made.ruling.active} <= names
    assert all(one.until_s is None or one.until_s > 20.0 for one in made.ruling.active)

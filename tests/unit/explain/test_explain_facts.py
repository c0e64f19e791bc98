import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from controller.explain import circuit_facts, decision_facts, demand_facts, words
from controller.explain.commands import explain
from controller.explain.errors import ExplainError
from controller.explain.facts import pick
from controller.explain.history import made_from
from controller.layers import ActiveRule, RefusedRule, Ruling
from controller.state import BUCKETS, ServiceSplit


@pytest.fixture
def made(entries):
    return list(made_from(entries))


@pytest.fixture
def moved(made):
    """A decision that moved something, and the demand that moved most."""
    for row in made[1:]:
        moves = decision_facts(row)["moves"]
        if moves and row.entry.computed and not row.entry.decided:
            return row, *moves[0]["demand"].split(">")
    raise AssertionError("nothing ever moved")


def test_a_moved_demand_is_explained_from_forecast_to_effect(moved):
    row, src, dst = moved
    found = demand_facts(row, src, dst)
    forecast = found["forecast_bps"]
    assert forecast["low"] < forecast["median"] < forecast["high"]
    assert found["planned_bps"] == pytest.approx(forecast["median"] * 1.15, rel=1e-3)
    assert found["skill"]["used"] == row.forecast.model
    assert found["skill"]["over_ewma"] == pytest.approx(0.75)
    assert len(found["alternatives"]) >= 3
    assert sum(one["share"] for one in found["alternatives"]) == pytest.approx(1.0)
    assert sum(one["change"] for one in found["moved"]) == pytest.approx(0.0)
    assert found["moved"]
    assert found["effect"]["regret"] == pytest.approx(0.25)
    assert found["effect"]["regret_of_reacting"] == pytest.approx(0.5)


def test_an_alternative_s_cost_is_the_sum_of_its_terms(moved):
    row, src, dst = moved
    for one in demand_facts(row, src, dst)["alternatives"]:
        assert one["cost"] == pytest.approx(sum(one["weighted"].values()))
        assert one["terms"]["hops"] == len(one["links"])
        assert one["terms"]["latency"] >= 2.0 * len(one["links"])


def test_with_all_of_it_on_a_path_its_worst_link_is_what_the_loads_say(moved):
    row, src, dst = moved
    nodes, capacity = row.snapshot.nodes, {x.name: x.capacity_bps for x in row.snapshot.links}
    found = demand_facts(row, src, dst)
    load = {name: share * capacity[name] for name, share in row.decided.utilisation.items()}
    for one in found["alternatives"]:
        for name in one["links"]:
            load[name] -= one["share"] * found["planned_bps"]
    for one in found["alternatives"]:
        after = [(load[x] + found["planned_bps"]) / capacity[x] for x in one["links"]]
        assert one["alone_utilisation"] == pytest.approx(max(after))
    assert nodes.index(src) != nodes.index(dst)


def test_unknown_demands_are_refused_with_the_known_locations(made):
    for pair in (("x", "y"), (made[0].snapshot.nodes[0],) * 2):
        with pytest.raises(ExplainError, match="is no demand; locations are"):
            demand_facts(made[0], *pair)


def test_a_demand_that_is_not_optimised_follows_the_plain_route(made):
    from dataclasses import replace

    from controller.decide import plan

    row = made[0]
    policies = replace(row.policies, steered=20, requests=())
    again = plan(row.snapshot, row.forecast, policies, None)
    steered = {(s.src, s.dst) for s in again.splits}
    nodes = row.snapshot.nodes
    left = next((a, b) for a in nodes for b in nodes if a != b and (a, b) not in steered)
    odd = replace(row, policies=policies, entry=replace(row.entry, plan=again))
    found = demand_facts(odd, *left)
    assert not found["optimised"]
    (only,) = found["alternatives"]
    assert only["alone_utilisation"] == pytest.approx(only["worst_utilisation"])


def test_a_named_circuit_tells_path_users_rules_and_since_when(entries):
    found = circuit_facts(entries, "gold")
    by_number = circuit_facts(entries, str(found["spi"]))
    assert by_number == found
    assert found["in_force"]
    assert found["links"]
    assert found["reserved_bps"] == 1e8
    assert found["carries"][0]["share"] == pytest.approx(0.5)
    assert [rule["name"] for rule in found["firewall"]["rules"]] == ["web"]
    assert found["firewall"]["allow_rest"] is False
    since = next(e for e in entries if e.number == found["since_decision"])
    circuits = {c.spi: c for c in since.plan.circuits}
    assert circuits[found["spi"]].links == tuple(found["links"])
    before = [e for e in entries if e.number == found["since_decision"] - 1]
    for entry in before:
        assert all(c.spi != found["spi"] or c.links != tuple(found["links"])
                   for c in entry.plan.circuits)  # fmt: skip


def test_a_circuit_that_is_gone_is_found_in_the_decision_that_had_it(entries):
    last = {circuit.spi for circuit in entries[-1].plan.circuits}
    gone = [c.spi for e in entries for c in e.plan.circuits if c.spi not in last]
    if gone:
        assert not circuit_facts(entries, str(gone[0]))["in_force"]
    with pytest.raises(ExplainError, match="has a circuit 999999"):
        circuit_facts(entries, "999999")


def test_a_decision_tells_cause_notes_moves_and_outcome(made):
    limited, failed = decision_facts(made[7]), decision_facts(made[4])
    assert any("found no answer" in note for note in limited["notes"])
    assert len(failed["links_down"]) == 2
    assert decision_facts(made[15])["trigger"] == "link down"
    assert decision_facts(made[11])["computed"] is False
    for one in failed["moves"]:
        assert 0 < one["share"] <= 1
        assert one["share"] * BUCKETS == pytest.approx(round(one["share"] * BUCKETS))
    assert failed["expected"]["max_utilisation"] == max(made[4].decided.utilisation.values())
    assert np.isfinite(failed["effect"]["utilisation"])


def test_decisions_are_found_by_number_with_the_plan_before_them(story, made):
    one = pick(story.journal, "6")
    assert one.entry.number == 6
    assert one.previous.splits == made[5].previous.splits
    assert one.previous.number == made[5].entry.previous
    assert pick(story.journal, "last").entry.number == 18
    for asked, message in (("99", "the newest is 18"), ("x", "neither a decision's number")):
        with pytest.raises(ExplainError, match=message):
            pick(story.journal, asked)


def say(story, *args):
    result = CliRunner().invoke(explain, [*args, "--journal", str(story.path)])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_words_name_what_an_operator_asks_for(story, moved):
    row, src, dst = moved
    text = say(story, "demand", f"{src}>{dst}", "--decision", str(row.entry.number))
    for part in ("with 80 % certainty", "quantile 0.75", "less than EWMA's", "latency",
                 "worst link", "with all of it here", "Against the plan before", "regret 25.0 %",
                 "reacting on the last matrix"):  # fmt: skip
        assert part in text, text
    text = say(story, "circuit", "gold")
    for part in ("Circuit", "(gold)", "Backup", "Generation", "Carries 50 %", "allow source",
                 "all else: deny", "are kept free"):  # fmt: skip
        assert part in text, text
    text = say(story, "decision", "8")
    for part in ("caused by: tick", "Found by: previous", "Note: the solver found no answer",
                 "Expected:", "Acting:", "model old"):  # fmt: skip
        assert part in text, text
    assert "No plan came in time" in say(story, "decision", "12")
    assert "Links down:" in say(story, "decision", "5")


def test_the_facts_are_to_be_had_as_json(story, moved):
    _, src, dst = moved
    for args in (("demand", f"{src}>{dst}"), ("circuit", "gold"), ("decision", "last")):
        assert json.loads(say(story, *args, "--json"))


def test_what_is_not_there_is_a_sentence(story):
    for args, message in (
        (("demand", "nowhere"), "is not like SRC>DST"),
        (("circuit", "silver"), "no decision that is kept has a circuit silver"),
        (("decision", "500"), "is not kept"),
    ):
        result = CliRunner().invoke(explain, [*args, "--journal", str(story.path)])
        assert result.exit_code != 0
        assert message in result.output


def test_paths_that_may_not_be_used_say_why(moved):
    from dataclasses import replace

    from controller.state import PathConstraints, Refused

    row, src, dst = moved
    first, second, *_ = demand_facts(row, src, dst)["alternatives"]
    avoid = PathConstraints(avoid_links=(first["links"][0],))
    snapshot = replace(
        row.snapshot, refused=(Refused(src, dst, tuple(second["links"]), "table full"),)
    )
    odd = replace(row, snapshot=snapshot, policies=replace(row.policies, constraints=avoid))
    found = demand_facts(odd, src, dst)["alternatives"]
    assert found[0]["not_allowed"] == f"{first['links'][0]} is to be avoided"
    assert "table full" in found[1]["not_allowed"] or "avoided" in found[1]["not_allowed"]
    assert first["not_allowed"] == ""


def test_a_decision_names_its_rules_and_where_connections_go_now(made):
    held = ActiveRule(
        "relieve", "divert", "b", 0.5, "operator", "predicted > 0.8 holds at b", 0, None, 0, ("c",)
    )
    refused = RefusedRule("relieve", "b", "db", "refused by service policy db-replicas")
    split = ServiceSplit("web", "a", ("one", "two"), (0.5, 0.5), (0, 1) * 128, "diverted")
    decided = replace(made[-1].decided, ruling=Ruling(3, (held,), (refused,)), services=(split,))
    row = replace(made[-1], entry=replace(made[-1].entry, decided=decided))
    text = "\n".join(words.decision(decision_facts(row)))
    assert "Rule relieve: divert 50 % at b to c: predicted > 0.8 holds at b." in text
    assert "without effect: relieve for db: refused by service policy db-replicas." in text
    assert "Connections from a to web now go 50 % to one, 50 % to two (diverted)." in text
    # what stays as it was is not said again
    again = replace(row, previous=replace(made[-1].previous, services=(split,)))
    assert "Connections" not in "\n".join(words.decision(decision_facts(again)))

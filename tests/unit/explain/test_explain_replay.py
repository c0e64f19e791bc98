import json
from collections import Counter
from dataclasses import replace

from click.testing import CliRunner

from controller.explain import replay
from controller.explain.commands import replay as command
from controller.explain.history import made_from

COUNT, LATE, LIMITED, REFUSED = 18, 11, 7, 13


def test_every_decision_comes_out_again_exactly(entries):
    found = list(replay(entries))
    assert len(found) == COUNT
    assert Counter(row.how for row in found) == {"identical": COUNT - 1, "not computed": 1}
    assert found[LATE].how == "not computed"
    assert all(row.fields == () for row in found)


def test_the_journal_holds_what_makes_replaying_hard(entries):
    assert [e.tick for e in entries if e.snapshot.usable_links() != e.snapshot.links] == [4, 5]
    assert "found no answer" in " ".join(entries[LIMITED].plan.notes)
    assert {e.forecast.model for e in entries} == {"old", "new"}
    assert entries[REFUSED].decided is not None
    assert {e.event for e in entries} == {"", "link down"}
    assert any(e.plan.moved_buckets for e in entries)


def test_a_plan_that_was_made_otherwise_is_found_and_named(entries):
    changed = list(entries)
    plan = replace(changed[3].plan, moved_buckets=7, reason="because")
    changed[3] = replace(changed[3], plan=plan)
    found = [row for row in replay(changed) if row.how == "different"]
    assert [(row.tick, row.fields) for row in found] == [(3, ("reason", "moved_buckets"))]


def test_other_inputs_do_not_replay_as_identical(entries):
    changed = list(entries)
    policies = replace(changed[3].policies, quantile=0.9)
    changed[3] = replace(changed[3], policies=policies)
    found = [row for row in replay(changed) if row.how == "different"]
    assert [row.tick for row in found] == [3]
    assert "utilisation" in found[0].fields


def test_a_decision_whose_previous_plan_is_gone_is_said_to_be_so(entries):
    found = list(replay(entries[6:]))
    assert found[0].how == "previous plan unknown"
    assert all(row.how != "different" for row in found)


def test_the_plan_before_is_the_one_that_came_into_force(entries):
    made = list(made_from(entries))
    assert made[0].previous is None
    assert made[REFUSED + 1].previous == entries[REFUSED].plan
    assert made[REFUSED].decided == entries[REFUSED].decided
    assert made[LATE + 1].previous.number == entries[LATE - 1].plan.number


def test_the_command_counts_and_exits_by_what_it_found(story, tmp_path):
    result = CliRunner().invoke(command, [str(story.path)])
    assert result.exit_code == 0, result.output
    assert "17 identical, 0 different, 1 not computed" in result.output
    as_json = CliRunner().invoke(command, [str(story.path), "--json"])
    assert json.loads(as_json.output)["counts"]["identical"] == 17
    missing = CliRunner().invoke(command, [str(tmp_path / "no.db")])
    assert missing.exit_code == 1
    assert "there is no journal" in missing.output
    assert not (tmp_path / "no.db").exists()


def test_the_command_fails_where_something_differs_and_warns_of_other_versions(story, monkeypatch):
    from controller.decide import plan

    module = __import__("controller.explain.replay", fromlist=["plan"])
    monkeypatch.setattr(module, "plan", lambda *a: replace(plan(*a), iterations=-1))
    monkeypatch.setattr("controller.journal.file.made_with", lambda: "foresteer 99")
    result = CliRunner().invoke(command, [str(story.path)])
    assert result.exit_code == 1
    assert "17 different" in result.output
    assert "plans may differ" in result.output
    assert "decision 1 (tick 0): iterations" in result.output

import json

import numpy as np
import pytest
from click.testing import CliRunner

from controller.explain import questions_of_journal, run
from controller.explain.commands import whatif
from controller.explain.errors import ExplainError
from controller.explain.history import made_from
from controller.explain.plot import draw
from controller.explain.whatif import Change, changed, changed_policies, differing
from controller.state import Policies


@pytest.fixture(scope="module")
def questions(story):
    return list(questions_of_journal(list(made_from(story.journal.decisions()))))


@pytest.fixture
def few(questions):
    return questions[:6]


def test_asked_for_nothing_else_it_is_as_it_was(questions):
    one = run(questions)
    other = run([changed(question, Change()) for question in questions])
    assert differing(one, other) == 0
    assert one.to_dict() == other.to_dict()
    assert np.isnan(one.utilisation[-1])
    assert np.isfinite(one.utilisation[:-1]).all()


def test_events_are_no_questions_and_each_met_the_next_one_s_traffic(questions, story):
    assert len(questions) == 17
    assert questions[0].truth_bps == pytest.approx(story.tm[1], rel=1e-6)


def test_a_cable_that_is_cut_shows(few, story):
    name = story.links[6].name
    one = run(few)
    other = run([changed(question, Change(failed=(name,))) for question in few])
    assert differing(one, other) == len(few)
    assert all(name not in plan.utilisation for plan in other.plans)
    a, b = (x.to_dict()["max_utilisation"]["mean"] for x in (one, other))
    assert b > a


def test_more_traffic_overloads_and_loses(few):
    factor = 3.0 / np.nanmax(run(few).utilisation)
    found = run([changed(question, Change(scale=factor)) for question in few]).to_dict()
    assert found["max_utilisation"]["p95"] > 1.5
    assert found["overloaded_link_minutes"] > 0
    assert found["overloaded_link_minutes"] % 5 == 0
    assert found["lost_bytes"] > 0


def test_other_policies_decide_otherwise(few):
    change = Change(settings=(("paths", "1"), ("protect", "false")))
    found = run([changed(question, change) for question in few])
    assert not any(circuit.backup for plan in found.plans for circuit in plan.circuits)
    one, other = run(few).to_dict(), found.to_dict()
    assert other["max_utilisation"]["mean"] >= one["max_utilisation"]["mean"] * (1 - 1e-6)


def test_settings_are_typed_and_unknown_ones_are_refused():
    found = changed_policies(
        Policies(), [("quantile", "0.9"), ("weights.latency", "2"), ("frozen", "true")]
    )
    assert (found.quantile, found.weights.latency, found.frozen) == (0.9, 2.0, True)
    for key, text, message in (
        ("qantile", "1", "there is no setting 'qantile'"),
        ("weights.lateness", "1", "there is no setting 'weights.lateness'"),
        ("quantile.x", "1", "quantile has no parts"),
        ("weights", "1", "name one of its parts"),
        ("paths", "many", "'paths' cannot be 'many'"),
    ):
        with pytest.raises(ExplainError, match=message):
            changed_policies(Policies(), [(key, text)])


def test_a_link_that_is_not_there_is_refused(questions):
    with pytest.raises(ExplainError, match="there is no link x>y; there are"):
        changed(questions[0], Change(failed=("x>y",)))


@pytest.mark.parametrize("suffix", [".svg", ".html"])
def test_both_are_drawn(suffix):
    from xml.etree import ElementTree as ET

    text = draw(suffix, np.array([0.2, 0.4, np.nan]), np.array([0.3, 0.8, 0.7]))
    assert text.count("<polyline") >= 2
    assert "as it was" in text
    assert "as asked" in text
    if suffix == ".svg":
        ET.fromstring(text)
    with pytest.raises(ExplainError, match=r"\.svg or \.html"):
        draw(".png", np.ones(1), np.ones(1))


def test_the_command_prints_and_draws_the_difference(story, tmp_path):
    plot = tmp_path / "both.svg"
    args = ["--journal", str(story.path), "--set", "quantile=0.5", "--scale", "2",
            "--fail", story.links[6].name, "--plot", str(plot)]  # fmt: skip
    result = CliRunner().invoke(whatif, args)
    assert result.exit_code == 0, result.output
    assert "decisions differ" in result.output
    assert "overloaded link-minutes" in result.output
    assert plot.read_text().startswith("<svg")
    as_json = json.loads(CliRunner().invoke(whatif, [*args, "--json"]).output)
    assert set(as_json) == {"as_it_was", "as_asked", "differing"}


def test_matrices_do_instead_of_a_journal(tmp_path):
    from headers.files import Link, Node, Topology, TrafficMatrices, save_matrices, save_topology

    names = ("a", "b", "c")
    links = [Link(a, b, 100.0) for a in names for b in names if a != b]
    topology, other = tmp_path / "topology.json", tmp_path / "other.json"
    save_topology(Topology("small", tuple(map(Node, names)), tuple(links)), topology)
    half = tuple(Link(x.src, x.dst, 50.0) for x in links)
    save_topology(Topology("half", tuple(map(Node, names)), half), other)
    rng = np.random.default_rng(1)
    tm = rng.gamma(4.0, 5.0, (330, 3, 3)).astype(np.float32)
    tm[:, np.arange(3), np.arange(3)] = 0.0
    file = tmp_path / "tm.npz"
    save_matrices(TrafficMatrices("tm", names, np.arange(330) * 300, tm, True), file)
    args = ["--tm", str(file), "--topology", str(topology), "--from", "320", "--to", "326",
            "--other-topology", str(other), "--json"]  # fmt: skip
    result = CliRunner().invoke(whatif, args)
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    one, two = (found[key]["max_utilisation"]["mean"] for key in ("as_it_was", "as_asked"))
    assert two == pytest.approx(2 * one, rel=0.02)
    assert found["as_it_was"]["decisions"] == 6


def test_what_is_asked_wrongly_is_said(story, tmp_path):
    for args, message in (
        ([], "give either --journal"),
        (["--journal", str(story.path), "--set", "x"], "is not like key=value"),
        (["--journal", str(story.path), "--set", "x=1"], "there is no setting 'x'"),
        (["--journal", str(tmp_path / "none.db")], "there is no journal"),
    ):
        result = CliRunner().invoke(whatif, args)
        assert result.exit_code != 0
        assert message in result.output

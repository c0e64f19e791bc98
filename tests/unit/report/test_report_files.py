import html.parser
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from controller.report import load_run, print_table, save_run, score_run, write_reports
from controller.report.chart import Band, chart, top_of
from controller.report.commands import score as command
from controller.report.html import page
from controller.report.words import span
from headers.errors import FileError


@pytest.fixture(scope="session")
def scored(run):
    return score_run(run)


@pytest.fixture
def saved(run, tmp_path):
    save_run(run, tmp_path)
    return tmp_path


def change_json(folder, change):
    path = folder / "run.json"
    body = json.loads(path.read_text())
    change(body)
    path.write_text(json.dumps(body))


def change_arrays(folder, **changes):
    path = folder / "run.npz"
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays.update(changes)
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})


def test_a_run_comes_back_from_its_files_as_it_was(run, scored, saved):
    again = load_run(saved)
    assert again.in_force == run.in_force
    assert again.decisions == run.decisions
    assert again.links == run.links
    assert (again.sent_bps == run.sent_bps).all()
    assert again.places == run.places
    assert (again.expected == run.expected).all()
    assert [(x.src, x.dst, x.horizons_steps, x.levels) for x in again.fans] == [
        (x.src, x.dst, x.horizons_steps, x.levels) for x in run.fans
    ]
    assert all((a.bps == b.bps).all() for a, b in zip(again.fans, run.fans, strict=True))
    assert score_run(again).to_dict() == scored.to_dict()


def test_a_run_without_splits_or_history_comes_back_too(run, tmp_path):
    bare = replace(run, in_force=({},) * len(run.in_force), before_bps=None, decisions=(),
                   places=(), expected=None, fans=())  # fmt: skip
    save_run(bare, tmp_path)
    again = load_run(tmp_path)
    assert again.in_force == bare.in_force
    assert again.before_bps is None
    assert (again.places, again.expected, again.fans) == ((), None, ())
    tags = parsed(page(score_run(again)))
    assert "No forecasts were recorded" in tags.text
    assert ", predicted –" in tags.text


def test_what_an_older_program_wrote_is_read(saved):
    def strip(body):
        del body["places"], body["fans"]
        for note in body["decisions"]:
            del note["event"]

    change_json(saved, strip)
    change_arrays(saved, expected=None, fan_0=None, fan_1=None)
    assert load_run(saved).fans == ()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "run.json").unlink(), "No such file"),
        (lambda f: (f / "run.npz").unlink(), "No such file"),
        (lambda f: (f / "run.json").write_text("{"), "not JSON"),
        (lambda f: (f / "run.json").write_text("[]"), "not the record of a run"),
        (lambda f: (f / "run.npz").write_bytes(b"PK nothing"), "not a NumPy archive"),
        (lambda f: change_json(f, lambda b: b.update(version=9)), "version 9"),
        (lambda f: change_json(f, lambda b: b.pop("nodes")), "no 'nodes'"),
        (lambda f: change_json(f, lambda b: b["links"].pop(0)), "unknown link"),
        (lambda f: change_json(f, lambda b: b["links"][0].update(colour=1)), "colour"),
        (lambda f: change_json(f, lambda b: b.update(paths=[])), "out of range"),
        (lambda f: change_json(f, lambda b: b["places"].pop()), "places are 11, not 12"),
        (lambda f: change_arrays(f, expected=np.zeros((2, 2))), "expected is of shape"),
        (lambda f: change_arrays(f, fan_1=np.zeros((2, 2))), "a fan is of shape"),
        (lambda f: change_arrays(f, fan_1=None), "fan_1"),
        (lambda f: change_arrays(f, sent_packets=None), "sent_packets"),
        (lambda f: change_arrays(f, sent_packets=np.zeros(3)), "sent_packets"),
        (lambda f: change_arrays(f, flow_share=np.zeros(3)), "argument"),
        (lambda f: change_arrays(f, flow_interval=np.full(4, -1), flow_demand=np.ones(4, int),
                                 flow_path=np.ones(4, int), flow_share=np.ones(4)), "negative"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_in_one_line_that_names_the_folder(saved, spoil, said):
    spoil(saved)
    with pytest.raises(FileError, match=re.escape(said)) as caught:
        load_run(saved)
    assert str(saved) in str(caught.value)
    assert "\n" not in str(caught.value)
    done = CliRunner().invoke(command, [str(saved)])
    assert done.exit_code == 1
    assert done.output.startswith("Error: ")
    assert done.output.count("\n") == 1


def test_the_command_scores_a_folder_again(saved, scored):
    done = CliRunner().invoke(command, [str(saved)])
    assert done.exit_code == 0, done.output
    assert "Foresteer, by the model" in done.output
    assert json.loads((saved / "report.json").read_text()) == scored.to_dict()
    assert (saved / "report.html").read_text() == page(scored)


@pytest.mark.parametrize("width", [72, 80, 100, 200])
def test_the_table_fits_and_shows_every_method(scored, width):
    out = io.StringIO()
    print_table(scored, Console(file=out, width=width))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= min(width, 100)
    text = out.getvalue()
    assert "SYNTHETIC" in text
    assert "…" not in text
    for method in ("ratio", "OSPF with ECMP", "Reactive, two-stage", "99.90 %"):
        assert method in text


def test_recorded_traffic_is_not_called_synthetic(scored, run):
    real = replace(scored, run=replace(run, synthetic=False))
    out = io.StringIO()
    print_table(real, Console(file=out, width=80))
    assert "synthetic" not in out.getvalue().lower()
    assert 'class="synthetic"' not in page(real)


class Tags(html.parser.HTMLParser):
    """Collects tags and checks that they nest."""

    EMPTY = frozenset({"meta", "polyline", "line"})

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.attributes, self.text = [], set(), [], ""

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.attributes += attrs
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def parsed(text):
    tags = Tags()
    tags.feed(text)
    assert not tags.open
    return tags


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(scored, run):
    text = page(scored)
    tags = parsed(text)
    assert not {"script", "img", "iframe", "object"} & tags.seen
    assert not [a for a in tags.attributes if a[0] in ("src", "href")]
    assert "url(" not in text
    assert "prefers-color-scheme: dark" in text
    assert "Synthetic traffic" in tags.text
    for word in (run.links[0].name, run.decisions[0].reason, "Optimum", "OSPF with ECMP"):
        assert word in tags.text


def test_all_text_in_the_page_is_escaped(run):
    evil = "<script>alert('x')</script>&\"'"
    nodes = (evil, *run.nodes[1:])
    links = tuple(
        replace(x, name=x.name.replace(run.nodes[0], evil), src=x.src.replace(run.nodes[0], evil),
                dst=x.dst.replace(run.nodes[0], evil))
        for x in run.links
    )  # fmt: skip
    notes = tuple(replace(note, reason=evil, method=evil, event=evil[1:]) for note in run.decisions)
    fans = tuple(replace(fan, src=evil, dst=run.nodes[4]) for fan in run.fans)
    changed = replace(run, name=evil, nodes=nodes, links=links, decisions=notes, fans=fans,
                      in_force=({},) * len(run.in_force))  # fmt: skip
    text = page(score_run(changed))
    tags = parsed(text)
    assert "script" not in tags.seen
    assert evil in tags.text


def test_many_decisions_are_folded_and_none_is_lost(scored, run):
    notes = tuple(replace(run.decisions[0], tick=n, reason=f"reason {n}.") for n in range(40))
    tags = parsed(page(replace(scored, run=replace(run, decisions=notes))))
    assert "details" in tags.seen
    assert all(f"reason {n}." in tags.text for n in range(40))
    assert "None were recorded" in page(replace(scored, run=replace(run, decisions=())))


def test_the_chart_breaks_lines_where_nothing_is_known():
    values = np.array([0.1, 0.2, np.nan, 0.3, 0.2, np.nan, 0.1])
    text = chart({"ospf": values}, "label", [Band("inner", values - 0.1, values + 0.1)])
    assert text.count('<polyline class="ospf" points="') == 3
    assert text.count('<polygon class="inner" points="') == 3
    assert "nan" not in text
    assert "interval 1" in text


def test_the_chart_draws_full_capacity_only_where_it_is_passed():
    low = chart({"a": np.array([0.2, 0.4])}, "")
    high = chart({"a": np.array([0.2, 1.4])}, "")
    assert 'class="full"' not in low
    assert 'class="full"' in high
    assert "nan" not in chart({"a": np.array([np.nan])}, "")


def test_a_long_chart_stays_small():
    text = chart({"a": np.linspace(0, 1, 100_000)}, "")
    assert len(text) < 40_000


@pytest.mark.parametrize(
    ("highest", "top"),
    [(0.0, 1.0), (0.93, 1.0), (1.01, 1.2), (0.05, 0.06), (0.047, 0.06), (2.3, 2.4)],
)
def test_the_axis_ends_at_a_round_number(highest, top):
    assert top_of(highest) == pytest.approx(top)


def test_lengths_of_time_are_told_in_whole_units():
    assert [span(s) for s in (2.0, 60.0, 300.0, 3600.0, 5400.0)] == [
        "2 s", "1 minute", "5 minutes", "1 hour", "90 minutes",
    ]  # fmt: skip


def test_reports_are_written_side_by_side(scored, tmp_path):
    written = write_reports(scored, tmp_path)
    assert [path.name for path in written] == ["report.json", "report.html"]
    assert all(path.stat().st_size for path in written)

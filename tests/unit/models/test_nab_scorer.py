import csv
import math
import subprocess
import sys

import numpy as np
import pytest

from tests.tools.nab.corpus import ARCHIVE, find_output, read_scores, unpack_at_hand
from tests.tools.nab.scoring import (
    Profile,
    best_threshold,
    gains_of,
    normalised,
    probation,
    row_worth,
    score_at,
    sigmoid,
)

STANDARD = Profile(1.0, 0.11, 1.0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    found = unpack_at_hand(tmp_path_factory.mktemp("nab"))
    if found is None:
        pytest.skip(f"no {ARCHIVE}: name its folder in FORESTEER_DATA")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("label", ["standard", "reward_low_FP_rate", "reward_low_FN_rate"])
def test_the_published_scores_come_out_file_by_file(corpus, label):
    results = corpus.root / "results" / "windowedGaussian"
    with (results / f"windowedGaussian_{label}_scores.csv").open(newline="") as lines:
        published = {row["File"]: row for row in csv.DictReader(lines)}
    profile = corpus.profiles()[label]
    total = 0.0
    for name in corpus.names():
        row = published[name]
        scores = read_scores(find_output(results, name))
        found = score_at(scores, corpus.windows(name), profile, float(row["Threshold"]))
        assert found == pytest.approx(float(row["Score"]), abs=1e-9), name
        total += found
    windows = sum(len(corpus.windows(name)) for name in corpus.names())
    expected = {"standard": 37.05, "reward_low_FP_rate": 18.84, "reward_low_FN_rate": 44.70}
    assert (len(corpus.names()), windows) == (35, 50)
    assert normalised(total, windows, profile) == pytest.approx(expected[label], abs=0.005)


@pytest.mark.slow
def test_the_command_prints_the_published_total(corpus):
    results = corpus.root / "results" / "windowedGaussian"
    command = [sys.executable, "-m", "tests.tools.nab", results, "--corpus", corpus.root]
    said = subprocess.run(
        [*map(str, command), "--threshold", "1.0"], capture_output=True, text=True, check=True
    )
    line = next(line for line in said.stdout.splitlines() if line.startswith("standard"))
    assert line.split()[1:3] == ["1.0000", "37.1"]


def test_a_hit_is_worth_the_more_the_earlier_and_a_late_alarm_costs_the_more_the_later():
    worth, inside = row_worth(100, [(40, 49)], STANDARD)
    assert worth[40] == pytest.approx(1.0)
    assert (np.diff(worth[40:50]) < 0.0).all()
    assert worth[49] > 0.0 > worth[50]
    assert (np.diff(worth[50:77]) < 0.0).all()
    assert (worth[78:] == -0.11).all()
    assert (worth[:40] == -0.11).all()
    assert set(inside[40:50]) == {0}
    assert set(inside[:40]) | set(inside[50:]) == {-1}


def test_the_worth_is_the_papers_sigmoid():
    np.testing.assert_allclose(
        sigmoid(np.array([-1.0, 0.0, 1.0, 3.5])),
        [2 / (1 + math.exp(-5)) - 1, 0.0, 2 / (1 + math.exp(5)) - 1, -1.0],
    )


def test_only_the_earliest_alarm_of_a_window_earns():
    scores = np.zeros(1000)
    scores[520] = 1.0
    once = score_at(scores, [(500, 599)], STANDARD, 0.5)
    scores[530:560] = 1.0
    assert score_at(scores, [(500, 599)], STANDARD, 0.5) == once
    scores[505] = 1.0
    assert score_at(scores, [(500, 599)], STANDARD, 0.5) > once


def test_alarms_in_the_probation_do_not_count():
    assert probation(1000) == 150
    assert probation(4032) == 604
    assert probation(20000) == 750
    scores = np.zeros(1000)
    scores[:150] = 1.0
    assert score_at(scores, [], STANDARD, 0.5) == 0.0
    scores[150] = 1.0
    assert score_at(scores, [], STANDARD, 0.5) == pytest.approx(-0.11)


def test_the_best_threshold_is_the_one_that_a_search_finds():
    rng = np.random.default_rng(1)
    series = [(np.round(rng.random(400), 2), [(200, 239), (300, 339)]) for _ in range(5)]
    parts = [gains_of(scores, windows, STANDARD) for scores, windows in series]
    level, best = best_threshold(parts)
    sums = {
        at: sum(score_at(scores, windows, STANDARD, at) for scores, windows in series)
        for at in np.append(np.round(np.arange(0.0, 1.01, 0.01), 2), np.inf)
    }
    assert best == pytest.approx(max(sums.values()))
    assert sums[level] == pytest.approx(best)


def test_nothing_found_is_0_and_everything_at_once_is_100():
    nothing = score_at(np.zeros(1000), [(500, 599)], STANDARD, 0.5)
    assert normalised(nothing, 1, STANDARD) == 0.0
    scores = np.zeros(1000)
    scores[500] = 1.0
    assert normalised(score_at(scores, [(500, 599)], STANDARD, 0.5), 1, STANDARD) == 100.0


def test_a_missing_output_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"0 outputs for b\.csv"):
        find_output(tmp_path, "a/b.csv")

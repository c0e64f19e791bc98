from dataclasses import astuple
from statistics import NormalDist
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.anomaly import ALARM_SCORE, BUDGET, KINDS, DetectError, Detector
from models.anomaly.senses import DAY_S
from models.anomaly.tails import BLOCK, BLOCKS_MAX, KEPT, Tails
from models.quantiles import QUANTILES

ROWS = 1300


def run(values, budget=BUDGET, forecast=None, at_s=None):
    """Feed rows [T, S]; return scores [T, S], alarms [T, S], kinds [T, S], severities [T, S]."""
    detector = Detector(values.shape[1], budget=budget)
    said = [
        detector.update(
            row,
            None if forecast is None else forecast[number],
            None if at_s is None else at_s[number],
        )
        for number, row in enumerate(values)
    ]
    return tuple(
        np.array([getattr(alarms, name) for alarms in said])
        for name in ("score", "alarm", "kind", "severity")
    )


def noise(rows=ROWS, series=4, seed=1):
    return np.random.default_rng(seed).normal(100.0, 5.0, size=(rows, series))


def kinds_of(kind, alarm):
    return {KINDS[number] for number in kind[alarm]}


def laws(rows, series):
    rng = np.random.default_rng(3)
    shape = (rows, series)
    day = 50.0 + 30.0 * np.sin(2.0 * np.pi * np.arange(rows)[:, None] / 288)
    walk = np.cumsum(rng.normal(size=shape), axis=0)
    slow = np.zeros(shape)
    for row in range(1, rows):
        slow[row] = 0.95 * slow[row - 1] + rng.normal(size=series)
    return {
        "normal": rng.normal(size=shape),
        "heavy tails": rng.standard_t(2, size=shape),
        "infinite variance": rng.pareto(1.5, size=shape),
        "lognormal": rng.lognormal(size=shape),
        "counts": rng.poisson(1.0, size=shape).astype(float),
        "a day": day * rng.lognormal(0.0, 0.2, size=shape),
        "correlated": slow,
        "random walk": walk,
    }


@pytest.mark.slow
@pytest.mark.parametrize("budget", [BUDGET, 1.0])
def test_series_of_any_law_stay_within_the_budget_from_the_first_row_on(budget):
    for name, values in laws(3000, 60).items():
        _, alarm, _, _ = run(values, budget)
        assert alarm.mean() * 1000.0 <= budget, name
        assert alarm[1000:].mean() * 1000.0 <= budget, name


@pytest.mark.slow
def test_a_larger_budget_brings_more_alarms():
    values = laws(3000, 60)["heavy tails"]
    counts = [int(run(values, budget)[1].sum()) for budget in (0.3, 1.0, 3.0, 10.0)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


@pytest.mark.slow
def test_a_spike_is_an_alarm_in_its_own_row():
    values = noise()
    values[1100, 2] = 200.0
    score, alarm, kind, severity = run(values)
    assert alarm[1100].tolist() == [False, False, True, False]
    assert KINDS[kind[1100, 2]] == "residual"
    assert severity[1100, 2] > 2.5
    assert score[1100, 2] >= ALARM_SCORE > score[1100, 0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "kinds", "within"),
    [
        (lambda v: v + 10.0, {"level", "drift", "residual"}, 60),
        (lambda v: v - 10.0, {"level", "drift", "residual"}, 60),
        (lambda v: 100.0 + 4.0 * (v - 100.0), {"unrest", "residual", "level"}, 20),
        (lambda v: 100.0 + 0.1 * (v - 100.0), {"quiet"}, 150),
    ],
)
def test_a_lasting_change_is_found_soon_and_told_a_few_times(change, kinds, within):
    values = noise(series=8)
    calm = run(values)[1]
    values[800:] = change(values[800:])
    _, alarm, kind, _ = run(values)
    np.testing.assert_array_equal(alarm[:800], calm[:800])
    told = alarm[800 : 800 + within]
    assert told.any(axis=0).mean() >= 0.75
    assert kinds_of(kind[800 : 800 + within], told) & kinds
    assert alarm[800:1100].sum(axis=0).max() <= 5


@pytest.mark.slow
def test_a_day_that_does_not_come_is_found():
    rows = np.arange(288 * 8)
    rng = np.random.default_rng(1)
    day = 30.0 * np.maximum(np.sin(2.0 * np.pi * rows / 288), 0.0)
    values = (50.0 + day + rng.normal(size=len(rows)))[:, None]
    at_s = rows * 300.0
    calm = run(values, at_s=at_s)[1]
    values[288 * 6 : 288 * 7, 0] -= day[:288]
    _, alarm, kind, _ = run(values, at_s=at_s)
    missed = slice(288 * 6, 288 * 6 + 72)
    assert not calm[missed].any()
    assert "season" in kinds_of(kind[missed], alarm[missed])


@pytest.mark.slow
def test_an_episode_is_told_once_unless_it_gets_much_worse():
    values = noise(rows=900, series=1)
    values[700:740, 0] += np.where(np.arange(40) % 3 == 0, 60.0, 0.0)
    assert run(values)[1][700:760].sum() == 1
    values[720, 0] += 1e5
    assert run(values)[1][700:760].sum() == 2


@pytest.mark.slow
def test_a_calibrated_forecast_that_fails_is_an_alarm():
    # the values are as wild as ever; only against the forecast are they odd
    rng = np.random.default_rng(1)
    centre = rng.uniform(0.0, 1000.0, size=(ROWS, 3))
    values = centre + rng.normal(size=centre.shape)
    spread = np.array([NormalDist().inv_cdf(level) for level in QUANTILES])
    forecast = centre[:, :, None] + spread
    values[1100, 1] = np.where(centre[1100, 1] > 500.0, centre[1100, 1] - 60, centre[1100, 1] + 60)
    _, alarm, kind, _ = run(values, forecast=forecast)
    assert alarm[1100, 1]
    assert KINDS[kind[1100, 1]] == "residual"
    assert not run(values)[1][1100, 1]
    assert alarm[1000:].mean() * 1000.0 <= BUDGET


@pytest.mark.slow
def test_a_forecast_may_be_missing_for_some_series_or_some_rows():
    values = noise(rows=500)
    forecast = np.full((500, 4, len(QUANTILES)), np.nan)
    for ours, given_none in zip(run(values, forecast=forecast), run(values), strict=True):
        np.testing.assert_array_equal(ours, given_none)


@pytest.mark.slow
def test_what_comes_later_changes_nothing():
    values = noise(rows=700)
    other = values.copy()
    other[400:] = -1e6
    for one, two in zip(run(values), run(other), strict=True):
        np.testing.assert_array_equal(one[:400], two[:400])
        assert not np.array_equal(one[400:], two[400:])


@pytest.mark.slow
def test_each_series_is_alone():
    values = noise(rows=600)
    values[300, 1] = 1e9
    values[400:420, 2] = np.nan
    together = run(values)
    for series in range(4):
        alone = run(values[:, [series]])
        for one, all_of_them in zip(alone, together, strict=True):
            np.testing.assert_allclose(one[:, 0], all_of_them[:, series], rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_unit_does_not_matter(scale):
    values = noise(rows=1000)
    one, other = run(values), run(values * scale)
    np.testing.assert_array_equal(one[1], other[1])


@pytest.mark.slow
def test_a_constant_series_is_calm_until_it_is_not_constant():
    values = np.full((1000, 1), 7.0)
    assert not run(values)[1].any()
    values[800] = 7.1
    score, alarm, _, severity = run(values)
    assert np.flatnonzero(alarm[:, 0])[0] == 800
    assert alarm.sum() <= 3  # being as quiet as before is new once more
    assert score[800, 0] > 0.99
    assert severity[800, 0] > 4.0


@pytest.mark.parametrize("value", [0.0, -5.0])
def test_zero_and_negative_values_are_values(value):
    values = np.full((600, 1), value)
    values[500] = value - 3.0
    assert np.flatnonzero(run(values)[1][:, 0])[0] == 500


@pytest.mark.slow
def test_after_a_spike_a_million_times_as_high_others_are_still_found():
    values = noise(rows=3000)
    values[1000] *= 1e6
    values[2000] = 200.0
    score, alarm, _, _ = run(values)
    assert np.isfinite(score).all()
    assert alarm[1000].all()
    assert alarm[2000].sum() >= 3


@pytest.mark.slow
def test_after_a_step_a_million_times_as_high_the_new_level_becomes_usual():
    values = noise(rows=4000)
    values[1000:] *= 1e6
    score, alarm, _, _ = run(values)
    assert np.isfinite(score).all()
    assert alarm[1000].all()
    assert alarm[1001:].sum(axis=0).max() <= 12


@pytest.mark.slow
def test_a_gap_is_told_once_and_is_no_change_of_the_series():
    values = noise(rows=1000)
    calm = run(values)[1]
    values[700:705, 0] = np.nan  # five rows are not yet a gap
    values[700:720, 1] = np.inf
    _, alarm, kind, _ = run(values)
    assert not alarm[700:730, 0].any()
    assert np.flatnonzero(alarm[700:730, 1]).tolist() == [5]
    assert KINDS[kind[705, 1]] == "missing"
    np.testing.assert_array_equal(alarm[:, 2:], calm[:, 2:])


@pytest.mark.slow
def test_gaps_as_long_as_ever_are_no_news():
    values = noise(rows=1000, series=1)
    for start in range(100, 1000, 100):
        values[start : start + 10] = np.nan
    _, alarm, kind, _ = run(values)
    assert (KINDS.index("missing") == kind[alarm]).sum() == 1


def test_missing_values_are_counted():
    detector = Detector(3)
    said = detector.update(np.array([np.nan, np.inf, 1e300]))
    assert said.missing == 3
    assert detector.update(np.array([1.0, 2.0, -1e300])).missing == 1
    assert detector.missing == 4
    assert not said.alarm.any()


def test_clocks_may_jump():
    values = noise(rows=600)
    at_s = np.arange(600) * 300.0
    at_s[300:] -= 1e9
    at_s[400] = np.nan
    at_s[401] = np.inf
    at_s[402] = -1e300
    score, alarm, _, _ = run(values, at_s=at_s)
    assert np.isfinite(score).all()
    assert alarm.sum() <= 4


@pytest.mark.slow
@settings(deadline=None, max_examples=20)
@given(
    st.lists(
        st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=2, max_size=2),
        min_size=1,
        max_size=30,
    ),
    st.integers(1, 20),
)
def test_no_values_make_it_fail(rows, times):
    detector = Detector(2)
    with np.errstate(all="raise", under="ignore"):
        for row in rows * times:
            said = detector.update(np.array(row))
            for field in (said.score, said.severity):
                assert np.isfinite(field).all()
            assert ((said.score >= 0.0) & (said.score <= 1.0)).all()
            assert ((said.severity >= 0.0) & (said.severity <= 5.0)).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Detector(0),
        lambda: Detector(1, step_s=0.0),
        lambda: Detector(1, budget=0.0),
        lambda: Detector(1, budget=float("nan")),
        lambda: Detector(2).update(np.zeros(3)),
        lambda: Detector(2).update(np.zeros(2), np.zeros((2, 3))),
        lambda: Detector(2).update(np.zeros(2), None, np.zeros(3)),
    ],
)
def test_what_does_not_fit_is_refused_with_a_clear_error(make):
    with pytest.raises(DetectError, match=r"above 0|of 2 series"):
        make()


@pytest.mark.slow
def test_ten_thousand_series_take_some_tens_of_milliseconds():
    detector = Detector(10_000)
    rng = np.random.default_rng(1)
    rows = rng.lognormal(size=(20, 10_000))
    for row in rows:
        detector.update(row)
    took = []
    for number in range(100):
        before = perf_counter()
        detector.update(rows[number % 20])
        took.append(perf_counter() - before)
    assert np.median(took) < 0.06
    assert np.mean(took) < 0.1


def test_a_record_is_as_rare_as_its_place_in_the_past():
    # of exponential values, the next block beats all of N with probability 1 / (N + 1)
    rng = np.random.default_rng(1)
    series, blocks = 2000, 40
    tails = Tails(series, 1)
    everywhere = np.ones((series, 1), dtype=bool)
    for _ in range(blocks):
        for value in rng.exponential(size=(BLOCK, series)):
            tails.learn(value[:, None], everywhere)
    largest = rng.exponential(size=(10, BLOCK, series)).max(axis=1)
    found = np.array([tails.rarity(block[:, None]) for block in largest])
    for rarity in (0.1, 0.03, 0.01, 0.003):
        assert 0.5 * rarity <= (found <= rarity).mean() <= 1.5 * rarity


@pytest.mark.slow
def test_a_tail_forgets_what_is_too_long_ago():
    tails = Tails(1, 1)
    everywhere = np.ones((1, 1), dtype=bool)

    def feed(value, blocks):
        for _ in range(blocks * BLOCK):
            tails.learn(np.array([[value]]), everywhere)

    feed(1.0, 20)
    feed(100.0, KEPT)
    feed(1.0, BLOCKS_MAX - KEPT - 2)
    assert float(tails.rarity(np.array([[90.0]]))[0, 0]) == 1.0
    feed(1.0, 2 * KEPT)
    assert float(tails.rarity(np.array([[90.0]]))[0, 0]) < 0.01


def test_alarms_are_plain_values():
    said = Detector(2).update(np.array([1.0, 2.0]), at_s=DAY_S)
    assert len(astuple(said)) == 5
    assert said.score.shape == said.alarm.shape == said.kind.shape == said.severity.shape == (2,)

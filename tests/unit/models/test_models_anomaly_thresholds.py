import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.anomaly import (
    SEVERITY_MAX,
    DetectError,
    severity,
    threshold_high,
    threshold_low,
)
from models.anomaly.distribution import log_odds_below, probability
from models.quantiles import QUANTILES

HOUR = (300.0, 900.0, 3600.0)


def quantiles_of(inverse):
    return np.array([inverse(level) for level in QUANTILES])


def normal(mean, deviation):
    return quantiles_of(NormalDist(mean, deviation).inv_cdf)


def laplace(level):
    return math.copysign(math.log(1 - 2 * abs(level - 0.5)), level - 0.5)


def below(quantiles, value):
    return float(probability(log_odds_below(quantiles[None], np.array([value])))[0])


def same_at(quantiles, horizons):
    return np.repeat(quantiles[None, None], horizons, axis=1)


@pytest.mark.parametrize("z", [-4.0, -2.0, -1.0, -0.3, 0.0, 0.5, 1.2, 1.6, 2.5, 4.0])
def test_a_normal_distribution_comes_back(z):
    assert below(normal(50.0, 10.0), 50.0 + 10.0 * z) == pytest.approx(
        NormalDist().cdf(z), abs=0.01
    )


@pytest.mark.parametrize("x", [-6.0, -2.0, -0.5, 0.0, 0.4, 1.0, 2.0, 6.0])
def test_a_laplace_distribution_comes_back(x):
    exact = 1 - 0.5 * math.exp(-x) if x > 0 else 0.5 * math.exp(x)
    assert below(quantiles_of(laplace), x) == pytest.approx(exact, abs=0.015)


def test_the_quantiles_themselves_have_their_levels():
    quantiles = normal(3.0, 1.0)
    for level, at in zip(QUANTILES, quantiles, strict=True):
        assert below(quantiles, at) == pytest.approx(level)


@given(
    st.lists(st.floats(-1e9, 1e9), min_size=7, max_size=7),
    st.lists(st.floats(-1e12, 1e12), min_size=2, max_size=9),
)
def test_the_probability_never_falls_in_the_value(quantiles, values):
    at = np.sort(np.array(values))
    every = np.repeat(np.sort(np.array(quantiles))[None], len(at), axis=0)
    found = log_odds_below(every, at)
    assert np.isfinite(found).all()
    assert (np.diff(found) >= -1e-9).all()


def test_a_value_that_is_certain_is_in_its_middle():
    certain = np.full(7, 5.0)
    assert below(certain, 5.0) == 0.5
    assert below(certain, 5.001) > 0.999
    assert below(certain, 4.999) < 0.001


def test_crossing_has_the_forecasts_probability_at_every_horizon():
    quantiles = np.stack([normal(50, 5), normal(60, 10), normal(70, 20)])[None]
    found = threshold_high(quantiles, HOUR, np.array([80.0]))
    exact = [1 - NormalDist(m, s).cdf(80.0) for m, s in ((50, 5), (60, 10), (70, 20))]
    np.testing.assert_allclose(found.at[0], exact, atol=0.01)
    low = threshold_low(quantiles, HOUR, np.array([40.0]))
    exact = [NormalDist(m, s).cdf(40.0) for m, s in ((50, 5), (60, 10), (70, 20))]
    np.testing.assert_allclose(low.at[0], exact, atol=0.01)


@given(st.lists(st.floats(0.0, 200.0), min_size=2, max_size=8))
def test_a_higher_threshold_is_never_likelier_to_be_crossed(thresholds):
    limits = np.sort(np.array(thresholds))
    every = np.repeat(np.stack([normal(50, 5), normal(60, 30)])[None], len(limits), axis=0)
    found = threshold_high(every, (60.0, 120.0), limits)
    assert (np.diff(found.at, axis=0) <= 1e-12).all()
    assert (np.diff(found.by, axis=0) <= 1e-12).all()
    assert (np.diff(found.by, axis=1) >= 0.0).all()


def test_by_a_horizon_lies_between_one_fate_and_independent_ones():
    quantiles, limit = same_at(normal(0, 1), 3), np.array([1.0])
    one = threshold_high(quantiles, HOUR, limit, memory=1.0)
    each = threshold_high(quantiles, HOUR, limit, memory=0.0)
    half = threshold_high(quantiles, HOUR, limit)
    p = one.at[0, 0]
    np.testing.assert_allclose(one.by[0], p)
    np.testing.assert_allclose(each.by[0], [p, 1 - (1 - p) ** 2, 1 - (1 - p) ** 3])
    np.testing.assert_allclose(half.by, (one.by + each.by) / 2)


def test_a_random_walk_crosses_as_often_as_is_said():
    rng = np.random.default_rng(1)
    steps = np.arange(1, 13)
    walks = np.cumsum(rng.normal(size=(20000, 12)), axis=1)
    truth = (np.maximum.accumulate(walks, axis=1) > 3.0).mean(axis=0)
    quantiles = np.stack([normal(0, math.sqrt(step)) for step in steps])[None]
    at = [300.0 * step for step in steps]
    least = threshold_high(quantiles, at, np.array([3.0]), memory=1.0).by[0]
    most = threshold_high(quantiles, at, np.array([3.0]), memory=0.0).by[0]
    assert (least <= truth + 0.01).all()
    assert (truth <= most + 0.01).all()


def test_the_expected_time_is_when_the_forecast_passes_the_threshold():
    narrow = np.stack([normal(mean, 0.1) for mean in (10, 20, 30, 40)])[None]
    found = threshold_high(narrow, (300.0, 600.0, 900.0, 1200.0), np.array([25.0]))
    assert found.expected_s[0] == pytest.approx(750.0)  # between the second and the third
    assert found.by[0] == pytest.approx([0.0, 0.0, 1.0, 1.0], abs=1e-3)
    now = threshold_high(narrow, (300.0, 600.0, 900.0, 1200.0), np.array([1.0]))
    assert now.expected_s[0] == pytest.approx(150.0)


def test_what_is_not_to_be_expected_has_no_time_and_no_severity():
    found = threshold_high(same_at(normal(10, 1), 3), HOUR, np.array([100.0]))
    assert found.expected_s[0] == np.inf
    assert found.severity[0] < 0.01


def test_a_crossing_is_the_more_severe_the_surer_and_the_farther_it_is():
    means = (60.0, 78.0, 82.0, 100.0, 400.0)
    quantiles = np.stack([np.repeat(normal(mean, 5)[None], 3, axis=0) for mean in means])
    found = threshold_high(quantiles, HOUR, np.full(5, 80.0)).severity
    assert (np.diff(found) > 0.0).all()
    assert found[0] < 0.1
    assert found[-1] > 4.5
    assert found.max() <= SEVERITY_MAX


@pytest.mark.parametrize("bad", ["threshold", "quantile"])
def test_what_is_missing_crosses_nothing(bad):
    quantiles, limit = same_at(normal(10, 1), 3), np.array([5.0])
    if bad == "threshold":
        limit = np.array([np.nan])
    else:
        quantiles = np.full_like(quantiles, np.nan)
    found = threshold_high(quantiles, HOUR, limit)
    assert (found.at == 0.0).all()
    assert found.expected_s[0] == np.inf
    assert found.severity[0] == 0.0


@pytest.mark.parametrize(
    ("quantiles", "horizons", "thresholds", "memory", "said"),
    [
        (np.zeros((1, 2, 7)), (1.0,), np.zeros(1), 0.5, "are needed"),
        (np.zeros((1, 1, 6)), (1.0,), np.zeros(1), 0.5, "are needed"),
        (np.zeros((2, 1, 7)), (1.0,), np.zeros(1), 0.5, "are needed"),
        (np.zeros((1, 2, 7)), (2.0, 1.0), np.zeros(1), 0.5, "do not increase"),
        (np.zeros((1, 1, 7)), (0.0,), np.zeros(1), 0.5, "do not increase"),
        (np.zeros((1, 0, 7)), (), np.zeros(1), 0.5, "do not increase"),
        (np.zeros((1, 1, 7)), (1.0,), np.zeros(1), 1.5, "not between 0 and 1"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(quantiles, horizons, thresholds, memory, said):
    with pytest.raises(DetectError, match=said):
        threshold_high(quantiles, horizons, thresholds, memory=memory)


def test_the_scale_goes_from_none_to_certain_and_extreme():
    p, extent = np.array([0.0, 0.5, 1.0, 1.0, 1.0]), np.array([9.0, 0.0, 0.0, 1.0, np.inf])
    np.testing.assert_allclose(severity(p, extent), [0.0, 1.25, 2.5, 3.75, 5.0])


@given(
    st.floats(allow_nan=True, allow_infinity=True), st.floats(allow_nan=True, allow_infinity=True)
)
def test_a_severity_is_always_on_the_scale(p, extent):
    assert 0.0 <= float(severity(np.array(p), np.array(extent))) <= SEVERITY_MAX


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1e9), st.floats(0, 1e9))
def test_a_severity_falls_neither_in_certainty_nor_in_extent(p, q, a, b):
    low = severity(np.array(min(p, q)), np.array(min(a, b)))
    assert low <= severity(np.array(max(p, q)), np.array(max(a, b)))

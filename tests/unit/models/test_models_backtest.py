import sys

import numpy as np
import pytest

from models import (
    MEDIAN,
    QUANTILES,
    Ewma,
    Forecaster,
    ForecastError,
    LastValue,
    find_leak,
    load_shipped_model,
    pinball,
)
from models.backtest import backtest, crps, from_window, report


def traffic(intervals=200, series=8, seed=1):
    rng = np.random.default_rng(seed)
    return 50.0 + 10.0 * rng.random((intervals, series)).cumsum(axis=0)


class Peeking(Forecaster):
    """Looks up what comes in the array that its caller cut the window from."""

    name = "peeking"

    def _quantiles(self, window, horizons, step_s):
        frame = sys._getframe()
        while "origin" not in frame.f_locals:
            frame = frame.f_back
        values, origin = frame.f_locals["values"], frame.f_locals["origin"]
        row = np.nan_to_num(values[min(origin + 1, len(values) - 1)])
        return np.repeat(row[:, None, None], len(QUANTILES), axis=2).repeat(len(horizons), axis=1)


def test_measures_are_what_their_definitions_say():
    values = traffic()
    seen = []
    found = backtest(
        values,
        (Ewma(), LastValue()),
        (2,),
        300.0,
        100,
        180,
        watch=lambda at, horizon, fans, truth: seen.append((fans["last"], truth)),
    ).measures[2]["last"]
    fans, truth = (np.stack(parts) for parts in zip(*seen, strict=True))
    np.testing.assert_array_equal(truth, values[100:180])
    assert found.nmae == pytest.approx(np.abs(truth - fans[..., MEDIAN]).sum() / truth.sum())
    assert found.pinball == pytest.approx(pinball(fans, truth).sum() / truth.sum())
    assert found.scored == truth.size
    low, high = fans[..., 0], fans[..., -1]
    assert found.coverage["90"] == pytest.approx(((truth >= low) & (truth <= high)).mean())
    assert found.width == pytest.approx((high - low).sum() / truth.sum())
    missed = np.maximum(low - truth, 0) + np.maximum(truth - high, 0)
    assert found.winkler == pytest.approx((high - low + 20 * missed).sum() / truth.sum())


def test_crps_of_a_known_distribution():
    """A standard normal forecast of a standard normal: 1 / sqrt(pi)."""
    normal = np.array([-1.6449, -1.2816, -0.6745, 0.0, 0.6745, 1.2816, 1.6449])
    truth = np.random.default_rng(1).standard_normal(200_000)
    mean = crps(np.broadcast_to(normal, (len(truth), 7)), truth).mean()
    assert mean == pytest.approx(1 / np.sqrt(np.pi), rel=0.02)


def test_every_horizon_is_scored_on_the_same_targets():
    found = backtest(traffic(), (Ewma(),), (1, 3, 12), 300.0, 80, 120).measures
    assert {by["ewma"].scored for by in found.values()} == {40 * 8}
    assert set(found[1]) == {"ewma", "foresteer"}


def test_intervals_come_to_cover_what_they_say():
    rng = np.random.default_rng(5)
    values = 100.0 + rng.standard_t(3, (900, 20)).cumsum(axis=0)
    found = backtest(np.abs(values), (Ewma(), LastValue()), (1, 6), 300.0, 500, 900).measures
    for by_name in found.values():
        assert by_name["foresteer"].coverage["90"] == pytest.approx(0.90, abs=0.015)
        assert by_name["foresteer"].coverage["80"] == pytest.approx(0.80, abs=0.02)


def test_days_and_weeks_compare_the_forecast_in_use_with_the_average():
    rng = np.random.default_rng(6)
    values = 50.0 + rng.random((400, 4))
    result = backtest(values, (Ewma(), LastValue()), (1,), 3600.0, 100, 400, groups=[0, 0, 1, 1])
    assert result.days[1].shape == (13, 2)
    assert result.weeks[1].shape == (3, 2)
    assert (np.abs(result.days[1] - 1.0) < 0.2).all()


def test_gaps_are_neither_scored_nor_learned_from():
    values = traffic(300)
    values[150:170] = np.nan
    values[180, 3] = np.nan
    found = backtest(values, (Ewma(), LastValue()), (1,), 300.0, 140, 200).measures[1]
    assert found["foresteer"].scored == 60 * 8 - 20 * 8 - 1
    assert np.isfinite(found["foresteer"].winkler)


def test_series_forecast_together_are_as_if_alone():
    """Blocks of origins, which the network is asked for at once, are no look-ahead."""
    values = traffic(200, 2)
    one = backtest(values, (load_shipped_model(), Ewma()), (1, 4), 300.0, 150, 170, warm_up=8)
    model = load_shipped_model()
    model.per_series = False
    other = backtest(values, (model, Ewma()), (1, 4), 300.0, 150, 170, warm_up=8)
    for horizon in (1, 4):
        mine, its = (r.measures[horizon]["pooled"] for r in (one, other))
        assert mine.nmae == pytest.approx(its.nmae, rel=0.1)


def test_an_honest_forecaster_passes_the_leak_test():
    assert find_leak(from_window(Ewma(), (1, 3), 300.0), traffic(), [70, 120, 198]) is None


@pytest.mark.parametrize("ahead", [1, 2])
def test_a_window_that_reaches_ahead_is_caught(ahead):
    def leaking(values, origin):
        past = values[origin - 60 : origin + 1 + ahead].T.copy()
        return LastValue().forecast(past, (1,))

    assert find_leak(leaking, traffic(), [70, 120]) == 70


def test_scaling_by_the_whole_series_is_caught():
    def leaking(values, origin):
        past = values[origin - 60 : origin + 1].T
        return Ewma().forecast(past, (1,)) / np.nanmax(values)

    assert find_leak(leaking, traffic(), [70]) == 70


def test_the_back_test_refuses_a_forecaster_that_looks_ahead():
    with pytest.raises(ForecastError, match="peeking looks ahead"):
        backtest(traffic(), (Peeking(), Ewma()), (1,), 300.0, 100, 120)


@pytest.mark.parametrize(("start", "stop"), [(0, 50), (3, 50), (100, 100), (100, 500), (120, 90)])
def test_targets_without_a_past_are_refused(start, stop):
    with pytest.raises(ForecastError, match="cannot back-test"):
        backtest(traffic(), (Ewma(),), (1, 12), 300.0, start, stop)


def test_a_silent_network_has_no_error_to_relate():
    found = backtest(np.zeros((120, 3)), (Ewma(),), (1,), 300.0, 100, 110).measures
    assert np.isnan(found[1]["ewma"].nmae)
    assert np.isnan(found[1]["ewma"].coverage["90"])


def test_the_report_is_keyed_by_horizon_and_forecaster():
    content = report(backtest(traffic(), (Ewma(),), (1, 3), 300.0, 100, 110))
    assert set(content) == {"1", "3"}
    assert set(content["1"]["ewma"]) == {
        "nmae", "pinball", "crps", "coverage", "width", "winkler", "scored",
    }  # fmt: skip
    assert set(content["1"]["ewma"]["coverage"]) == {"50", "80", "90"}


@pytest.mark.parametrize("series", [2, 20])
def test_coverage_is_told_by_hour_and_by_volume(series):
    rng = np.random.default_rng(7)
    values = rng.random((500, series)) * np.arange(1, series + 1) + 5.0
    found = backtest(values, (Ewma(), LastValue()), (1,), 3600.0, 250, 500).conditions[1]
    assert len(found["hour"]) == 24
    assert len(found["decile"]) == 10
    assert np.mean(found["hour"]) == pytest.approx(0.9, abs=0.05)
    assert np.mean(found["decile"]) == pytest.approx(0.9, abs=0.05)

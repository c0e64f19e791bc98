import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from models import (
    MEDIAN,
    QUANTILES,
    Ewma,
    Forecaster,
    ForecastError,
    LastValue,
    load_shipped_model,
    pinball,
)
from models.windows import repair

NEURAL = load_shipped_model()
ALL = [LastValue(), Ewma(), Ewma(alpha=0.4), NEURAL]
IDS = ["last", "ewma", "ewma-0.4", "foresteer"]

anything = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=70),
    elements=st.floats(allow_nan=True, allow_infinity=True, width=64),
)


def made_up(series=30, length=64, seed=1):
    rng = np.random.default_rng(seed)
    level = np.exp(rng.normal(3, 2, (series, 1)))
    return level * np.exp(0.1 * rng.standard_normal((series, length)).cumsum(axis=1))


@pytest.mark.parametrize("forecaster", ALL, ids=IDS)
@settings(max_examples=40, deadline=None)
@given(window=anything, horizons=st.lists(st.integers(1, 48), min_size=1, max_size=4))
def test_whatever_the_window_holds_quantiles_are_ordered_finite_and_not_negative(
    forecaster, window, horizons
):
    fan = forecaster.forecast(window, tuple(horizons), 300.0)
    assert fan.shape == (len(window), len(horizons), len(QUANTILES))
    assert np.isfinite(fan).all()
    assert (fan >= 0.0).all()
    assert (np.diff(fan, axis=2) >= 0.0).all()


@pytest.mark.parametrize("forecaster", ALL, ids=IDS)
def test_a_silent_series_is_forecast_silent(forecaster):
    window = made_up(3)
    window[1] = 0.0
    fan = forecaster.forecast(window, (1, 12))
    assert (fan[1] == 0.0).all()
    assert (fan[[0, 2]] > 0.0).any()


@pytest.mark.parametrize("forecaster", ALL, ids=IDS)
def test_a_constant_series_stays_about_where_it_is(forecaster):
    window = np.full((2, 64), 50.0)
    fan = forecaster.forecast(window, (1, 3))
    assert fan[:, :, MEDIAN] == pytest.approx(50.0, rel=0.02)
    assert fan[:, :, -1] - fan[:, :, 0] == pytest.approx(0.0, abs=5.0)


@pytest.mark.parametrize(
    "forecaster", [LastValue(), Ewma(alpha=0.3), NEURAL], ids=["last", "ewma", "foresteer"]
)
def test_the_unit_does_not_matter(forecaster):
    window = made_up()
    small, large = (forecaster.forecast(window * k, (1, 6)) for k in (1.0, 1e6))
    np.testing.assert_allclose(large, small * 1e6, rtol=2e-4)


@pytest.mark.parametrize(
    "forecaster", [LastValue(), Ewma(), NEURAL], ids=["last", "ewma", "foresteer"]
)
def test_a_millionfold_step_gives_a_defined_forecast(forecaster):
    window = np.ones((2, 64))
    window[0, 40:] = 1e6
    fan = forecaster.forecast(window, (1, 12))
    assert np.isfinite(fan).all()
    assert fan[0, 0, MEDIAN] > 1e5
    assert fan[1, 0, MEDIAN] < 2.0


def test_one_interval_is_enough_for_a_forecast():
    for forecaster in ALL:
        fan = forecaster.forecast(np.array([[7.0]]), (1, 5))
        assert fan[0, :, MEDIAN] == pytest.approx(7.0, rel=0.05)


def test_no_series_give_an_empty_forecast():
    assert Ewma().forecast(np.zeros((0, 64)), (1, 3)).shape == (0, 2, len(QUANTILES))


@pytest.mark.parametrize(
    ("window", "horizons", "step_s", "complaint"),
    [
        (np.zeros(5), (1,), 300.0, "shape"),
        (np.zeros((3, 0)), (1,), 300.0, "shape"),
        (np.zeros((3, 5)), (), 300.0, "whole steps"),
        (np.zeros((3, 5)), (0,), 300.0, "whole steps"),
        (np.zeros((3, 5)), (1.5,), 300.0, "whole steps"),
        (np.zeros((3, 5)), (1,), 0.0, "length of time"),
        (np.zeros((3, 5)), (1,), float("nan"), "length of time"),
    ],
)
def test_a_question_of_the_wrong_shape_is_refused(window, horizons, step_s, complaint):
    with pytest.raises(ForecastError, match=complaint):
        LastValue().forecast(window, horizons, step_s)


def test_bad_values_take_the_last_good_one_and_are_counted():
    window = np.array(
        [
            [np.nan, 2.0, -1.0, 4.0],
            [1.0, np.inf, np.nan, 1e31],
            [np.nan, np.nan, -2.0, np.inf],
            [1.0, 2.0, 3.0, 4.0],
        ]
    )
    before = window.copy()
    fixed, count = repair(window)
    assert fixed.tolist() == [[2, 2, 2, 4], [1, 1, 1, 1], [0, 0, 0, 0], [1, 2, 3, 4]]
    assert count == 2 + 3 + 4
    np.testing.assert_array_equal(window, before)


def test_a_forecaster_counts_what_it_repaired():
    forecaster = LastValue()
    forecaster.forecast(np.array([[1.0, np.nan], [-1.0, 2.0]]), (1,))
    forecaster.forecast(np.array([[np.inf, 3.0]]), (1,))
    assert forecaster.repaired == 3


def test_last_value_is_its_own_median():
    window = made_up()
    fan = LastValue().forecast(window, (1, 3))
    np.testing.assert_allclose(fan[:, 0, MEDIAN], window[:, -1])
    np.testing.assert_allclose(fan[:, 1, MEDIAN], window[:, -1])


def test_a_fixed_factor_gives_the_textbook_average():
    fan = Ewma(alpha=0.5).forecast(np.array([[4.0, 8.0, 2.0]]), (1,))
    assert fan[0, 0, MEDIAN] == pytest.approx(4.0)  # 4 -> 6 -> 4


def test_the_factor_is_tuned_to_noise_and_to_wandering():
    rng = np.random.default_rng(3)
    noise = 100.0 + rng.standard_normal((40, 64))
    wandering = 1000.0 + rng.standard_normal((40, 64)).cumsum(axis=1)
    calm = Ewma().forecast(noise, (1,))[:, 0, MEDIAN]
    follow = Ewma().forecast(wandering, (1,))[:, 0, MEDIAN]
    assert np.abs(calm - 100.0).mean() < 0.5
    assert np.abs(follow - wandering[:, -1]).mean() < 0.3


def test_a_factor_outside_zero_and_one_is_refused():
    with pytest.raises(ValueError, match="smoothing factor"):
        Ewma(alpha=1.5)


def test_spread_follows_each_series_own_errors():
    rng = np.random.default_rng(5)
    window = 100.0 + np.array([[1.0], [10.0]]) * rng.standard_normal((2, 64))
    fan = Ewma().forecast(window, (1,))[:, 0]
    widths = fan[:, -1] - fan[:, 0]
    assert 6.0 < widths[1] / widths[0] < 16.0


def test_simple_quantiles_hold_what_they_say_on_noise():
    rng = np.random.default_rng(9)
    series = 100.0 + 5.0 * rng.standard_normal((200, 65))
    fan = Ewma().forecast(series[:, :64], (1,))[:, 0]
    below = (series[:, 64][:, None] <= fan).mean(axis=0)
    np.testing.assert_allclose(below, QUANTILES, atol=0.08)


def test_pinball_is_half_the_error_at_the_median_and_favours_the_true_quantile():
    truth = np.random.default_rng(2).exponential(1.0, 5000)
    right = np.tile(np.quantile(truth, QUANTILES), (5000, 1))
    flat = np.full((5000, len(QUANTILES)), np.median(truth))
    assert pinball(right, truth).mean() < pinball(flat, truth).mean()
    point = np.full((1, len(QUANTILES)), 3.0)
    assert pinball(point, np.array([5.0]))[0] == pytest.approx(2.0 * np.mean(QUANTILES))


class Careless(Forecaster):
    """Answers with quantiles that cross, are negative or no numbers."""

    name = "careless"

    def _quantiles(self, window, horizons, step_s):
        fan = np.array([3.0, -1.0, np.nan, 2.0, np.inf, 5.0, 1.0])
        return np.tile(fan, (len(window), len(horizons), 1))


def test_what_a_careless_forecaster_answers_is_settled():
    fan = Careless().forecast(np.ones((1, 5)), (1,))
    assert fan[0, 0].tolist() == [0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 5.0]


def test_the_folder_imports_and_forecasts_without_torch():
    program = (
        "import sys; sys.modules['torch'] = None; sys.modules['onnx'] = None\n"
        "import numpy as np, models, models.commands, models.neural.release\n"
        "print(models.load_shipped_model().forecast(np.ones((2, 64)), (1,)).shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "(2, 1, 7)", done.stderr

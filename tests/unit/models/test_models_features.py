"""What the network is shown: shapes, finite numbers, the seasons that are there and no others."""

import numpy as np
import pytest

from models.neural.features import (
    AHEAD,
    BASIS,
    CHANNELS,
    FINE,
    RECENT,
    SEASONS,
    SIDE,
    Window,
    features,
    find_periods,
)

HORIZONS = (1, 3, 12)


def noise(length, series=5, seed=1):
    return 10.0 + np.random.default_rng(seed).random((length, series))


@pytest.mark.parametrize("length", [1, 5, RECENT, 700, 2032, 3000])
@pytest.mark.parametrize("step_s", [5.0, 60.0, 300.0, 900.0])
def test_shapes_and_finite_numbers_whatever_the_window(length, step_s):
    seen = features(noise(length), HORIZONS, step_s)
    assert seen.fine.shape == (5, FINE, CHANNELS)
    assert seen.side.shape == (5, SIDE)
    assert seen.ahead.shape == (5, 3, AHEAD)
    assert seen.basis.shape == (5, 3, BASIS)
    assert seen.extra.shape == (5, 3, len(SEASONS) + 2)
    for name in ("fine", "side", "ahead", "basis", "extra", "unrest", "scale"):
        assert getattr(seen, name).dtype == np.float32
        assert np.isfinite(getattr(seen, name)).all()


@pytest.mark.parametrize("value", [0.0, 1e-20, 3.0, 1e12])
def test_constant_and_silent_series_are_no_special_case(value):
    seen = features(np.full((400, 2), value), HORIZONS, 300.0)
    assert np.isfinite(seen.side).all()
    np.testing.assert_allclose(seen.scale, value, rtol=1e-5)


def test_the_unit_of_a_series_does_not_matter():
    rows = noise(900)
    one, other = (features(rows * unit, HORIZONS, 300.0) for unit in (1.0, 4096.0))
    np.testing.assert_allclose(one.basis, other.basis, rtol=1e-5)
    np.testing.assert_allclose(one.side, other.side, atol=1e-4)


def test_series_do_not_disturb_each_other():
    rows = noise(900, 6)
    together = features(rows, HORIZONS, 300.0)
    alone = features(rows[:, [4]], HORIZONS, 300.0)
    np.testing.assert_allclose(together.basis[[4]], alone.basis, rtol=1e-5)
    np.testing.assert_allclose(together.fine[[4]], alone.fine, atol=1e-5)


@pytest.mark.parametrize(("step_s", "lag", "place"), [(300.0, 12, 0), (3600.0, 24, 2)])
def test_a_season_of_the_clock_is_where_it_will_be(step_s, lag, place):
    at = np.arange(1200)
    rows = noise(1200, 2) + 30.0 * (at % lag < 2)[:, None] * np.array([1.0, 0.0])
    rows = rows[: 1200 - (1200 % lag) - 2]  # the pulse comes back in three intervals
    seen = features(rows, (1, 3, 4, 8), step_s)
    ahead = seen.extra[:, :, place] * seen.scale[:, None]
    assert ahead[0, 1] > 15.0
    assert ahead[0, 2] > 15.0
    assert ahead[0, 0] < 5.0
    assert ahead[0, 3] < 5.0
    assert np.abs(ahead[1]).max() < 2.0


@pytest.mark.parametrize("period", [5, 17, 31, 80])
def test_the_period_of_a_series_is_found(period):
    at = np.arange(600)
    rows = noise(600, 3) + 20.0 * (at % period < 1)[:, None]
    found = find_periods(Window(rows.astype(np.float32)))
    assert (found % period == 0).all()


def test_noise_has_no_season_to_speak_of():
    seen = features(noise(2000, 200), HORIZONS, 300.0)
    unrest = seen.unrest[:, 0]
    assert (np.abs(seen.extra[:, :, 0]).mean(axis=1) < unrest).all()

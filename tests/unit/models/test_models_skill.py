"""Calibration, weighing and drift: what is promised holds on made-up data of many kinds."""

import numpy as np
import pytest

from models.quantiles import MEDIAN, QUANTILES, pinball
from models.skill.calibration import Calibrator
from models.skill.drift import DriftWatch
from models.skill.weights import Weights

LEVELS = np.array(QUANTILES)
NORMAL = np.array([-1.6449, -1.2816, -0.6745, 0.0, 0.6745, 1.2816, 1.6449])


def run(truth, fan_of, horizon=1, hours=None):
    """Calibrate fans of [T, S] online, the feedback late by the horizon; return [T, S, Q]."""
    calibrator = Calibrator(truth.shape[1], horizon)
    pending, out = {}, []
    everyone = np.ones(truth.shape[1], dtype=bool)
    for at in range(len(truth) - horizon):
        if at in pending:
            calibrator.learn(*pending.pop(at), truth[at], everyone)
        fan = fan_of(at)
        context = calibrator.context(fan, 0 if hours is None else int(hours[at + horizon]))
        given = calibrator.adjust(fan, context)
        pending[at + horizon] = (given, context)
        out.append(given)
    return np.stack(out)


def inside(fans, truth, low=0, high=-1):
    return (truth >= fans[..., low]) & (truth <= fans[..., high])


@pytest.mark.parametrize("horizon", [1, 12])
@pytest.mark.parametrize("width", [0.2, 1.0, 5.0])
def test_widths_that_are_wrong_are_put_right(width, horizon):
    rng = np.random.default_rng(1)
    truth = 100.0 + rng.standard_normal((2500, 10))
    fan = np.broadcast_to(100.0 + width * NORMAL, (10, 7))
    fans = run(truth, lambda at: fan, horizon)[800:]
    came = truth[800 + horizon :]
    for name, low, high, share in (("90", 0, -1, 0.9), ("80", 1, -2, 0.8), ("50", 2, -3, 0.5)):
        assert inside(fans, came, low, high).mean() == pytest.approx(share, abs=0.015), name
    assert (np.diff(fans, axis=2) >= 0.0).all()


def test_a_bias_is_taken_out_of_the_tails():
    rng = np.random.default_rng(2)
    truth = 103.0 + rng.standard_normal((3000, 8))
    fans = run(truth, lambda at: np.broadcast_to(100.0 + NORMAL, (8, 7)))[1500:]
    below = (truth[1501:, :, None] < fans).mean(axis=(0, 1))
    np.testing.assert_allclose(below[[0, -1]], [0.05, 0.95], atol=0.02)


def test_each_hour_is_covered_where_hours_differ():
    rng = np.random.default_rng(3)
    hours = np.arange(6000) // 12 % 24
    scale = np.where(hours < 12, 1.0, 4.0)
    truth = 100.0 + scale[:, None] * rng.standard_normal((6000, 20))
    fans = run(truth, lambda at: np.broadcast_to(100.0 + 2 * NORMAL, (20, 7)), hours=hours)[2500:]
    covered = inside(fans, truth[2501:])
    by_hour = [covered[hours[2501:] == hour].mean() for hour in range(24)]
    assert min(by_hour) > 0.85
    assert max(by_hour) < 0.95


@pytest.mark.parametrize("mean", [0.3, 2.0, 30.0])
def test_counts_with_many_zeros_are_covered_as_a_whole(mean):
    rng = np.random.default_rng(4)
    truth = rng.poisson(mean, (6000, 1)).astype(float)
    wide = mean + np.sqrt(mean) * NORMAL
    fan = np.maximum(wide, 0.0)[None, :]
    fans = run(truth, lambda at: fan)[1500:]
    assert inside(fans, truth[1501:]).mean() == pytest.approx(0.9, abs=0.02)


def test_a_wild_value_does_not_blow_the_widths_up_for_long():
    rng = np.random.default_rng(5)
    truth = 100.0 + rng.standard_normal((1200, 4))
    truth[600] = 1e8
    fans = run(truth, lambda at: np.broadcast_to(100.0 + NORMAL, (4, 7)))
    width = fans[..., -1] - fans[..., 0]
    assert width[700].max() < 4.0 * width[590].max()


def test_other_series_go_on_where_they_were():
    calibrator = Calibrator(3, 1)
    fan = np.broadcast_to(100.0 + NORMAL, (3, 7))
    for _ in range(200):
        context = calibrator.context(fan, 0)
        given = calibrator.adjust(fan, context)
        calibrator.learn(given, context, np.array([95.0, 100.0, 105.0]), np.ones(3, bool))
    before = calibrator.adjust(fan, calibrator.context(fan, 0))
    calibrator.regroup(np.array([2, -1]))
    after = calibrator.adjust(fan[:2], calibrator.context(fan[:2], 0))
    np.testing.assert_allclose(after[0], before[2])
    assert after.shape == (2, 7)


def test_the_best_expert_is_found_and_left_when_it_is_the_best_no_more():
    weights = Weights(1, np.full(3, 1 / 3))
    here = np.array([True])
    for _ in range(100):
        weights.learn(np.array([[0.3, 0.0, -0.3]]), here)
    assert weights.current()[0, 0] > 0.9
    for _ in range(12):
        weights.learn(np.array([[-3.0, 0.1, 0.0]]), here)
    assert weights.current()[0, 0] < 0.1
    assert weights.current().sum() == pytest.approx(1.0)


def test_groups_that_were_not_seen_are_left_alone():
    weights = Weights(2, np.full(2, 0.5))
    weights.learn(np.array([[1.0, -1.0], [9.0, -9.0]]), np.array([True, False]))
    assert weights.current()[1] == pytest.approx([0.5, 0.5])
    assert weights.current()[0, 0] > 0.5


def watch(ratios, horizon=1, seed=1):
    rng = np.random.default_rng(seed)
    one = DriftWatch(horizon)
    states = []
    for ratio in ratios:
        loss = 5.0 * ratio * np.exp(0.3 * rng.standard_normal())
        one.learn({"mix": np.array([loss]), "volume": np.array([100.0])})
        states.append(one.state)
    return states


def test_drift_is_told_from_noise_and_from_one_bad_hour():
    assert not any(state.alarm for state in watch(np.ones(6000)))
    ratios = np.ones(2000)
    ratios[1000:1012] = 2.0
    assert not any(state.alarm for state in watch(ratios))


def test_lasting_drift_is_told_within_a_day_and_ends_when_it_ends():
    ratios = np.ones(3000)
    ratios[1500:2000] = 1.6
    states = watch(ratios)
    assert not any(state.alarm for state in states[:1500])
    assert any(state.alarm for state in states[1500:1788])
    assert states[1900].severity > 2.5
    assert states[1900].ratio > 1.2
    assert not states[-1].alarm


def test_silence_is_no_drift():
    one = DriftWatch(1)
    for _ in range(200):
        one.learn({"mix": np.zeros(1), "volume": np.zeros(1)})
    assert not one.state.alarm


def test_mixing_is_never_worse_than_the_mean_of_the_mixed():
    rng = np.random.default_rng(8)
    one, two = np.sort(rng.random((2, 50, 7)), axis=2)
    truth = rng.random(50)
    mixed = pinball(0.4 * one + 0.6 * two, truth)
    assert (mixed <= 0.4 * pinball(one, truth) + 0.6 * pinball(two, truth) + 1e-12).all()
    assert MEDIAN == 3

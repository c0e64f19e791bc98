import numpy as np
import pytest

from models import QUANTILES, Forecaster
from models.registry.judging import LEAST_BLOCKS, _verdict, judge, lower_bound


class Around(Forecaster):
    """The last value with fans of one width: the wider, the worse."""

    per_series = True

    def __init__(self, name, width):
        super().__init__()
        self.name = name
        self._width = width

    def _quantiles(self, window, horizons, _step_s):
        spread = self._width * (np.array(QUANTILES) - 0.5)
        fan = window[:, -1, None, None] * (1.0 + spread)
        return np.repeat(fan, len(horizons), axis=1)


def losses(gain, noise, count=240, seed=1):
    rng = np.random.default_rng(seed)
    champion = 1.0 + 0.2 * rng.random(count)
    return {1: champion}, {1: champion * (1.0 - gain + noise * rng.standard_normal(count))}


@pytest.mark.parametrize(
    ("gain", "noise", "better"),
    [(0.03, 0.02, True), (0.03, 0.5, False), (0.001, 0.0001, False), (-0.05, 0.01, False)],
)
def test_only_a_gain_that_is_large_and_sure_counts(gain, noise, better):
    verdict = _verdict(*losses(gain, noise), 12, "")
    assert verdict.better is better
    assert verdict.blocks == 20
    assert verdict.low <= verdict.gain


def test_a_few_intervals_prove_nothing():
    verdict = _verdict(*losses(0.2, 0.01, count=12 * LEAST_BLOCKS - 1), 12, "")
    assert not verdict.better
    assert "too few" in verdict.why


def test_a_gain_at_one_horizon_does_not_pay_for_a_loss_at_another():
    near, far = losses(0.2, 0.01), losses(-0.02, 0.001)
    verdict = _verdict({1: near[0][1], 12: far[0][1]}, {1: near[1][1], 12: far[1][1]}, 12, "")
    assert verdict.gain > 0.05
    assert not verdict.better
    assert "at 12 steps" in verdict.why


def test_the_bound_holds_as_often_as_it_says():
    rng = np.random.default_rng(0)
    below = np.mean([lower_bound(rng.standard_normal(8)) <= 0.0 for _ in range(4000)])
    assert 0.94 < below < 0.96
    assert lower_bound(np.ones(1)) == -np.inf


def test_no_traffic_is_no_victory():
    verdict = _verdict({1: np.zeros(120)}, {1: np.zeros(120)}, 12, "")
    assert not verdict.better
    assert np.isfinite(verdict.gain)


@pytest.mark.slow
def test_judged_on_the_end_alone_the_same_for_both():
    rng = np.random.default_rng(2)
    values = np.exp(np.cumsum(0.05 * rng.standard_normal((700, 4)), axis=0))
    values[650, 1] = np.nan
    same = judge(
        values.astype(np.float32),
        Around("a", 0.2),
        Around("a", 0.2),
        horizons=(1, 3),
        step_s=300.0,
        held=144,
        against="00001-a",
    )
    assert same.gain == 0.0
    assert not same.better
    assert same.champion == "00001-a"
    assert same.blocks == 12

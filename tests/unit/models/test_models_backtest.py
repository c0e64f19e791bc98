import sys

import numpy as np
import pytest

from models import QUANTILES, Ewma, Forecaster, ForecastError, LastValue, find_leak
from models.backtest import backtest, from_window, report


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
    found = backtest(values, (Ewma(), LastValue()), (2,), 300.0, 100, 180, chosen=False)
    last = found[2]["last"]
    truth, before = values[100:180], values[98:178]
    assert last.nmae == pytest.approx(np.abs(truth - before).sum() / truth.sum())
    assert last.scored == truth.size
    fans = np.stack(
        [LastValue().forecast(values[o - 63 : o + 1].T, (2,))[:, 0] for o in range(98, 178)]
    )
    inside = (truth >= fans[..., 0]) & (truth <= fans[..., -1])
    assert last.coverage["90"] == pytest.approx(inside.mean())
    assert last.width == pytest.approx((fans[..., -1] - fans[..., 0]).sum() / truth.sum())


def test_every_horizon_is_scored_on_the_same_targets():
    found = backtest(traffic(), (Ewma(),), (1, 3, 12), 300.0, 80, 120)
    assert {by["ewma"].scored for by in found.values()} == {40 * 8}
    assert set(found[1]) == {"ewma", "chosen"}


def test_what_is_chosen_is_one_of_the_candidates():
    found = backtest(traffic(), (Ewma(), LastValue()), (1,), 300.0, 100, 150)[1]
    assert min(found["ewma"].nmae, found["last"].nmae) <= found["chosen"].nmae * 1.0001
    assert found["chosen"].nmae <= max(found["ewma"].nmae, found["last"].nmae) * 1.0001


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
    found = backtest(np.zeros((120, 3)), (Ewma(),), (1,), 300.0, 100, 110, chosen=False)
    assert np.isnan(found[1]["ewma"].nmae)
    assert np.isnan(found[1]["ewma"].coverage["90"])


def test_the_report_is_keyed_by_horizon_and_forecaster():
    content = report(backtest(traffic(), (Ewma(),), (1, 3), 300.0, 100, 110))
    assert set(content) == {"1", "3"}
    assert set(content["1"]["ewma"]) == {"nmae", "pinball", "coverage", "width", "scored"}
    assert set(content["1"]["ewma"]["coverage"]) == {"50", "80", "90"}

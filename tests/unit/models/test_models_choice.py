"""The Chooser: what is asked, weighed and given out, from histories as the loop has them."""

import threading
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import pytest

from models import (
    MEDIAN,
    QUANTILES,
    Chooser,
    Ewma,
    Forecaster,
    ForecastError,
    LastValue,
    ModelError,
    load_shipped_model,
    pinball,
)


def traffic(intervals=300, series=12, seed=1):
    rng = np.random.default_rng(seed)
    wander = 0.15 * rng.standard_normal((intervals, series)).cumsum(axis=0)
    return np.exp(rng.normal(3, 1, series) + 0.3 * np.tanh(wander))


class Oracle(Forecaster):
    """Knows a series of rows to come: answers with the row h after the one it is shown."""

    name = "oracle"

    def __init__(self, rows, factor=1.0):
        super().__init__()
        self.rows, self.factor = rows, factor

    def _quantiles(self, window, horizons, step_s):
        at = int(np.argmin(np.abs(self.rows - window[:, -1]).sum(axis=1)))
        coming = [self.rows[min(at + h, len(self.rows) - 1)] * self.factor for h in horizons]
        return np.repeat(np.stack(coming, axis=1)[:, :, None], len(QUANTILES), axis=2)


class Refusing(Forecaster):
    name = "tired"

    def _quantiles(self, window, horizons, step_s):
        raise ModelError("worn out")


def test_a_choice_exists_at_the_first_tick():
    rows = traffic()
    chooser = Chooser((Oracle(rows), Ewma(), LastValue()), (1, 3, 12))
    outlook = chooser.forecast(rows[:200], interval=199)
    assert outlook.used == ("oracle",) * 3
    assert outlook.scored == (48, 46, 37)
    assert set(outlook.loss[0]) == {"oracle", "ewma", "last", "mix"}
    assert outlook.quantiles.shape == (12, 3, len(QUANTILES))
    assert (np.diff(outlook.quantiles, axis=2) >= 0.0).all()
    assert sum(outlook.weights[0].values()) == pytest.approx(1.0)


def test_the_worse_a_forecaster_was_the_less_it_weighs():
    rows = traffic()
    weights = []
    for factor in (1.0, 1.1, 2.0):
        chooser = Chooser((Oracle(rows, factor), Ewma()), (1,))
        weights.append(chooser.forecast(rows[:200], interval=199).weights[0]["oracle"])
    assert weights[0] > 0.8
    assert max(weights[1:]) < 0.05


def test_a_forecaster_that_breaks_is_left_and_taken_back_when_it_is_better_again():
    rows = traffic(700)
    oracle = Oracle(rows)
    chooser = Chooser((oracle, Ewma()), (1,))
    used = []
    for at in range(150, 600):
        oracle.factor = 3.0 if 180 <= at < 220 else 1.0
        used.append(chooser.forecast(rows[at - 100 : at], interval=at - 1).used[0])
    assert used[0] == "oracle"
    assert used[60] == "ewma"
    assert used[-1] == "oracle"


def test_a_forecast_is_scored_when_it_has_matured_not_before():
    rows = traffic(200)
    chooser = Chooser((Ewma(), LastValue()), (1, 5))
    chooser.forecast(rows[:2], interval=1)
    seen = [chooser.forecast(rows[: at + 1], interval=at).scored for at in range(2, 10)]
    assert seen[0] == (1, 0)
    assert [late for _, late in seen[:4]] == [0, 0, 0, 0]
    assert seen[4] == (5, 1)


def test_the_reported_loss_is_that_of_what_was_given_out():
    rows = traffic(60)
    chooser = Chooser((Ewma(), LastValue()), (2,), warm_up=0)
    given = {}
    for at in range(1, 50):
        outlook = chooser.forecast(rows[: at + 1], interval=at)
        given[at] = outlook.quantiles[:, 0]
    loss = sum(pinball(given[at], rows[at + 2]).sum() for at in range(1, 48))
    volume = sum(rows[at + 2].sum() for at in range(1, 48))
    assert outlook.scored == (47,)
    assert outlook.loss[0]["mix"] == pytest.approx(loss / volume, rel=1e-9)


def test_warming_up_equals_having_been_there():
    rows = traffic(120)
    live = Chooser((Ewma(), LastValue()), (1, 3), warm_up=0)
    for at in range(71, 120):
        outlook = live.forecast(rows[: at + 1], interval=at)
    cold = Chooser((Ewma(), LastValue()), (1, 3), warm_up=48).forecast(rows, interval=119)
    assert cold.loss[0] == pytest.approx(outlook.loss[0])
    np.testing.assert_allclose(cold.quantiles, outlook.quantiles)


def test_warming_up_does_not_look_ahead():
    rows = traffic(120)
    other = rows.copy()
    other[110:] *= 3.0
    losses = []
    for history in (rows, other):
        chooser = Chooser((Ewma(), LastValue()), (1,), warm_up=20)
        chooser.forecast(history, 119)
        losses.append([float(one["mix"].sum()) for one in chooser._ensemble.recent[0]])
    assert losses[0][:10] == losses[1][:10]
    assert losses[0][10] != losses[1][10]


def test_skipped_ticks_are_made_up_from_the_history():
    rows = traffic(200)
    chooser = Chooser((Ewma(), LastValue()), (1, 3))
    chooser.forecast(rows[:100], interval=99)
    before = chooser.forecast(rows[:101], interval=100).scored
    after = chooser.forecast(rows[:106], interval=105).scored
    # of horizon 1 the forecast of 100 matured; of horizon 3 those of 98, 99 and 100
    assert (after[0] - before[0], after[1] - before[1]) == (1, 3)
    far = chooser.forecast(rows[150:160], interval=400)
    assert far.scored == after


def test_the_same_interval_twice_is_scored_once():
    rows = traffic(60)
    chooser = Chooser((Ewma(),), (1,))
    for interval in (2, 3, 3, 3, 4):
        outlook = chooser.forecast(rows[: interval + 1], interval=interval)
    assert outlook.scored == (3,)


def test_numbers_that_run_back_or_another_step_begin_anew():
    rows = traffic(100)
    chooser = Chooser((Ewma(), LastValue()), (1,))
    chooser.forecast(rows, interval=99)
    assert chooser.forecast(rows[:12], interval=11).scored == (10,)
    assert chooser.forecast(rows[:13], interval=12, step_s=60.0).scored == (11,)


def test_series_come_and_go_and_those_that_stay_keep_what_was_learned():
    rows = traffic(140, 6)
    stay, changed = (Chooser((Ewma(), LastValue()), (1, 3)) for _ in range(2))
    keys = [f"s{i}" for i in range(6)]
    for at in range(60, 120):
        stay.forecast(rows[: at + 1], interval=at, keys=keys)
        changed.forecast(rows[: at + 1], interval=at, keys=keys)
    order = [5, 4, 3, 2, 1]  # s0 leaves, and a new one comes
    wider = np.c_[rows[:, order], 7.0 * np.ones(140)]
    names = [keys[i] for i in order] + ["new"]
    outlook = changed.forecast(wider[:121], interval=120, keys=names)
    same = stay.forecast(rows[:121], interval=120, keys=keys)
    assert outlook.quantiles.shape == (6, 2, len(QUANTILES))
    learned = changed._ensemble.parts[0]._last._series
    kept = stay._ensemble.parts[0]._last._series
    np.testing.assert_allclose(learned[:5], kept[order], atol=0.02)
    assert (learned[5] == 0.0).all()
    np.testing.assert_allclose(
        outlook.quantiles[:5, 0, MEDIAN], same.quantiles[order][:, 0, MEDIAN], rtol=0.1
    )
    after = changed.forecast(wider[:122], interval=121, keys=names)
    assert np.isfinite(after.quantiles).all()
    assert after.scored[0] == 2


def test_keys_and_groups_must_fit_the_series():
    with pytest.raises(ForecastError, match="2 keys and 3 groups for 3 series"):
        Chooser((Ewma(),), (1,)).forecast(np.ones((5, 3)), 4, keys=["a", "b"])


def test_groups_are_weighed_apart():
    rows = traffic(200, 8)
    oracle = Oracle(rows)
    right = oracle._quantiles

    def half_right(window, horizons, step_s):
        fan = right(window, horizons, step_s)
        fan[4:] *= 3.0
        return fan

    oracle._quantiles = half_right
    chooser = Chooser((oracle, Ewma()), (1,))
    groups = [0] * 4 + [1] * 4
    chooser.forecast(rows[:150], interval=149, groups=groups)
    weights = chooser._ensemble.parts[0].weights()
    assert weights[0, 0] > 0.7
    assert weights[1, 0] < 0.2


def test_gaps_are_repaired_counted_and_not_scored_against():
    rows = traffic(100)
    clean = Chooser((Ewma(), LastValue()), (1,)).forecast(rows, interval=99)
    holed = rows.copy()
    holed[95, 3] = np.nan
    holed[97] = np.nan
    outlook = Chooser((Ewma(), LastValue()), (1,)).forecast(holed, interval=99)
    assert outlook.repaired == 13
    assert outlook.scored == (clean.scored[0] - 1,)
    assert outlook.loss[0]["last"] == pytest.approx(clean.loss[0]["last"], rel=0.5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -5.0, 1e300])
def test_nonsense_among_the_values_teaches_nothing(bad):
    rows = traffic(120, 4)
    rows[90:95, 2] = bad
    chooser = Chooser((Ewma(), LastValue()), (1, 3))
    for at in range(80, 120):
        outlook = chooser.forecast(rows[: at + 1], interval=at)
        assert np.isfinite(outlook.quantiles).all()
    assert outlook.quantiles.max() < 100.0 * np.abs(rows[:80]).max()


def test_a_step_of_a_million_is_followed_and_forgotten():
    rows = traffic(400, 3)
    rows[200:210] *= 1e6
    chooser = Chooser((Ewma(), LastValue()), (1,))
    for at in range(100, 399):
        outlook = chooser.forecast(rows[: at + 1], interval=at)
    widths = outlook.quantiles[:, 0, -1] - outlook.quantiles[:, 0, 0]
    assert (widths < 10.0 * rows[399]).all()


def test_a_constant_series_has_no_width_and_an_exact_median():
    chooser = Chooser((Ewma(), LastValue()), (1, 3))
    for at in range(50, 80):
        outlook = chooser.forecast(np.full((at + 1, 2), 5.0), interval=at)
    np.testing.assert_allclose(outlook.quantiles, 5.0)


def test_a_forecaster_that_cannot_answer_costs_nothing():
    rows = traffic(100)
    outlook = Chooser((Refusing(), Ewma(), LastValue()), (1, 3)).forecast(rows, interval=99)
    assert outlook.failed == ("tired: worn out",)
    assert "tired" not in outlook.weights[0]
    assert "tired" not in outlook.loss[0]
    assert np.isfinite(outlook.quantiles).all()


def test_a_forecaster_that_fails_now_is_not_used_for_its_old_merits():
    rows = traffic(200)
    oracle = Oracle(rows)
    chooser = Chooser((oracle, Ewma()), (1,))
    assert chooser.forecast(rows[:100], interval=99).used == ("oracle",)
    oracle._quantiles = Refusing()._quantiles
    outlook = chooser.forecast(rows[:101], interval=100)
    assert outlook.used == ("ewma",)
    assert outlook.failed


def test_silence_is_forecast_as_silence():
    outlook = Chooser((load_shipped_model(), Ewma(), LastValue()), (1, 3)).forecast(
        np.zeros((80, 4)), interval=79
    )
    assert (outlook.quantiles == 0.0).all()


def test_another_candidate_begins_with_the_skill_of_one_that_is_known():
    rows = traffic(300)
    oracle = Oracle(rows)
    chooser = Chooser((oracle, Ewma()), (1, 3))
    for at in range(100, 160):
        before = chooser.forecast(rows[: at + 1], interval=at)
    better = Oracle(rows)
    better.name = "tuned"
    chooser.enlist(better, like="oracle")
    after = chooser.forecast(rows[:161], interval=160)
    assert {"oracle", "tuned", "ewma"} == set(after.weights[0])
    assert after.weights[0]["tuned"] == pytest.approx(after.weights[0]["oracle"], rel=0.01)
    assert before.used == ("oracle", "oracle")
    chooser.enlist(Oracle(rows, 0.5), like="ewma")  # another version of one that is there
    chooser.dismiss("tuned")
    chooser.dismiss("never there")
    for at in range(161, 200):
        last = chooser.forecast(rows[: at + 1], interval=at)
    assert set(last.weights[0]) == {"oracle", "ewma"}
    assert last.used == ("ewma", "ewma")


def test_enlisting_without_a_model_and_dismissing_the_reference_are_refused():
    chooser = Chooser((Ewma(),), (1,))
    with pytest.raises(ForecastError, match="there is none"):
        chooser.enlist(LastValue(), like="pooled")
    with pytest.raises(ForecastError, match="stays"):
        chooser.dismiss("ewma")


def test_asking_elsewhere_gives_the_same():
    rows = traffic(120)
    one, two = (Chooser((Ewma(), LastValue()), (1, 3)) for _ in range(2))
    outlook = one.forecast(rows, interval=119)
    window = two.prepare(rows, 119)
    fans = {f.name: f.forecast(window, (1, 3), 300.0) for f in two.forecasters}
    other = two.conclude({**fans, "stranger": fans["last"]}, {})
    np.testing.assert_array_equal(outlook.quantiles, other.quantiles)
    with pytest.raises(ForecastError, match="no forecaster answered"):
        two.conclude({}, {"ewma": "gone"})


def test_drift_is_said_when_losses_rise_and_stay():
    rng = np.random.default_rng(3)
    calm = 100.0 * np.exp(0.02 * rng.standard_normal((500, 10)))
    wild = 100.0 * np.exp(0.5 * rng.standard_normal((300, 10)))
    rows = np.concatenate([calm, wild])
    chooser = Chooser((Ewma(), LastValue()), (1,), warm_up=0)
    alarms = [
        chooser.forecast(rows[max(0, at - 80) : at + 1], interval=at).drift[0]
        for at in range(40, 800)
    ]
    assert not any(one.alarm for one in alarms[:460])
    assert alarms[500].alarm
    assert alarms[500].severity > 2.5
    assert alarms[500].ratio > 2.0


def test_the_reference_must_be_there():
    with pytest.raises(ForecastError, match="'ewma'"):
        Chooser((LastValue(),), (1,))
    with pytest.raises(ForecastError, match="different names"):
        Chooser((Ewma(), Ewma(alpha=0.2)), (1,))
    with pytest.raises(ForecastError, match="whole steps"):
        Chooser((Ewma(),), (0,))


@pytest.mark.parametrize("history", [np.zeros(4), np.zeros((0, 3))])
def test_a_history_of_the_wrong_shape_is_refused(history):
    with pytest.raises(ForecastError, match=r"\(time, series\)"):
        Chooser((Ewma(),), (1,)).forecast(history, interval=1)


@pytest.mark.slow
def test_what_is_given_out_is_hardly_worse_than_the_reference():
    """Half the time the candidate is perfect, half the time it loses 25 times the reference."""
    rows = traffic(1000)
    oracle = Oracle(rows)
    chooser, plain = Chooser((oracle, Ewma()), (1,)), Chooser((Ewma(),), (1,))
    ours = reference = 0.0
    for at in range(100, 900):
        oracle.factor = 1.0 if (at // 100) % 2 else 1.15
        history = rows[at - 99 : at + 1]
        outlook = chooser.forecast(history, interval=at)
        ours += pinball(outlook.quantiles[:, 0], rows[at + 1]).sum()
        simple = plain.forecast(history, interval=at)
        reference += pinball(simple.quantiles[:, 0], rows[at + 1]).sum()
    assert ours < 1.25 * reference


class Slow(LastValue):
    """Stops in the middle of back-filling until it is let go."""

    def __init__(self):
        super().__init__()
        self.begun, self.go = threading.Event(), threading.Event()

    def _quantiles(self, window, horizons, step_s):
        self.begun.set()
        self.go.wait(10)
        return super()._quantiles(window, horizons, step_s)


def test_a_forecast_during_the_warm_up_waits_for_its_end():
    rows, slow = traffic(60), Slow()
    chooser = Chooser((slow, Ewma()), (1,))
    chooser.admit("informed", "ewma")
    with ThreadPoolExecutor(2) as threads:
        warming = threads.submit(chooser.warm_up, rows, 59)
        assert slow.begun.wait(10)
        preparing = threads.submit(chooser.prepare, rows, 59)
        done, _ = wait([preparing], 0.1)
        slow.go.set()
        warming.result(10)
        window = preparing.result(10)
    assert not done
    fans = {"informed": Ewma().forecast(window, (1,))}
    assert chooser.conclude(fans, {}).quantiles.shape == (12, 1, len(QUANTILES))

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
)
from models.choice import LEAST_SCORED, Score, rank, relative_loss, score


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
    name = "foresteer"

    def _quantiles(self, window, horizons, step_s):
        raise ModelError("worn out")


def test_a_choice_exists_at_the_first_tick():
    rows = traffic()
    chooser = Chooser((Oracle(rows), Ewma(), LastValue()), (1, 3, 12))
    outlook = chooser.forecast(rows[:200], interval=199)
    assert outlook.used == ("oracle",) * 3
    assert outlook.scored == (48, 46, 37)
    assert set(outlook.loss[0]) == {"oracle", "ewma", "last"}
    assert outlook.quantiles.shape == (12, 3, len(QUANTILES))
    np.testing.assert_allclose(outlook.quantiles[:, 2, MEDIAN], rows[211])


def test_a_forecaster_that_is_worse_is_not_used():
    rows = traffic()
    chooser = Chooser((Oracle(rows, factor=2.0), Ewma()), (1, 3))
    assert chooser.forecast(rows[:200], interval=199).used == ("ewma", "ewma")


def test_a_forecaster_that_breaks_is_left_and_taken_back_when_it_is_better_again():
    rows = traffic(500)
    oracle = Oracle(rows)
    chooser = Chooser((oracle, Ewma()), (1,), memory=12)
    used = []
    for at in range(150, 300):
        oracle.factor = 3.0 if 180 <= at < 220 else 1.0
        used.append(chooser.forecast(rows[at - 100 : at], interval=at - 1).used[0])
    assert used[0] == "oracle"
    assert used[40] == "ewma"
    assert used[-1] == "oracle"


def test_a_forecast_is_scored_when_it_has_matured_not_before():
    rows = traffic(200)
    chooser = Chooser((Ewma(), LastValue()), (1, 5))
    chooser.forecast(rows[:2], interval=1)
    seen = [chooser.forecast(rows[: at + 1], interval=at).scored for at in range(2, 10)]
    assert seen[0] == (1, 0)
    assert [late for _, late in seen[:4]] == [0, 0, 0, 0]
    assert seen[4] == (5, 1)


def test_the_skill_is_the_loss_of_the_forecasts_that_were_made():
    rows = traffic(40)
    chooser = Chooser((Ewma(), LastValue()), (2,))
    made = {}
    for at in range(1, 30):
        outlook = chooser.forecast(rows[: at + 1], interval=at)
        made[at] = LastValue().forecast(rows[: at + 1].T, (2,))[:, 0]
    expected = [score({"last": made[at]}, rows[at + 2]) for at in range(1, 28)]
    assert outlook.scored == (27,)
    assert outlook.loss[0]["last"] == pytest.approx(relative_loss(expected, "last"), rel=1e-5)


def test_warming_up_equals_having_been_there():
    rows = traffic(120)
    live = Chooser((Ewma(), LastValue()), (1, 3), memory=20)
    for at in range(60, 120):
        outlook = live.forecast(rows[: at + 1], interval=at)
    cold = Chooser((Ewma(), LastValue()), (1, 3), memory=20).forecast(rows, interval=119)
    assert cold.loss[0] == pytest.approx(outlook.loss[0])
    np.testing.assert_array_equal(cold.quantiles, outlook.quantiles)


def test_warming_up_does_not_look_ahead():
    rows = traffic(120)
    other = rows.copy()
    other[110:] *= 3.0
    results = []
    for history in (rows, other):
        chooser = Chooser((Ewma(), LastValue()), (1,), memory=20)
        chooser.warm_up(history, 119)
        results.append(chooser._scores[0])
    for target, (one, two) in zip(range(100, 110), zip(*results, strict=True), strict=False):
        assert one == two, target
    assert results[0][10] != results[1][10]


def test_skipped_ticks_are_made_up_from_the_history():
    rows = traffic(200)
    chooser = Chooser((Ewma(), LastValue()), (1, 3))
    chooser.forecast(rows[:100], interval=99)
    before = chooser.forecast(rows[:101], interval=100).scored
    after = chooser.forecast(rows[:106], interval=105).scored
    # of horizon 1 the forecast of 100 matured; of horizon 3 those of 98, 99 and 100
    assert before == (48, 47)
    assert after == (48, 48)
    far = chooser.forecast(rows[150:160], interval=400)
    assert far.scored == (48, 48)


def test_the_same_interval_twice_is_scored_once():
    rows = traffic(60)
    chooser = Chooser((Ewma(),), (1,))
    for interval in (2, 3, 3, 3, 4):
        outlook = chooser.forecast(rows[: interval + 1], interval=interval)
    assert outlook.scored == (3,)


def test_series_that_appear_or_numbers_that_run_back_begin_anew():
    rows = traffic(100, 12)
    chooser = Chooser((Ewma(), LastValue()), (1,), memory=30)
    chooser.forecast(rows, interval=99)
    wider = chooser.forecast(traffic(20, 15), interval=100)
    assert wider.quantiles.shape[0] == 15
    assert wider.scored == (18,)
    assert chooser.forecast(traffic(12, 15), interval=11).scored == (10,)
    assert chooser.forecast(traffic(12, 15), interval=11, step_s=60.0).scored == (10,)


def test_gaps_are_repaired_counted_and_not_scored_against():
    rows = traffic(100)
    clean = Chooser((Ewma(), LastValue()), (1,)).forecast(rows, interval=99)
    holed = rows.copy()
    holed[95, 3] = np.nan
    holed[97] = np.nan
    outlook = Chooser((Ewma(), LastValue()), (1,)).forecast(holed, interval=99)
    assert outlook.repaired == 13
    assert outlook.scored == (47,)
    assert outlook.loss[0]["last"] == pytest.approx(clean.loss[0]["last"], rel=0.5)


def test_a_forecaster_that_cannot_answer_costs_nothing():
    rows = traffic(100)
    outlook = Chooser((Refusing(), Ewma(), LastValue()), (1, 3)).forecast(rows, interval=99)
    assert outlook.failed == ("foresteer: worn out",)
    assert "foresteer" not in outlook.used
    assert "foresteer" not in outlook.loss[0]
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


def test_silence_is_forecast_by_the_reference():
    outlook = Chooser((load_shipped_model(), Ewma(), LastValue()), (1, 3)).forecast(
        np.zeros((80, 4)), interval=79
    )
    assert outlook.used == ("ewma", "ewma")
    assert (outlook.quantiles == 0.0).all()


def test_few_scores_are_no_reason_to_trust():
    scores = [Score({"ewma": 2.0, "foresteer": 1.0}, 10.0)] * LEAST_SCORED
    assert rank(scores, ["foresteer", "ewma"]) == ["foresteer", "ewma"]
    assert rank(scores[1:], ["foresteer", "ewma"]) == ["ewma"]


@pytest.mark.parametrize("loss", [2.0, 2.02, 3.0])
def test_what_does_not_beat_the_reference_is_not_used(loss):
    scores = [Score({"ewma": 2.0, "foresteer": loss}, 10.0)] * 40
    assert rank(scores, ["foresteer", "ewma"]) == ["ewma"]


def test_the_best_of_several_comes_first():
    scores = [Score({"ewma": 2.0, "foresteer": 1.5, "last": 1.8}, 10.0)] * 40
    assert rank(scores, ["last", "foresteer", "ewma"]) == ["foresteer", "last", "ewma"]


def test_candidates_are_compared_on_the_same_intervals():
    easy = [Score({"ewma": 0.1}, 10.0)] * 20
    hard = [Score({"ewma": 5.0, "foresteer": 4.0}, 10.0)] * 10
    assert rank(easy + hard, ["foresteer", "ewma"]) == ["foresteer", "ewma"]
    assert relative_loss(easy + hard, "foresteer") == pytest.approx(0.4)
    assert rank(hard, ["foresteer", "ewma", "last"]) == ["foresteer", "ewma"]


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
def test_the_choice_is_never_much_worse_than_the_reference():
    """Half the time the candidate is excellent, half the time it is terrible."""
    rows = traffic(700)
    oracle = Oracle(rows)
    chooser = Chooser((oracle, Ewma()), (1,), memory=12)
    ours = reference = 0.0
    for at in range(100, 600):
        oracle.factor = 1.0 if (at // 100) % 2 else 1.15
        outlook = chooser.forecast(rows[at - 99 : at + 1], interval=at)
        plain = Ewma().forecast(rows[at - 63 : at + 1].T, (1,))[:, 0]
        truth = rows[at + 1]
        one = score({"ours": outlook.quantiles[:, 0], "ewma": plain}, truth)
        ours, reference = ours + one.loss["ours"], reference + one.loss["ewma"]
    assert ours < reference

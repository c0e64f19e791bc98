"""What is known beforehand: it pays where it matters, and hardly costs where it does not."""

import numpy as np
import pytest

from models import MEDIAN, Chooser, Ewma, Forecaster, ForecastError, LastValue, pinball
from models.covariates import INFORMED, Announcement, Covariates, Scene, Signal
from models.covariates.features import SignalTrack
from models.datasets.events import PlannedEvent

STEP_S = 300.0


class Base(Forecaster):
    """A moving average that is looked after better: the forecaster to build on."""

    name = "base"

    def __init__(self):
        super().__init__()
        self._inner = Ewma(0.7)

    def _quantiles(self, window, horizons, step_s):
        return self._inner.forecast(window, horizons, step_s)


def traffic(intervals, series, seed, lead=0):
    """Return made-up series [T, S] and a signal [T] that leads them by ``lead``, or not at all."""
    rng = np.random.default_rng(seed)
    signal, wander = np.zeros(intervals), np.zeros((intervals, series))
    for at in range(1, intervals):
        signal[at] = 0.8 * signal[at - 1] + 0.6 * rng.standard_normal()
        wander[at] = 0.97 * wander[at - 1] + 0.08 * rng.standard_normal(series)
    noise = 0.1 * rng.standard_normal((intervals, series))
    rows = np.exp(rng.normal(3, 1, series) + wander + noise)
    if lead:
        rows[lead:] *= np.exp(0.4 * signal[:-lead])[:, None]
    return rows, signal


def forecasts(rows, horizons, *, signal=None, events=(), informed=True, start=60):
    """Return what was given out [T, S, H, Q], and what it was made by."""
    chooser = Chooser((Ewma(), LastValue(), Base()), horizons, window=96, warm_up=0)
    known = Covariates(horizons, "base")
    if informed:
        chooser.admit(INFORMED, "base")
    series = rows.shape[1]
    keys, ends = tuple(range(series)), tuple((f"s{at}", "a", "b") for at in range(series))
    given = np.full((*rows.shape, len(horizons), 7), np.nan)
    for at in range(start, len(rows)):
        window = chooser.prepare(rows[max(0, at - 95) : at + 1], at, STEP_S)
        fans = {one.name: one.forecast(window, horizons, STEP_S) for one in chooser.forecasters}
        if informed:
            heard = () if signal is None else (Signal("tickets", signal[at]),)
            known.take(Scene(at, at * STEP_S, STEP_S, rows[at], keys, ends, events, heard))
            fans = known.inform(fans)
        given[at] = chooser.conclude(fans, {}).quantiles
    return given, known


def loss(given, rows, horizons, since):
    return np.array(
        [
            (pinball(given[since:-h, :, at], rows[since + h :]) / rows.mean(axis=0)).mean()
            for at, h in enumerate(horizons)
        ]
    )


@pytest.mark.slow
def test_a_signal_that_leads_the_traffic_pays():
    rows, signal = traffic(600, 8, 1, lead=6)
    plain, _ = forecasts(rows, (1, 3), informed=False)
    told, _ = forecasts(rows, (1, 3), signal=signal)
    ratio = loss(told, rows, (1, 3), 300) / loss(plain, rows, (1, 3), 300)
    assert (ratio < 0.7).all(), ratio


@pytest.mark.slow
@pytest.mark.parametrize("series", [1, 8])
def test_a_useless_signal_costs_less_than_half_a_percent(series):
    rows, signal = traffic(600, series, 2)
    plain, _ = forecasts(rows, (1, 6), informed=False)
    told, _ = forecasts(rows, (1, 6), signal=signal)
    ratio = loss(told, rows, (1, 6), 60) / loss(plain, rows, (1, 6), 60)
    assert (ratio < 1.005).all(), ratio


@pytest.mark.slow
def test_a_signal_that_wanders_like_the_traffic_but_apart_from_it_is_left_alone():
    rows, _ = traffic(500, 4, 3)
    walk = np.random.default_rng(4).standard_normal(500).cumsum()
    plain, _ = forecasts(rows, (6,), informed=False)
    told, _ = forecasts(rows, (6,), signal=walk)
    assert (loss(told, rows, (6,), 60) / loss(plain, rows, (6,), 60) < 1.01).all()


@pytest.mark.slow
def test_an_event_is_foreseen_before_the_traffic_comes_and_its_end_too():
    rows, _ = traffic(260, 6, 5)
    rows[200:212] *= 3.0
    event = Announcement("release", "all", 200 * STEP_S, 12 * STEP_S, 3.0)
    plain, _ = forecasts(rows, (1, 3), informed=False)
    told, known = forecasts(rows, (1, 3), events=(event,))
    rise = np.median(told[197, :, 1, MEDIAN] / plain[197, :, 1, MEDIAN])
    fall = np.median(told[209, :, 1, MEDIAN] / plain[209, :, 1, MEDIAN])
    assert rise > 1.5, "three intervals ahead, from a row before it"
    assert fall < 0.7
    around = slice(197, 218)
    worth = pinball(told[around, :, 1], rows[200:221]).mean()
    assert worth < 0.75 * pinball(plain[around, :, 1], rows[200:221]).mean()
    assert known.events.credibility("release") > 0.9


@pytest.mark.slow
def test_a_false_announcement_costs_little_and_is_believed_less_the_next_time():
    rows, _ = traffic(400, 6, 6)
    events = tuple(
        Announcement("rumour", "all", at * STEP_S, 12 * STEP_S, 3.0) for at in (200, 340)
    )
    plain, _ = forecasts(rows, (1, 3), informed=False)
    told, known = forecasts(rows, (1, 3), events=events)
    assert (loss(told, rows, (1, 3), 60) / loss(plain, rows, (1, 3), 60) < 1.15).all()
    assert (loss(told, rows, (1, 3), 330) / loss(plain, rows, (1, 3), 330) < 1.05).all()
    first, second = (
        float(np.median(told[at - 1, :, 0, MEDIAN] / plain[at - 1, :, 0, MEDIAN]))
        for at in (200, 340)
    )
    assert first > 1.4
    assert second < 1.2
    assert known.events.credibility("rumour") < 0.4
    assert known.events.credibility("rumour") < known.events.credibility("other") < 0.6


def scene(at, row, events=(), signals=()):
    series = len(row)
    ends = tuple((f"s{n}", f"from{n}", f"to{n}") for n in range(series))
    return Scene(at, at * STEP_S, STEP_S, row, tuple(range(series)), ends, events, signals)


FAN = np.repeat(np.linspace(8.0, 12.0, 7)[None, None], 3, axis=0)


@pytest.mark.parametrize(
    ("event", "touched"),
    [
        (Announcement("x", "all", 300, 300, 2.0), [1, 1, 1]),
        (Announcement("x", "source", 300, 300, 2.0, source="from1"), [0, 1, 0]),
        (Announcement("x", "destination", 300, 300, 2.0, destination="to2"), [0, 0, 1]),
        (Announcement("x", "demand", 300, 300, 2.0, "from1", "to2"), [0, 0, 0]),
        (Announcement("x", "series", 300, 300, 2.0, series=("s0", "s2")), [1, 0, 1]),
        (Announcement("x", "all", 600, 300, 2.0), [0, 0, 0]),
        (Announcement.of(PlannedEvent("x", "all", 300, 300, 2.0)), [1, 1, 1]),
    ],
)
def test_an_event_is_for_the_series_in_scope_at_its_time(event, touched):
    known = Covariates((1,), "base")
    known.take(scene(0, np.full(3, 10.0), (event,)))
    told = known.inform({"base": FAN, "ewma": FAN})
    assert list(told[INFORMED][:, 0, MEDIAN] > 11.0) == [bool(x) for x in touched]
    assert (told["ewma"] == FAN).all(), "the way back stays as it is"


def test_without_anything_known_nothing_is_changed():
    known = Covariates((1,), "base")
    assert known.inform({"base": FAN}).keys() == {"base"}
    known.take(scene(0, np.full(3, 10.0)))
    told = known.inform({"base": FAN})
    assert (told[INFORMED] == FAN).all()
    assert known.inform({"ewma": FAN}).keys() == {"ewma"}, "without its base there is none"


def test_an_announced_value_of_a_signal_is_used_at_its_time():
    known = Covariates((4,), "base")
    rng = np.random.default_rng(7)
    coming = np.sin(np.arange(900) / 7.0) + 0.2 * rng.standard_normal(900)
    error = []
    for at in range(800):
        row = 10.0 * np.exp(0.5 * coming[at] + 0.05 * rng.standard_normal(3))
        signal = Signal("trend", coming[at], {4: coming[at + 4]})
        known.take(scene(at, row, signals=(signal,)))
        told = known.inform({"base": FAN})[INFORMED][0, 0, MEDIAN]
        error.append(abs(np.log(told / 10.0) - 0.5 * coming[at + 4]))
    assert np.mean(error[-100:]) < 0.3 * np.mean(error[:20])


BAD = [np.nan, np.inf, -np.inf, -5.0, 1e35, 0.0, 1e12, 1e-12]


def test_bad_values_and_steps_of_a_million_leave_finite_bounded_forecasts():
    known = Covariates((1, 3), "base")
    rng = np.random.default_rng(8)
    fan = np.repeat(FAN, 2, axis=1)
    for at in range(400):
        row = rng.choice([*BAD, 10.0, 11.0, 12.0], 3)
        events = (Announcement("huge", "all", 100 * STEP_S, 9e9, 1e9),) if at > 50 else ()
        signals = tuple(Signal(f"n{n}", rng.choice(BAD)) for n in range(3))
        known.take(scene(at, row, events, signals))
        told = known.inform({"base": fan * rng.choice([0.0, 1e-6, 1.0, 1e6])})[INFORMED]
        assert np.isfinite(told).all()
        assert (told >= 0.0).all()
        assert (np.diff(told, axis=2) >= 0.0).all()


def test_series_that_come_and_go_keep_what_was_learned_of_them():
    known = Covariates((1,), "base")
    rng = np.random.default_rng(9)
    for at in range(900):
        row = 10.0 * np.exp(0.5 * np.sin(2 * np.pi * at * STEP_S / 86_400.0) * np.array([1, -1, 0]))
        known.take(scene(at, row * np.exp(0.02 * rng.standard_normal(3))))
        before = known.inform({"base": FAN})[INFORMED][:, 0, MEDIAN]
    turned = Scene(
        900, 900 * STEP_S, STEP_S, np.full(4, np.nan), (2, 1, 0, "new"), (("", "", ""),) * 4
    )
    known.take(turned)
    after = known.inform({"base": np.repeat(FAN[:1], 4, axis=0)})[INFORMED][:, 0, MEDIAN]
    assert after[:3] == pytest.approx(before[::-1], rel=0.05)
    assert before[1] < 9.0 < 11.0 < before[0]


def test_wrong_shapes_are_refused_and_numbers_that_run_backwards_begin_anew():
    known = Covariates((1,), "base")
    with pytest.raises(ForecastError):
        Covariates((), "base")
    with pytest.raises(ForecastError):
        known.take(Scene(0, 0.0, STEP_S, np.zeros(2), (1,), (("", "", ""),)))
    for at in (10, 11, 5, 5, 6):
        known.take(scene(at, np.full(3, 10.0)))
        known.inform({"base": FAN})
    other = known.inform({"base": FAN[:2]})
    assert other.keys() == {"base"}, "fans of other series come back as they are"


def test_a_constant_signal_and_too_many_signals_say_nothing():
    track = SignalTrack()
    for value in (5.0, 5.0, np.nan, 5.0):
        track.push(value)
    assert not track.features(Signal("s", 5.0), 1).any()
    known = Covariates((1,), "base")
    many = tuple(Signal(f"n{n:02}", 1.0) for n in range(20))
    known.take(scene(0, np.full(3, 10.0), signals=many))
    assert known.ignored == 4


def test_a_candidate_is_admitted_beside_one_that_is_there_only():
    chooser = Chooser((Ewma(), Base()), (1,))
    with pytest.raises(ForecastError):
        chooser.admit(INFORMED, "nobody")
    with pytest.raises(ForecastError):
        chooser.admit("base", "ewma")
    chooser.admit(INFORMED, "base")
    rows, _ = traffic(120, 3, 1)
    window = chooser.prepare(rows, 119)
    fans = {one.name: one.forecast(window, (1,)) for one in chooser.forecasters}
    weights = chooser.conclude({**fans, INFORMED: fans["base"]}, {}).weights[0]
    assert weights[INFORMED] == pytest.approx(weights["base"], rel=0.02)
    chooser.dismiss(INFORMED)
    chooser.prepare(rows, 120)
    assert INFORMED not in chooser.conclude({**fans, INFORMED: fans["base"]}, {}).weights[0]

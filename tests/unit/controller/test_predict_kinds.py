"""Forecasts of kinds: what they say, what they cost, and that nothing stops the loop."""

import asyncio
import time
from dataclasses import replace

import numpy as np
import pytest

from controller.config import Config, Privacy, Series, Threshold
from controller.observe.series import SeriesStore
from controller.observe.series_events import EventBook
from controller.observe.series_ring import Labels
from controller.observe.series_signals import SignalBook
from controller.predict.kinds import Kinds
from controller.predict.kinds_brain import SeriesDesk
from controller.predict.kinds_coarse import Coarse
from controller.predict.kinds_watch import COHORTS, Limits, Watch
from controller.state import Alarm
from headers.messages import SeriesPush
from models import QUANTILES, Ewma, LastValue
from models.covariates import Announcement

from .series_doubles import EPOCH_S, Hands


@pytest.fixture
def clock():
    return Hands()


@pytest.fixture
def make(clock):
    made = []

    def build(**more):
        store = SeriesStore(clock, slow_s=5.0, fast_s=1.0, permit=("tenant",), retention_s=120.0)
        kinds = Kinds(
            store, EventBook(None), SignalBook(), slow_horizons_s=(5.0, 15.0),
            fast_horizons_s=(5.0, 10.0, 30.0), data_step_s=5.0, **more,
        )  # fmt: skip
        made.append(kinds)
        return kinds

    yield build
    for kinds in made:
        kinds.close()


async def go(
    kinds, clock, steps, value, *, kind="requests", names=("a", "b"), step_s=1.0, labels=None
):
    """Feed a kind and forecast it, step by step."""
    for at in range(steps):
        for number, name in enumerate(names):
            found = value(at, number)
            if found is not None:
                kinds.store.put(kind, name, found, labels=labels or Labels())
        clock.now += step_s
        await kinds.run(fast=step_s == 1.0)


def noise(seed=1, level=100.0):
    rng = np.random.default_rng(seed)
    return lambda at, number: float(level * (1 + 0.05 * rng.standard_normal()))


async def test_fast_kinds_are_forecast_seconds_ahead(make, clock):
    kinds = make()
    await go(kinds, clock, 90, noise())
    found = kinds.latest["requests"]
    assert found.names == ("a", "b")
    assert found.horizons_s == (5.0, 10.0, 30.0)
    assert found.unit == "1/s"
    assert found.quantiles.shape == (2, 3, len(QUANTILES))
    assert (np.diff(found.quantiles, axis=2) >= 0.0).all()
    assert found.quantiles[0, 0, 3] == pytest.approx(100.0, rel=0.1)
    assert found.skill[0].scored > 50
    assert kinds.counts["failed"] == 0
    assert found.time_s == pytest.approx(clock.wall(), abs=1.0)


@pytest.mark.slow
async def test_a_jump_is_an_alarm_of_its_series(make, clock):
    kinds = make()
    calm = noise()
    await go(kinds, clock, 220, lambda at, n: calm(at, n) * (8.0 if at >= 215 and n else 1.0))
    told = [alarm for alarm in kinds.recent(clock.wall() - 8.0) if alarm.what != "missing"]
    assert {alarm.name for alarm in told} == {"b"}
    assert told[0].severity > 2.0
    assert told[0].time_s == pytest.approx(clock.wall(), abs=8.0)


async def test_a_threshold_that_will_be_crossed_is_an_alarm(make, clock):
    kinds = make(limits={"link_load": Limits(share=0.9), "path_free": Limits(low=50.0)})
    labels = Labels("a", "b", 100.0)
    for kind, value in (("link_load", 99.0), ("path_free", 20.0)):
        rng = np.random.default_rng(2)
        await go(kinds, clock, 40, lambda at, n, v=value, r=rng: v + float(r.normal()),
                 kind=kind, names=("a>b",), step_s=5.0, labels=labels)  # fmt: skip
    assert kinds.latest["link_load"].above[0, -1] > 0.9
    assert kinds.latest["path_free"].below[0, -1] > 0.9
    told = {(alarm.kind, alarm.what) for alarm in kinds.recent(0.0)}
    assert {("link_load", "high"), ("path_free", "low")} <= told


async def test_an_event_is_expected_in_the_series_it_is_for(make, clock):
    kinds = make()
    await go(kinds, clock, 60, noise())
    kinds.events.put(
        Announcement("sale", "series", clock.wall() + 2.0, 60.0, 3.0, series=("requests:b",)),
        clock.wall(),
    )
    await go(kinds, clock, 1, noise())
    middle = kinds.latest["requests"].quantiles[:, 0, 3]
    assert middle[1] > 1.25 * middle[0]


STRANGE = {
    "NaN": lambda at, n: float("nan") if at % 3 else 10.0,
    "gaps": lambda at, n: None if at % 7 else 10.0,
    "constant": lambda at, n: 5.0,
    "zero": lambda at, n: 0.0,
    "negative": lambda at, n: -5.0 if at % 2 else 5.0,
    "infinite": lambda at, n: float("inf") if at % 5 == 0 else 3.0,
    "a step of a million up": lambda at, n: 1.0 if at < 30 else 1e6,
    "a step of a million down": lambda at, n: 1e6 if at < 30 else 1.0,
    "tiny": lambda at, n: 1e-12 * (1 + at % 2),
    "huge": lambda at, n: 1e18 * (1 - 0.1 * (at % 2)),
    "one that appears": lambda at, n: 10.0 if n == 0 or at > 40 else None,
    "one that disappears": lambda at, n: 10.0 if n == 0 or at < 20 else None,
    "words": lambda at, n: "ten" if at % 2 else 10.0,
}


@pytest.mark.parametrize("name", STRANGE)
async def test_strange_series_have_forecasts_and_break_nothing(make, clock, name):
    kinds = make(limits={"requests": Limits(high=10.0, low=1.0)})
    await go(kinds, clock, 70, STRANGE[name])
    assert kinds.counts["failed"] == 0
    found = kinds.latest["requests"]
    assert np.isfinite(found.quantiles).all()
    assert (found.quantiles >= 0.0).all()
    assert np.isfinite(found.above).all()
    if name in {"NaN", "negative", "infinite", "words"}:
        assert kinds.store.counts["value"] > 10


@pytest.mark.parametrize("jump_s", [-1e7, -60.0, 60.0, 1e7])
async def test_a_clock_that_jumps_leaves_the_forecasts_as_they_were(make, clock, jump_s):
    kinds = make()
    await go(kinds, clock, 40, noise())
    clock.shift += jump_s
    await go(kinds, clock, 20, noise(2))
    assert kinds.counts["failed"] == 0
    assert kinds.latest["requests"].quantiles[0, 0, 3] == pytest.approx(100.0, rel=0.15)


async def test_a_pause_of_hours_and_a_standstill_break_nothing(make, clock):
    kinds = make()
    await go(kinds, clock, 40, noise())
    clock.now += 3 * 3600.0
    await go(kinds, clock, 20, noise())
    await kinds.run(fast=True)
    await kinds.run(fast=True)
    assert kinds.counts["failed"] == 0


async def test_a_kind_that_fails_is_counted_and_the_others_go_on(make, clock, monkeypatch):
    kinds = make()
    inner = kinds._make

    def broken(kind, step_s):
        if kind == "connections":
            raise RuntimeError("planted")
        return inner(kind, step_s)

    monkeypatch.setattr(kinds, "_make", broken)
    for at in range(10):
        kinds.store.put("connections", "x", 1.0 + at)
        await go(kinds, clock, 1, noise())
    assert kinds.counts["failed"] > 5
    assert "requests" in kinds.latest
    assert "connections" not in kinds.latest


async def test_a_forecaster_that_fails_is_left_out(make, clock):
    class Broken(Ewma):
        name = "pooled"

        def _quantiles(self, window, horizons, step_s):
            raise ValueError("planted")

    kinds = make(model=Broken())
    await go(kinds, clock, 20, noise())
    assert kinds.counts["failed"] == 0
    assert "requests" in kinds.latest


async def test_where_there_is_no_network_the_simple_forecasters_do_it(make, clock):
    kinds = make(model=LastValue())
    await go(kinds, clock, 5, noise())
    assert kinds.counts["failed"] == 0
    assert set(kinds.latest["requests"].skill[0].weights) == {"ewma", "last", "informed"}


async def test_one_round_at_a_time(make, clock):
    kinds = make()
    kinds.store.put("requests", "a", 1.0)
    clock.now += 1.0
    await asyncio.gather(kinds.run(fast=True), kinds.run(fast=True), kinds.run(fast=False))
    assert kinds.counts["busy"] == 1


async def test_forecasts_about_users_are_forgotten_with_their_series(make, clock):
    kinds = make()
    calm = noise()
    await go(kinds, clock, 30, lambda at, n: calm(at, n) if n == 0 or at < 10 else None,
             kind="tenant", names=("x", "y"), step_s=5.0)  # fmt: skip
    assert kinds.latest["tenant"].names == ("x", "y")
    clock.now += 30.0  # y was heard of longer ago than the retention
    await kinds.run(fast=False)
    assert kinds.latest["tenant"].names == ("x",)
    assert all(alarm.name != "y" for alarm in kinds.alarms)
    assert kinds.forget("tenant", "x") == 1
    assert "tenant" not in kinds.latest
    assert "tenant" not in kinds._by_kind
    assert "tenant" not in kinds._names
    assert not [alarm for alarm in kinds.alarms if alarm.kind == "tenant" and alarm.name]


def test_series_that_come_and_go_keep_their_detector_and_too_many_begin_anew():
    watch = Watch(1.0)
    for at in range(COHORTS + 4):
        names = tuple(f"n{i}" for i in range(at + 1))
        watch.look("requests", names, np.ones(at + 1), None, EPOCH_S + at)
    assert watch.rebuilt == 1
    assert watch.look("requests", ("n0",), np.ones(1), None, EPOCH_S) == ()
    assert watch.look("requests", (), np.ones(0), None, EPOCH_S) == ()


def test_a_coarse_forecaster_is_shown_means():
    seen = []

    class Spy(Ewma):
        def _quantiles(self, window, horizons, step_s):
            seen.append((window, horizons, step_s))
            return super()._quantiles(window, horizons, step_s)

    coarse = Coarse(Spy(), 20)
    fan = coarse.forecast(np.arange(100.0)[None], (20, 40, 120), 0.25)
    assert fan.shape == (1, 3, 7)
    assert list(seen[0][0][0]) == [9.5, 29.5, 49.5, 69.5, 89.5]
    assert seen[0][1:] == ((1, 2, 6), 5.0)
    assert coarse.forecast(np.ones((2, 3)), (20,), 0.25).shape == (2, 1, 7)


@pytest.mark.slow
def test_a_hundred_series_every_250_ms_take_less_than_half_a_core():
    clock = Hands()
    store = SeriesStore(clock, slow_s=5.0, fast_s=0.25)
    kinds = Kinds(store, EventBook(None), SignalBook(), slow_horizons_s=(5.0,),
                  fast_horizons_s=(5.0, 10.0, 30.0), data_step_s=5.0)  # fmt: skip
    rng, took = np.random.default_rng(1), 0.0
    for step in range(200):
        clock.now += 0.25
        began = time.process_time()
        for at in range(100):
            store.put("requests", f"s{at}", float(rng.gamma(5.0)))
        question = kinds.question("requests")
        if question is not None:
            kinds.record(kinds.answer(question))
        took += time.process_time() - began if step >= 100 else 0.0
    kinds.close()
    assert took / 25.0 < 0.5
    assert kinds.counts["forecast"] > 190


# the desk


@pytest.fixture
def desk(clock, tmp_path):
    config = Config(privacy=Privacy(permit=("tenant",), retention_s=60.0))
    made = SeriesDesk(config, clock, tmp_path, None)
    yield made
    made.close()


def test_a_push_says_what_was_taken_and_why_the_rest_was_not(desk, clock):
    now = clock.wall()
    answer = desk.push(SeriesPush("requests", "web", ((now, 1.0), (now, 2.0), (now, -1.0))))
    assert (answer.taken, answer.refused) == (1, {"duplicate": 1, "value": 1})
    assert desk.push(SeriesPush("link_load", "a", ((now, 1.0),))).refused == {"kind": 1}
    assert desk.push(SeriesPush("user_group", "a", ((now, 1.0),))).refused == {"permit": 1}
    assert desk.push(SeriesPush("signal", "s", ((now + 900.0, 1.0),))).taken == 1
    assert desk.push(SeriesPush("requests", "w", ((now, 1.0),) * 10_001)).taken == 0
    assert desk.names() == {"requests": ("web",), "signal": ("s",)}
    assert desk.forget("signal", None) == 1
    assert desk.status()["store"]["kind"] == 1


async def test_the_fast_loop_keeps_its_pace_and_survives_those_who_fail(desk, clock, network):
    stop, asked = asyncio.Event(), []
    desk.adopt(network)
    desk._feed.services = True

    async def ask():
        asked.append(clock.now)
        if len(asked) > 4:
            stop.set()
        raise RuntimeError("planted")

    await asyncio.wait_for(desk.run_fast(ask, stop), 5.0)
    assert np.diff(asked) == pytest.approx([1.0] * 4)
    assert desk.counts["fast"] == 5


def test_an_urgent_alarm_of_a_fast_kind_is_an_event_once(desk, clock):
    woken = []
    desk.wake = woken.append
    high = Alarm("connections", "a/web", "high", clock.wall(), 0.9, 3.0, 5.0)
    mild = replace(high, name="b/web", severity=1.0)
    low = replace(high, name="c/web", what="low")
    slow = replace(high, kind="link_load", name="a>b")
    desk.kinds.alarms.extend((high, mild, low, slow))
    desk._tell()
    desk._tell()
    assert woken == ["connections of a/web is expected to be too high"]
    desk.kinds.alarms.append(replace(high, what="level"))
    desk._tell()
    assert woken[1:] == ["connections of a/web shows a level"]
    assert desk.counts["urgent"] == 2


async def test_a_tick_that_is_nonsense_is_counted(desk, network):
    desk.adopt(network)
    desk.tick(None, None, None)
    desk.hear("nonsense")
    assert desk.counts == {"feed": 1}
    desk.close()


def test_the_configuration_names_kinds_and_bounds():
    assert Config().series.fast_ms == 1000
    assert Config().privacy.permit == ()
    for wrong in ({"fast_ms": 50}, {"thresholds": {"nonsense": Threshold()}}, {"most": 0}):
        with pytest.raises(ValueError):  # noqa: PT011
            Series(**wrong)
    with pytest.raises(ValueError):  # noqa: PT011
        Privacy(permit=("everything",))

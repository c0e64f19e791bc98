"""Demands are told what is known, watched, and the decision stage sees the alarms."""

import numpy as np
import pytest

from controller.config import Config, Privacy
from controller.predict.kinds_brain import SeriesDesk
from controller.predict.predictor import Predictor
from controller.state import LinkState, Snapshot
from headers.messages import SeriesPush
from models.covariates import Announcement

from .series_doubles import Hands

NODES = ("a", "b", "c")
STEP_S = 5.0
CONFIG = Config(tick_s=STEP_S, horizons_steps=(1, 3), privacy=Privacy(permit=("tenant",)))


def snapshot(number, time_s, history, data_step_s=STEP_S):
    links = (LinkState("a>b", "a", "b", 1e6, rate_bps=5e5),)
    past = np.array(history)
    return Snapshot(number, time_s, STEP_S, data_step_s, NODES, links, past[-1], past)


@pytest.fixture
def world(tmp_path):
    clock = Hands()
    desk = SeriesDesk(CONFIG, clock, tmp_path, None)
    predictor = Predictor((1, 3))
    desk.inform(predictor)
    yield clock, desk, predictor
    desk.close()
    predictor.close()


class Loop:
    """Ticks of the brain, as far as forecasts go."""

    def __init__(self, world, data_step_s=STEP_S):
        self.clock, self.desk, self.predictor = world
        self.rng = np.random.default_rng(1)
        self.history = [self.demands() for _ in range(80)]
        self.number = 79
        self.data_step_s = data_step_s

    def demands(self, factor=1.0):
        matrix = 100.0 * np.exp(0.05 * self.rng.standard_normal((3, 3)))
        matrix[0, 1] *= factor
        return matrix * (1 - np.eye(3))

    async def tick(self, factor=1.0):
        self.clock.now += STEP_S
        self.number += 1
        self.history.append(self.demands(factor))
        seen = snapshot(self.number, self.clock.wall(), self.history[-300:], self.data_step_s)
        forecast = await self.predictor.forecast(seen, self.number)
        self.desk.tick(seen, {"a>b": 5e5}, [])
        return await self.desk.attach(seen, self.number, forecast)


@pytest.mark.slow
async def test_a_jump_of_a_demand_reaches_the_decision_stage_as_an_alarm(world):
    loop = Loop(world)
    for _ in range(150):
        calm = await loop.tick()
    assert not [one for one in calm.alarms if one.severity > 2.5]
    jumped = await loop.tick(20.0)
    told = [one for one in jumped.alarms if one.kind == "demand"]
    assert told[0].name == "a>b"
    assert told[0].severity > 2.5


async def test_other_kinds_ride_along_with_the_forecast(world, network):
    loop = Loop(world)
    loop.desk.adopt(network)
    for _ in range(6):
        found = await loop.tick()
        await loop.desk._slow
    assert found.kinds["link_load"].names == ("a>b",)
    assert found.kinds["link_load"].quantiles[0, 0, 3] == pytest.approx(5e5, rel=0.01)


@pytest.mark.slow
async def test_what_is_about_users_is_not_in_the_ticks_that_are_remembered(world, network):
    loop = Loop(world)
    loop.desk.adopt(network)
    for at in range(150):
        value = 1e6 if at == 149 else 100.0 + at % 7
        loop.desk.push(SeriesPush("tenant", "someone", ((loop.clock.wall(), value),)))
        await loop.tick()
        await loop.desk._slow
    found = await loop.tick()
    assert "tenant" in loop.desk.latest()
    assert set(found.kinds) == {"link_load", "link_free"}
    assert {alarm.name for alarm in found.alarms if alarm.kind == "tenant"} == {""}


@pytest.mark.parametrize("data_step_s", [STEP_S, 300.0])
async def test_an_announced_event_raises_the_forecast_of_demands_in_scope(world, data_step_s):
    loop = Loop(world, data_step_s)
    for _ in range(20):
        before = await loop.tick()
    starts_s = loop.clock.wall() + STEP_S + 9.0
    loop.desk.announce(Announcement("sale", "demand", starts_s, 60.0, 3.0, "a", "b"))
    after = await loop.tick()
    rise = after.demands_bps[1, 3] / np.where(
        before.demands_bps[1, 3] > 0, before.demands_bps[1, 3], 1.0
    )
    assert rise[0, 1] > 1.3, "in three steps it will be there"
    assert rise[1, 0] == pytest.approx(1.0, abs=0.1)
    near = after.demands_bps[0, 3, 0, 1] / before.demands_bps[0, 3, 0, 1]
    assert near == pytest.approx(1.0, abs=0.1), "in one step it will not"


async def test_what_fails_is_counted_and_the_forecast_stands(world, monkeypatch):
    loop = Loop(world)

    def broken(*_):
        raise RuntimeError("planted")

    monkeypatch.setattr(loop.desk.demands.known, "take", broken)
    monkeypatch.setattr(loop.desk.demands._watch, "look", broken)
    found = await loop.tick()
    assert found.demands_bps[0, 3, 0, 1] > 0.0
    assert loop.desk.status()["failed"] == {"inform": 1, "watch": 1}

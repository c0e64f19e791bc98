"""Learning from end to end: drift, alarm, a real process that retrains, promotion, the way back.

Buffers that fill and flush take the place of a calm daily course: a pattern that the shipped
network was not made for. Time is the data's own, so days pass in seconds.
"""

import asyncio
import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest

from controller.predict.learning import Learner, Learning
from headers.files.history import History
from models import Chooser, Ewma, load_shipped_model
from models.neural.cards import sha256_of
from models.neural.forecaster import open_model
from models.neural.head import TRAINED
from models.neural.onnxfile import read_weights, write_weights
from models.registry import SHIPPED, Order, Registry, RegistryError, consider

STEP_S = 300.0
DAY = 288
SERIES = 6
NAMES = tuple(f"a>{number}" for number in range(SERIES))
HORIZONS = (1, 3)
BEGIN, CHANGE, LENGTH = 6 * DAY, 6 * DAY + 40, 8 * DAY
KEY = ("demand", "all")


def planted_drift():
    """Eight days, and a buffer's course from CHANGE on."""
    rng = np.random.default_rng(4)
    at = np.arange(LENGTH)[:, None]
    day = 1.0 + 0.4 * np.sin(2 * np.pi * (at / DAY + rng.random(SERIES)))
    values = day * np.exp(0.08 * rng.standard_normal((LENGTH, SERIES)))
    fill = rng.random(SERIES)
    for row in range(CHANGE, LENGTH):
        fill = fill + 0.15
        fill = np.where(rng.random(SERIES) < fill - 1.0, 0.1, fill)
        values[row] = fill * np.exp(0.03 * rng.standard_normal(SERIES))
    return values * np.exp(rng.normal(3.0, 0.5, SERIES))


def spoiled(model):
    """The same model with noise in its head."""
    rng = np.random.default_rng(1)
    weights = read_weights(model.content, TRAINED)
    noisy = {n: w + rng.normal(0, 0.3, w.shape).astype(np.float32) for n, w in weights.items()}
    content = write_weights(model.content, noisy)
    card = dataclasses.replace(model.card, sha256=sha256_of(content))
    return open_model(Path("spoiled.onnx"), content, card)


class Network:
    """A brain's forecasts and learning, without the network: ``tick`` passes one interval."""

    def __init__(self, folder):
        self.values = planted_drift()
        self.at = BEGIN
        self.registry = Registry(folder / "registry")
        self.chooser = Chooser([Ewma(), load_shipped_model()], HORIZONS, memory=48)
        self.folder = folder / "learning"
        self.learner = Learner(
            self.registry,
            self.folder,
            self.take,
            wall=time.time,
            settings=Learning(
                retrain_every_s=10 * 86_400.0,
                cool_down_s=16 * 3600.0,
                watch=60,
                limit_s=120,
                steps=250,
                hurry=True,  # a busy machine must not turn the test into a wait
            ),
        )

    def take(self, champion):
        if champion is None:
            self.chooser.dismiss("tuned")
        else:
            self.chooser.enlist(champion, "pooled")

    async def start(self):
        # the last attempt was just now: what comes next is drift's doing
        self.folder.mkdir()
        (self.folder / "learning.json").write_text('{"version": 1, "since_s": 0.0}')
        await self.learner.start()

    def history(self):
        return History(NAMES, self.values[: self.at].astype(np.float32), STEP_S)

    async def tick(self):
        history = self.values[: self.at]
        outlook = self.chooser.forecast(history, self.at - 1, STEP_S)
        self.learner.heed(history, NAMES, self.at - 1, STEP_S, outlook)
        deadline = time.monotonic() + 100
        while self.learner.busy:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        self.at += 1
        return outlook


async def drifted_and_promoted(network):
    """Tick until there is a champion; the alarm must have stood before."""
    alarm_at = None
    while network.learner.champion == SHIPPED:
        assert network.at < LENGTH - 2 * DAY // 3, network.learner.counts
        outlook = await network.tick()
        assert "tuned" not in outlook.loss[0]
        if alarm_at is None and any(one.alarm for one in outlook.drift):
            alarm_at = network.at
    assert alarm_at is not None
    assert alarm_at > CHANGE
    assert network.learner.counts["retrained"] == network.learner.counts["drift"] >= 1


@pytest.mark.slow
async def test_drift_is_learned_and_what_is_worse_is_refused_or_rolled_back(tmp_path):
    network = Network(tmp_path)
    await network.start()
    await drifted_and_promoted(network)
    good = network.learner.champion
    verdict = network.registry.state().versions[good].verdict
    assert verdict.low > 0.0
    # it is used: the weighing of candidates believes it more than what it comes from
    outlook = None
    for _ in range(70):
        outlook = await network.tick()
    assert outlook.loss[0]["tuned"] < 0.95 * outlook.loss[0]["pooled"]
    assert outlook.used[0] == "tuned"
    assert network.learner.champion == good
    # a bad candidate is refused
    loaded = network.registry.load(*KEY)
    bad = spoiled(loaded.forecaster)
    order = Order(horizons=HORIZONS, held_s=6 * 3600.0)
    outcome = consider(network.history(), network.registry, order, loaded, bad, now_s=1.0)
    assert not outcome.promoted
    assert "not better" in outcome.why
    with pytest.raises(RegistryError, match="not promoted"):
        network.registry.promote(outcome.version, now_s=2.0)
    # one that gets through all the same is rolled back when it turns out to be worse
    network.registry.promote(outcome.version, now_s=3.0, anyway="planted by a test")
    await network.tick()
    assert network.learner.champion == outcome.version
    while network.learner.champion == outcome.version:
        assert network.at < LENGTH
        await network.tick()
    assert network.learner.champion == good
    assert network.learner.counts["rolled_back"] == 1
    assert network.registry.champion(*KEY) == good
    events = [event["event"] for event in network.registry.state().events]
    assert events == ["added", "promoted", "added", "promoted", "rolled back"]
    # another brain goes on with it
    await network.learner.close()
    again = Network.__new__(Network)
    again.__init__(tmp_path)
    await again.learner.start()
    assert again.learner.champion == good
    assert "tuned" in {one.name for one in again.chooser.forecasters}


@pytest.mark.slow
async def test_a_retraining_that_is_no_longer_wanted_ends_with_the_brain(tmp_path):
    network = Network(tmp_path)
    await network.learner.start()
    values = network.values[:CHANGE]
    outlook = network.chooser.forecast(values, CHANGE - 1, STEP_S)
    network.learner.heed(values, NAMES, CHANGE - 1, STEP_S, outlook)
    deadline = time.monotonic() + 30
    while not (network.folder / "history.npz").exists():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    await asyncio.sleep(0)  # the process is on its way or there
    began = time.monotonic()
    await network.learner.close()
    assert time.monotonic() - began < 5.0
    assert not network.learner.busy
    assert network.registry.load(*KEY).version == SHIPPED

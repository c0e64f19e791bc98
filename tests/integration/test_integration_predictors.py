"""Predictor workers as they run: a real bus, real processes, one of them killed in mid-tick."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from bus import Bus, Instance
from controller.predict import shards
from controller.predict.pool import Pool
from controller.predict.shards import Answers, ask_local
from models import Ewma, Forecaster, LastValue, load_shipped_model

SERIES = 1500
HORIZONS = (1, 3, 12)
STEP_S = 300.0


class Workers:
    """Three processes of ``foresteer predictor``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.processes = [self._start(number) for number in range(3)]

    def _log(self, number: int) -> Path:
        return self._directory / f"worker-{number}.log"

    def _start(self, number: int) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "controller.cli", "predictor", "--name", f"w{number}"]
        with self._log(number).open("wb") as log:
            return subprocess.Popen(command, stderr=log, stdout=log)

    def said(self, number: int) -> str:
        return self._log(number).read_text()

    def wait(self, word: str, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not all(word in self.said(number) for number in range(3)):
            assert time.monotonic() < deadline, [self.said(number) for number in range(3)]
            time.sleep(0.02)

    def stop(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(10)


@pytest_asyncio.fixture
async def bus(instance_directory: Path) -> AsyncIterator[Bus]:
    instance = Instance.find()
    child = instance.ensure_bus()
    made = await Bus.connect(instance.bus_address(), "brain")
    yield made
    await made.close()
    instance.stop("bus")
    if child is not None:
        child.wait(5)


@pytest.fixture
def workers(bus: Bus, tmp_path: Path) -> Iterator[Workers]:
    made = Workers(tmp_path)
    try:
        made.wait("ready")
        yield made
    finally:
        made.stop()


@pytest.fixture
def many_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough shards that each worker surely has one at any moment of a tick."""
    monkeypatch.setattr(shards, "SHARD_MAX", 50)


def question() -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    rng = np.random.default_rng(1)
    window = rng.gamma(4.0, 25.0, (SERIES, 304)) * np.exp(rng.normal(0.0, 2.0, (SERIES, 1)))
    window[rng.random(window.shape) < 0.01] = np.nan
    return window


def forecasters() -> list[Forecaster]:
    return [LastValue(), Ewma(), load_shipped_model()]


def same(one: Answers, other: Answers) -> None:
    assert sorted(one) == sorted(other)
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name])


async def test_killing_one_of_three_workers_in_mid_tick_costs_no_forecast(
    bus: Bus, workers: Workers, many_shards: None
) -> None:
    candidates = forecasters()
    names = [one.name for one in candidates]
    window = question()
    expected, _ = ask_local(candidates, window, HORIZONS, STEP_S)
    pool = Pool(bus, candidates)
    await pool.forecast(names, window, HORIZONS, STEP_S)
    assert pool.counts["remote"] > 0
    before = pool.counts.copy()
    victim = workers.processes[0]
    # frozen, it takes shards and keeps them, so that it is killed with shards in its hands
    os.kill(victim.pid, signal.SIGSTOP)
    began = time.monotonic()
    tick = asyncio.create_task(pool.forecast(names, window, HORIZONS, STEP_S))
    await asyncio.sleep(0.1)
    assert not tick.done()
    victim.kill()
    answers, errors = await tick
    took_s = time.monotonic() - began
    assert errors == {}
    same(answers, expected)
    assert took_s < 1.0
    after = pool.counts - before
    assert after["remote"] + after["local"] == SERIES // 50
    assert after["again"] + after["local"] > 0  # the victim did have shards
    assert victim.wait(5) == -signal.SIGKILL
    # and the next tick is one of two workers
    answers, errors = await pool.forecast(names, window, HORIZONS, STEP_S)
    same(answers, expected)


async def test_killing_all_workers_in_mid_tick_costs_no_forecast(
    bus: Bus, workers: Workers, many_shards: None
) -> None:
    candidates = forecasters()
    names = [one.name for one in candidates]
    window = question()
    pool = Pool(bus, candidates)
    tick = asyncio.create_task(pool.forecast(names, window, HORIZONS, STEP_S))
    await asyncio.sleep(0.02)
    for process in workers.processes:
        process.kill()
    answers, errors = await tick
    assert errors == {}
    same(answers, ask_local(candidates, window, HORIZONS, STEP_S)[0])
    assert pool.counts["local"] > 0


async def test_workers_that_are_asked_to_end_finish_what_they_have(
    bus: Bus, workers: Workers, many_shards: None
) -> None:
    candidates = forecasters()
    names = [one.name for one in candidates]
    window = question()
    pool = Pool(bus, candidates, deadline_s=20.0)
    tick = asyncio.create_task(pool.forecast(names, window, HORIZONS, STEP_S))
    await asyncio.sleep(0.02)
    workers.processes[0].terminate()
    workers.processes[1].terminate()
    answers, errors = await tick
    assert errors == {}
    same(answers, ask_local(candidates, window, HORIZONS, STEP_S)[0])
    # with this deadline nothing was late: whoever left had answered what it had
    assert set(pool.counts) == {"remote"}
    assert [workers.processes[number].wait(10) for number in (0, 1)] == [0, 0]
    workers.processes[2].terminate()
    assert workers.processes[2].wait(10) == 0
    workers.wait("left (")


async def test_workers_find_back_to_a_bus_that_was_killed(
    bus: Bus, workers: Workers, many_shards: None
) -> None:
    candidates = forecasters()
    names = [one.name for one in candidates]
    window = question()
    pool = Pool(bus, candidates)
    instance = Instance.find()
    pid = instance.pid("bus")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while instance.running("bus") or bus.connected:
        await asyncio.sleep(0.01)
    answers, errors = await pool.forecast(names, window, HORIZONS, STEP_S)
    assert errors == {}
    assert set(pool.counts) == {"local"}
    child = instance.ensure_bus()
    assert child is not None
    try:
        deadline = time.monotonic() + 20.0
        while pool.counts["remote"] < SERIES // 50:
            assert time.monotonic() < deadline, pool.counts
            again, errors = await pool.forecast(names, window, HORIZONS, STEP_S)
            same(again, answers)
            assert errors == {}
    finally:
        instance.stop("bus")
        child.wait(5)

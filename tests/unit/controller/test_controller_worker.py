"""The decide worker: a real process that is asked, killed, and asked again."""

import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from controller.errors import ControllerError
from controller.observe import Collector
from controller.state import Forecast, Plan, Policies, Snapshot
from controller.worker import DecideWorker
from headers.files.network import Network
from headers.messages import NetworkLinks


@pytest.fixture
def question(network: Network, discovered: NetworkLinks) -> tuple[Snapshot, Forecast, Policies]:
    collector = Collector(network, 2.0, 2.0)
    collector.take_network(discovered)
    demands = np.full((3, 3), 1e6)
    np.fill_diagonal(demands, 0.0)
    collector.history.append(demands)
    snapshot = collector.snapshot(0.0, 0.0, {})
    forecast = Forecast(1, 1, (1,), (0.5, 0.75), np.tile(demands, (1, 2, 1, 1)), ())
    return snapshot, forecast, Policies()


@pytest_asyncio.fixture
async def worker() -> AsyncIterator[DecideWorker]:
    made = DecideWorker()
    yield made
    await made._wait()


def wire(plan: Plan) -> dict[str, Any]:
    return {name: getattr(plan, name) for name in plan.__slots__}


@pytest.mark.slow
async def test_worker_that_is_killed_is_replaced_and_gives_the_same_plan(
    worker: DecideWorker, question: tuple[Snapshot, Forecast, Policies]
) -> None:
    first = await worker.plan(*question, None, timeout_s=30)
    assert first.snapshot == 1
    assert {(split.src, split.dst) for split in first.splits} >= {("a", "b"), ("c", "a")}
    assert worker.restarts == 0
    pid = worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    again = await worker.plan(*question, None, timeout_s=30)
    assert wire(again) == wire(first)
    assert worker.pid not in (None, pid)
    assert worker.restarts == 1


async def test_worker_that_is_late_goes_on_and_its_late_answer_is_nobodys(
    worker: DecideWorker, question: tuple[Snapshot, Forecast, Policies]
) -> None:
    first = await worker.plan(*question, None, timeout_s=30)
    pid = worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(ControllerError, match=r"no plan within 0\.1 s"):
        await worker.plan(*question, first, timeout_s=0.1)
    with pytest.raises(ControllerError, match=r"no plan within 0\.1 s"):
        await worker.plan(*question, first, timeout_s=0.1)
    os.kill(pid, signal.SIGCONT)
    again = await worker.plan(*question, None, timeout_s=30)
    assert wire(again) == wire(first)
    assert worker.pid == pid


async def test_worker_that_hangs_is_replaced(
    worker: DecideWorker,
    question: tuple[Snapshot, Forecast, Policies],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await worker.start()
    pid = worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr("controller.worker.HANGS_S", 0.2)
    with pytest.raises(ControllerError, match="no plan within"):
        await worker.plan(*question, None, timeout_s=0.1)
    made = await worker.plan(*question, None, timeout_s=30)
    assert made.snapshot == 1
    assert worker.pid not in (None, pid)


async def test_planning_that_fails_is_told_in_words_and_the_worker_lives_on(
    worker: DecideWorker, question: tuple[Snapshot, Forecast, Policies]
) -> None:
    snapshot, _, policies = question
    foreign = Forecast(1, 1, (9,), (0.5,), np.zeros((1, 1, 3, 3)), ())
    with pytest.raises(ControllerError, match="planning failed: "):
        await worker.plan(snapshot, foreign, policies, None, timeout_s=30)
    assert worker.pid is not None
    assert worker.restarts == 0
    assert isinstance(await worker.plan(*question, None, timeout_s=30), Plan)

"""What came of decisions: reckoned in the worker when due, and written beside the decision."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "decide"))

from decide_nets import DIAMOND, DIAMOND_NODES, demands_of, forecast_of, snapshot_of

from controller.decide import plan
from controller.errors import ControllerError
from controller.hindsight import Hindsight
from controller.journal import Journal, Realised, as_kept
from controller.report.realised import realised
from controller.state import Decision, Outcome, Policies

CALM, BUSY = demands_of(DIAMOND_NODES, a_d=40.0), demands_of(DIAMOND_NODES, a_d=120.0)


def made(demands=CALM, number=1):
    snapshot, forecast = as_kept(
        snapshot_of(DIAMOND_NODES, DIAMOND, demands, number), forecast_of(demands, number)
    )
    return snapshot, forecast, plan(snapshot, forecast, Policies(), None)


def test_plan_is_scored_on_the_matrix_that_was_really_there() -> None:
    _, _, good = made(BUSY)
    found = realised(good, DIAMOND_NODES, DIAMOND, CALM, BUSY, 8)
    assert found.optimum == pytest.approx(0.8)
    assert found.utilisation == pytest.approx(good.max_utilisation)
    assert found.regret == pytest.approx(good.max_utilisation / 0.8 - 1)
    assert found.lost_bps == 0.0


def test_plan_for_less_than_came_loses_what_does_not_fit() -> None:
    _, _, calm = made(CALM)
    split = next(s for s in calm.splits if (s.src, s.dst) == ("a", "d"))
    share = max(split.shares)
    found = realised(calm, DIAMOND_NODES, DIAMOND, CALM, BUSY * 2, 8)
    assert found.utilisation == pytest.approx(max(share * 2.4, (1 - share) * 4.8))
    assert found.lost_bps > 0.0
    assert found.reactive >= found.optimum


def test_circuit_over_a_link_that_is_gone_carries_nothing() -> None:
    _, _, calm = made(CALM)
    left = tuple(replace(x, up=x.name != "b>d") for x in DIAMOND)
    assert realised(calm, DIAMOND_NODES, left, CALM, CALM, 8).lost_bps >= 0.0
    assert realised(calm, DIAMOND_NODES, (), CALM, CALM, 8).lost_bps == pytest.approx(40.0)


class Worker:
    """The function itself in the place of the process."""

    def __init__(self) -> None:
        self.fails = False

    async def realised(self, *question, timeout_s):
        if self.fails:
            raise ControllerError("no outcome within 2.0 s")
        return realised(*question)


async def settle(hindsight: Hindsight) -> None:
    if hindsight._job is not None:
        await asyncio.wait_for(hindsight._job, 5)


async def test_decision_is_scored_when_its_interval_has_ended(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    hindsight = Hindsight(Worker(), journal)  # type: ignore[arg-type]
    snapshot, forecast, plan_ = made()
    decision = Decision(5, 0.0, 1, 1, 1, "", 0.0, 0.0, 0.0, Outcome())
    number = journal.write(snapshot, forecast, plan_, decision, observed=True, link_rates_bps={},
                           applied_s=0.0, policies=Policies())  # fmt: skip
    hindsight.remember(number, 5, plan_, snapshot, Policies())
    hindsight.look(5, snapshot)
    await settle(hindsight)
    entry = journal.decision(number)
    assert entry is not None
    assert entry.realised is None
    hindsight.look(6, snapshot_of(DIAMOND_NODES, DIAMOND, BUSY, 2))
    await settle(hindsight)
    entry = journal.decision(number)
    assert entry is not None
    assert entry.realised is not None
    assert entry.realised.optimum == pytest.approx(0.8)
    assert hindsight.last is not None


async def test_decisions_whose_time_was_missed_are_dropped_and_failures_counted(
    tmp_path: Path,
) -> None:
    worker = Worker()
    hindsight = Hindsight(worker, Journal(tmp_path / "j"))  # type: ignore[arg-type]
    snapshot, _, plan_ = made()
    hindsight.remember(1, 5, plan_, snapshot, Policies())
    hindsight.look(9, snapshot)
    assert hindsight._job is None
    worker.fails = True
    hindsight.remember(2, 10, plan_, snapshot, Policies())
    hindsight.look(11, snapshot)
    await settle(hindsight)
    assert hindsight.failed == 1
    assert hindsight.last is None


def test_regret_of_nothing_is_nothing() -> None:
    assert Realised(0.0, 0.0, 0.0).regret == 0.0
    assert np.isfinite(Realised(0.5, 0.0, 0.2).regret_of_reacting)

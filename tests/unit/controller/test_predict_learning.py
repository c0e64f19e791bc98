import asyncio
import json
import os
import sys
import time

import numpy as np
import pytest

from controller.errors import ControllerError
from controller.predict import learning, retraining
from controller.predict.learning import Learner, Learning
from controller.predict.retraining import Job, run_job
from headers.files.history import load_history
from models import Outlook
from models.registry import SHIPPED, Registry
from models.skill.drift import Drift

STEP_S = 300.0
DAY = 288
NAMES = ("a>b", "b>a")
CALM, ALARM = Drift(False, 0.0, 1.0, 0.0), Drift(True, 90.0, 1.5, 3.0)


def outlook(drift=CALM, **loss):
    return Outlook((1,), np.zeros((2, 1, 7)), ("ewma",), ({},), (loss,), (100,), (drift,), 0, ())


class FakeRegistry(Registry):
    """A registry whose champion is said, so that no model need be made."""

    def __init__(self, folder):
        super().__init__(folder)
        self.now = SHIPPED
        self.parents = {"2": "1", "1": SHIPPED}

    def load(self, _kind, _group):
        return learning_loaded(self.now)

    def roll_back(self, _kind, _group, *, why, now_s):
        self.why, self.at_s = why, now_s
        self.now = self.parents[self.now]
        return self.now


def learning_loaded(name):
    from models.registry import Loaded

    return Loaded(f"model {name}", name, ())


@pytest.fixture
def runs(monkeypatch):
    """Retrainings that are begun, and what they answer; no process is started."""
    begun = []

    async def run(job):
        begun.append(job)
        answer = run.answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    run.answer = {"promoted": False, "version": "1", "why": "no better"}
    run.begun = begun
    monkeypatch.setattr(learning, "run_job", run)
    return run


@pytest.fixture
def make(tmp_path):
    champions = []

    def make(**settings):
        registry = FakeRegistry(tmp_path / "registry")
        learner = Learner(
            registry,
            tmp_path / "learning",
            champions.append,
            wall=lambda: 1000.0,
            settings=Learning(**settings),
        )
        learner.champions = champions
        return learner

    return make


async def settle(learner):
    deadline = time.monotonic() + 10
    while learner.busy:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)


async def tick(learner, interval, look=None, *, days=5):
    history = np.ones((days * DAY, 2))
    learner.heed(history, NAMES, interval, STEP_S, look or outlook())
    await settle(learner)


async def test_retraining_is_due_at_first_and_then_daily(make, runs):
    learner = make()
    await learner.start()
    for interval in range(10, 10 + 2 * DAY + 1, 8):
        await tick(learner, interval)
    assert len(runs.begun) == 3
    assert learner.counts == {"retrained": 3, "refused": 3, "drift": 0}
    history = load_history(runs.begun[-1].history)
    assert history.values.shape == (5 * DAY, 2)
    assert history.names == NAMES
    assert history.start_s == (10 + 2 * DAY + 1 - 5 * DAY) * STEP_S
    assert [job.seed for job in runs.begun] == [1, 2, 3]


async def test_drift_asks_sooner_but_not_before_the_cool_down(make, runs):
    learner = make()
    await learner.start()
    await tick(learner, 0)
    await tick(learner, 71, outlook(ALARM))
    assert len(runs.begun) == 1
    await tick(learner, 72, outlook(ALARM))
    assert len(runs.begun) == 2
    assert runs.begun[1].held_back_s == learner.settings.drift_held_back_s
    await tick(learner, 100, outlook(ALARM))
    assert len(runs.begun) == 2
    assert learner.counts["drift"] == 1


async def test_a_history_that_is_too_short_is_waited_for(make, runs):
    learner = make()
    await learner.start()
    await tick(learner, 0, days=3)
    assert not runs.begun
    await tick(learner, 1, days=4)
    assert len(runs.begun) == 1


async def test_only_the_latest_history_is_given(make, runs):
    learner = make(history_s=4 * 86_400.0)
    await learner.start()
    await tick(learner, 0, days=9)
    assert len(load_history(runs.begun[0].history).values) == 4 * DAY


async def test_a_failure_is_said_and_tried_again_after_the_cool_down(make, runs):
    learner = make()
    runs.answer = ControllerError("retraining failed: no memory")
    await learner.start()
    await tick(learner, 0)
    assert learner.problem == "retraining failed: no memory"
    await tick(learner, 71)
    assert len(runs.begun) == 1
    runs.answer = {"promoted": False, "version": "1", "why": "no better"}
    await tick(learner, 72)
    assert len(runs.begun) == 2
    assert learner.problem == ""


async def test_a_new_champion_is_offered_and_stays_after_a_restart(make, runs):
    learner = make()
    await learner.start()
    assert learner.champions == [None]
    learner.registry.now = "1"
    runs.answer = {"promoted": True, "version": "1", "why": "better"}
    await tick(learner, 0)
    assert learner.champions[-1] == "model 1"
    assert learner.champion == "1"
    await tick(learner, 50)
    await learner.close()
    again = make()
    again.registry.now = "1"
    await again.start()
    assert learner.champions[-1] == "model 1"
    await tick(again, 7)
    assert len(runs.begun) == 1  # the day goes on where it was
    assert again.status()["since_s"] == 50 * STEP_S


async def test_a_champion_that_is_worse_than_its_parent_is_rolled_back_after_the_watch(make, runs):
    learner = make(watch=100)
    learner.registry.now = "1"
    await learner.start()
    worse, fine = outlook(tuned=0.11, pooled=0.1), outlook(tuned=0.1005, pooled=0.1)
    await tick(learner, 0, worse)
    await tick(learner, 99, worse)
    assert learner.champion == "1"
    await tick(learner, 100, fine)
    assert learner.champion == "1"
    await tick(learner, 101, worse)
    assert learner.champion == SHIPPED
    assert learner.champions[-1] is None
    assert "10.0 % more loss than pooled" in learner.registry.why
    assert learner.registry.at_s == 1000.0
    assert learner.counts["rolled_back"] == 1
    await tick(learner, 102, worse)
    assert learner.counts["rolled_back"] == 1


async def test_a_change_by_hand_is_noticed(make, runs):
    learner = make()
    await learner.start()
    await tick(learner, 0)
    learner.registry.now = "2"
    learner.registry.folder.mkdir()
    learner.registry.log.write_text("changed\n")
    await tick(learner, 1)
    assert learner.champions[-1] == "model 2"
    before = len(learner.champions)
    await tick(learner, 2)
    assert len(learner.champions) == before


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 99}', '{"version": 1, "x": 2}'])
async def test_a_damaged_state_means_that_learning_begins_anew(make, runs, tmp_path, content):
    (tmp_path / "learning").mkdir()
    (tmp_path / "learning" / "learning.json").write_text(content)
    learner = make()
    await learner.start()
    await tick(learner, 0)
    assert len(runs.begun) == 1
    assert json.loads((tmp_path / "learning" / "learning.json").read_text())["attempts"] == 1


async def test_a_folder_that_cannot_be_written_is_said_and_no_tick_fails(make, runs, tmp_path):
    (tmp_path / "learning").write_text("in the way")
    learner = make()
    await learner.start()
    await tick(learner, 0)
    assert learner.counts["failed"] == 1
    assert learner.problem
    await learner.close()


async def test_what_nobody_thought_of_is_said_and_no_tick_fails(make, runs):
    learner = make()
    await learner.start()
    runs.answer = ZeroDivisionError("by zero")
    await tick(learner, 0)
    assert learner.problem == "learning: ZeroDivisionError: by zero"
    await tick(learner, 1)
    await learner.close()


def job(tmp_path, limit_s=60):
    return Job(
        tmp_path / "none.npz",
        tmp_path / "registry",
        "demand",
        "all",
        (1,),
        3600.0,
        1,
        limit_s,
        4096,
    )


@pytest.fixture
def script(tmp_path, monkeypatch):
    """A module that is run in place of the retraining."""

    def write(text):
        (tmp_path / "stand_in.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setattr(retraining, "MODULE", "stand_in")

    return write


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("print('nonsense')", "nothing that can be read"),
        ("print('{}')", "nothing that can be read"),
        ("import sys; print('the reason', file=sys.stderr); sys.exit(3)", "the reason"),
        ("import os; os.kill(os.getpid(), 9)", "status -9"),
    ],
)
async def test_what_goes_wrong_in_the_process_is_said(tmp_path, script, text, word):
    script(text)
    with pytest.raises(ControllerError, match=word):
        await run_job(job(tmp_path))


async def test_a_process_that_overruns_or_is_no_longer_wanted_is_killed(tmp_path, script):
    script(
        "import os, pathlib, time\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    with pytest.raises(ControllerError, match="longer than"):
        await run_job(job(tmp_path, limit_s=0), grace_s=0.3)
    assert not running(tmp_path / "pid")
    task = asyncio.create_task(run_job(job(tmp_path)))
    deadline = time.monotonic() + 20
    while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not running(tmp_path / "pid")


def running(path):
    """Whether the process whose number is in a file lives; the file goes."""
    if not path.exists():
        return False
    text = path.read_text()
    path.unlink()
    try:
        os.kill(int(text), 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
async def test_the_real_process_says_what_is_wrong_with_its_file(tmp_path):
    assert sys.executable
    with pytest.raises(ControllerError, match=r"none\.npz: No such file"):
        await run_job(job(tmp_path))

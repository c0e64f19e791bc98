"""Learning while running: when to retrain, who is champion now, and whether that was a good idea.

Retraining is due daily by the data's own clock, or when the forecasts' drift alarm stands and the
last attempt is long enough ago. It runs in a process of its own (``retraining``); here it is only
begun and heard. A new champion is offered as one more candidate, ``tuned``, beside the model it
comes from, so the weighing of candidates decides how much it is believed; where it stays worse
than that model on matured losses, it is rolled back. Nothing here waits in a tick.
"""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.errors import ControllerError
from controller.predict.retraining import Job, run_job
from headers.errors import FileError
from headers.files.history import History, save_history
from models import OnnxForecaster, Outlook
from models.neural.tuning import refusal
from models.registry import SHIPPED, Registry, RegistryError

LOG = logging.getLogger("foresteer.predict.learning")

TUNED = "tuned"
PARENT = "pooled"
STATE_VERSION = 1

SAVE_S = 3600.0
"""How much of the data's time may pass before the state is written again."""

OnChampion = Callable[[OnnxForecaster | None], None]
"""Told the champion to offer as ``tuned``, None where the shipped model is it."""


@dataclass(frozen=True, slots=True)
class Learning:
    """When and how to retrain; times of the data's own clock, but for ``limit_s``.

    ``retrain_every_s``: the usual distance. ``cool_down_s``: the least distance, also when drift
    asks or an attempt failed. ``held_back_s``: the end of the history that is judged on;
    ``drift_held_back_s``: the same where drift asked, when little is known of the new times;
    half of what is learned is then from the last ``drift_lately_s`` before that.
    ``history_s``: how far back is learned from. ``watch`` intervals after a promotion the champion
    may be at most ``margin`` worse than the model it comes from. ``limit_s`` and ``memory_mib``:
    what the process may take; all others go before it, unless it is to ``hurry``.
    """

    retrain_every_s: float = 86_400.0
    cool_down_s: float = 6 * 3600.0
    held_back_s: float = 86_400.0
    drift_held_back_s: float = 6 * 3600.0
    drift_lately_s: float = 12 * 3600.0
    history_s: float = 28 * 86_400.0
    watch: int = 288
    margin: float = 0.01
    limit_s: int = 1800
    memory_mib: int = 4096
    steps: int | None = None
    hurry: bool = False


@dataclass(slots=True)
class _State:
    """What survives a restart.

    ``since_s``: data time since the last attempt, None before the first. ``failed``: whether that
    ended without a verdict. ``champion`` and for how many intervals it has been ``watched``.
    ``attempts`` so far, the seed of the next.
    """

    since_s: float | None = None
    failed: bool = False
    champion: str = SHIPPED
    watched: int = 0
    attempts: int = 0
    version: int = STATE_VERSION


class Learner:
    """The brain's side of learning; call ``start``, ``heed`` at every tick, and ``close``.

    ``counts``: ``retrained``, ``promoted``, ``refused``, ``failed``, ``rolled_back``, ``drift``
    (attempts that drift asked for), ``bad_model`` (files passed over). ``problem``: a line for the
    person on call, empty while all is well.
    """

    def __init__(
        self,
        registry: Registry,
        folder: Path,
        on_champion: OnChampion,
        *,
        wall: Callable[[], float],
        settings: Learning | None = None,
        kind: str = "demand",
        group: str = "all",
    ) -> None:
        """Keep history and state in ``folder``; ``wall`` tells seconds since 1970."""
        self.registry = registry
        self.settings = settings or Learning()
        self.counts: Counter[str] = Counter()
        self.problem = ""
        self._folder = folder
        self._on_champion = on_champion
        self._wall = wall
        self._key = kind, group
        self._state = _State()
        self._last: tuple[int, float] | None = None
        self._unsaved_s = 0.0
        self._log_seen = -1
        self._training: asyncio.Task[None] | None = None
        self._changing: asyncio.Task[None] | None = None
        self._offering = asyncio.Lock()

    @property
    def champion(self) -> str:
        """The version in use, SHIPPED for the model that comes with the program."""
        return self._state.champion

    @property
    def busy(self) -> bool:
        """Whether a retraining or a change of champion is under way."""
        return any(t is not None and not t.done() for t in (self._training, self._changing))

    def status(self) -> dict[str, Any]:
        """Return how learning is, for the brain's status."""
        return {
            "champion": self.champion or "shipped",
            "retraining": self._training is not None and not self._training.done(),
            "since_s": self._state.since_s,
            "problem": self.problem,
            **self.counts,
        }

    async def start(self) -> None:
        """Take up the state and the champion as they were; never fails."""
        self._state = await asyncio.to_thread(self._read)
        await asyncio.gather(self._begun(self._take_champion()), return_exceptions=True)

    async def close(self) -> None:
        """End what is under way; a process that retrains is killed."""
        tasks = [task for task in (self._training, self._changing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._write)

    def heed(
        self,
        history: NDArray[np.floating],
        names: Sequence[str],
        interval: int,
        step_s: float,
        outlook: Outlook,
    ) -> None:
        """Take note of a tick; begin in the background what is due.

        ``history``: [T, S], oldest first, NaN in gaps; its last row is number ``interval``.
        ``names``: [S]. ``step_s``: an interval in the data's own time.
        """
        self._pass(interval, step_s)
        if self._changing is None or self._changing.done():
            if self._worse(outlook):
                self._changing = self._begun(self._roll_back(outlook))
            elif self._log_changed():
                self._changing = self._begun(self._take_champion())
        drift = any(one.alarm for one in outlook.drift)
        if self._due(drift=drift) and (self._training is None or self._training.done()):
            self._begin(history, names, interval, step_s, outlook.horizons, drift=drift)

    def _begun(self, job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin a job in the background; what nobody thought of is said, and ends nothing else."""

        def ended(task: asyncio.Task[None]) -> None:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                self.counts["failed"] += 1
                self.problem = f"learning: {type(error).__name__}: {error}"
                LOG.error("%s", self.problem, exc_info=error)

        task = asyncio.create_task(job)
        task.add_done_callback(ended)
        return task

    # when

    def _pass(self, interval: int, step_s: float) -> None:
        """Count the intervals since the last tick; numbers that run backwards begin anew."""
        state = self._state
        if self._last is not None and self._last[1] == step_s and interval > self._last[0]:
            passed = interval - self._last[0]
            if state.since_s is not None:
                state.since_s += passed * step_s
            state.watched += passed
            self._unsaved_s += passed * step_s
        self._last = interval, step_s
        if self._unsaved_s >= SAVE_S:
            self._save()

    def _due(self, *, drift: bool) -> bool:
        since_s = self._state.since_s
        if since_s is None or since_s >= self.settings.retrain_every_s:
            return True
        return (drift or self._state.failed) and since_s >= self.settings.cool_down_s

    def _begin(
        self,
        history: NDArray[np.floating],
        names: Sequence[str],
        interval: int,
        step_s: float,
        horizons: tuple[int, ...],
        *,
        drift: bool,
    ) -> None:
        chosen = self.settings
        held_back_s = chosen.drift_held_back_s if drift else chosen.held_back_s
        count = max(1, round(chosen.history_s / step_s))
        part = history[-count:].astype(np.float32)
        # the process would say the same, only later
        if refusal(part[: max(0, len(part) - round(held_back_s / step_s))], step_s):
            return
        state = self._state
        state.since_s, state.failed, state.attempts = 0.0, False, state.attempts + 1
        self.counts["drift"] += drift
        LOG.info("retraining on %d intervals%s", len(part), ": drift" if drift else "")
        kept = History(tuple(names), part, step_s, (interval + 1 - len(part)) * step_s)
        job = Job(
            self._folder / "history.npz",
            self.registry.folder,
            *self._key,
            horizons,
            held_back_s,
            state.attempts,
            chosen.limit_s,
            chosen.memory_mib,
            chosen.steps,
            chosen.drift_lately_s if drift else None,
            chosen.hurry,
        )
        self._training = self._begun(self._retrain(kept, job))

    # what

    async def _retrain(self, history: History, job: Job) -> None:
        self.counts["retrained"] += 1
        try:
            await asyncio.to_thread(self._write_history, history, job.history)
            outcome = await run_job(job)
        except (ControllerError, FileError) as error:
            self.counts["failed"] += 1
            self._state.failed = True
            self.problem = str(error)
            LOG.error("%s; what is in use stays", error)
            self._save()
            return
        self.problem = ""
        word = "promoted" if outcome["promoted"] else "refused"
        self.counts[word] += 1
        LOG.warning("%s %s: %s", outcome["version"] or "no candidate", word, outcome["why"])
        if outcome["promoted"]:
            await self._take_champion()
        self._save()

    def _write_history(self, history: History, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"{path.parent}: {error.strerror}") from error
        save_history(history, path)

    async def _take_champion(self) -> None:
        """Load the registry's champion and offer it."""
        async with self._offering:  # who loaded first must not offer last
            self._log_changed()
            loaded = await asyncio.to_thread(self.registry.load, *self._key)
            for problem in loaded.problems:
                self.counts["bad_model"] += 1
                LOG.error("%s", problem)
            self.problem = loaded.problems[0] if loaded.problems else ""
            if loaded.version != self._state.champion:
                self._state.champion, self._state.watched = loaded.version, 0
            self._on_champion(None if loaded.version == SHIPPED else loaded.forecaster)
            self._save()

    # whether that was a good idea

    def _worse(self, outlook: Outlook) -> str:
        """Return in words how the champion is worse than its parent; nothing where it is not."""
        chosen = self.settings
        if self._state.champion == SHIPPED or self._state.watched < chosen.watch:
            return ""
        pairs = [(by[TUNED], by[PARENT]) for by in outlook.loss if TUNED in by and PARENT in by]
        ratios = [tuned / parent for tuned, parent in pairs if parent > 0.0]
        if not ratios or float(np.mean(ratios)) <= 1.0 + chosen.margin:
            return ""
        return f"{100 * (float(np.mean(ratios)) - 1):.1f} % more loss than {PARENT} since then"

    async def _roll_back(self, outlook: Outlook) -> None:
        why = self._worse(outlook)
        before = self._state.champion
        try:
            after = await asyncio.to_thread(
                lambda: self.registry.roll_back(*self._key, why=why, now_s=self._wall())
            )
        except RegistryError as error:
            self._state.watched = 0  # try again after as many intervals, not at every tick
            self.problem = str(error)
            LOG.error("%s could not be rolled back: %s", before, error)
            return
        self.counts["rolled_back"] += 1
        LOG.warning("%s rolled back to %s: %s", before, after or "the shipped model", why)
        await self._take_champion()

    def _log_changed(self) -> bool:
        """Whether the registry was written to since the last look, by whomever."""
        try:
            now = self.registry.log.stat().st_mtime_ns
        except OSError:
            now = -1
        changed = now != self._log_seen
        self._log_seen = now
        return changed

    # the state

    @property
    def _path(self) -> Path:
        return self._folder / "learning.json"

    def _read(self) -> _State:
        try:
            data = json.loads(self._path.read_text())
            if data["version"] != STATE_VERSION:
                raise ValueError(f"version {data['version']}")
            return _State(**data)
        except FileNotFoundError:
            return _State()
        except (OSError, ValueError, TypeError, KeyError) as error:
            LOG.error("%s cannot be read (%s): learning begins anew", self._path, error)
            return _State()

    def _save(self) -> None:
        self._unsaved_s = 0.0
        self._write()

    def _write(self) -> None:
        """Write the state, some hundred bytes, whole or not at all."""
        draft = self._path.with_suffix(".draft")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(asdict(self._state)))
            draft.replace(self._path)
        except OSError as error:
            self.problem = f"{self._path}: {error.strerror}"
            LOG.error("%s: after a restart learning begins anew", self.problem)

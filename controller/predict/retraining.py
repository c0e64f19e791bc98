"""The process that retrains: started by the brain, last in every queue, ended when it overruns."""

import asyncio
import contextlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.errors import ControllerError
from models.registry.limits import ONE_THREAD

GRACE_S = 30.0
"""How much longer than its limit the process may take before it is killed from outside."""

MODULE = "models.registry"
TOLD_BYTES = 4000
"""How much of what the process says is kept."""


@dataclass(frozen=True, slots=True)
class Job:
    """One retraining: files, what is judged, and limits of time (s) and memory (MiB)."""

    history: Path
    registry: Path
    kind: str
    group: str
    horizons: tuple[int, ...]
    held_back_s: float
    seed: int
    limit_s: int
    memory_mib: int
    steps: int | None = None
    lately_s: float | None = None
    hurry: bool = False

    def arguments(self) -> list[str]:
        """Return the command line's arguments."""
        steps = [] if self.steps is None else ["--steps", str(self.steps)]
        lately = [] if self.lately_s is None else ["--lately-s", repr(self.lately_s)]
        return [
            *("--history", str(self.history), "--registry", str(self.registry)),
            *("--kind", self.kind, "--group", self.group),
            *("--horizons", ",".join(str(one) for one in self.horizons)),
            *("--held-back-s", repr(self.held_back_s), "--seed", str(self.seed)),
            *("--limit-s", str(self.limit_s), "--memory-mib", str(self.memory_mib)),
            *steps,
            *lately,
            *(["--hurry"] if self.hurry else []),
        ]


async def run_job(job: Job, *, grace_s: float = GRACE_S) -> dict[str, Any]:
    """Run a retraining in a process of its own and return its outcome (models.registry.Outcome).

    The process is killed when it overruns, and when this coroutine is cancelled.

    Raises:
        ControllerError: it failed, overran, or said nothing that can be read.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", MODULE, *job.arguments()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **ONE_THREAD},
        )
    except OSError as error:
        raise ControllerError(f"retraining could not be started: {error.strerror}") from error
    try:
        said, told = await asyncio.wait_for(process.communicate(), job.limit_s + grace_s)
    except TimeoutError as error:
        raise ControllerError(f"retraining took longer than {job.limit_s} s") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    lines = told[-TOLD_BYTES:].decode(errors="replace").strip().splitlines()
    if process.returncode:
        last = lines[-1] if lines else f"status {process.returncode}"
        raise ControllerError(f"retraining failed: {last}")
    try:
        outcome = json.loads(said.decode().strip().splitlines()[-1])
        return {
            "promoted": bool(outcome["promoted"]),
            "version": str(outcome["version"]),
            "why": str(outcome["why"]),
        }
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise ControllerError(f"retraining said nothing that can be read: {error!r}") from error

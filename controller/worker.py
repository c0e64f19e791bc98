"""The decide worker: runs ``plan`` in a process of its own, and is started again when it dies.

It also reckons what came of earlier plans, between two decisions.

``plan`` is a pure function, so a lost answer is asked for again and nothing is lost with it. The
pipe carries pickles between these two processes only.
"""

import asyncio
import contextlib
import pickle
import struct
import sys
from collections.abc import Callable
from typing import Any

from controller.errors import ControllerError
from controller.journal import Realised
from controller.state import Forecast, Plan, Policies, Snapshot

_LENGTH = struct.Struct("!I")
TRIES = 2
HANGS_S = 60.0
"""A worker that has not answered for so long is not late: it hangs."""
PLAN, REALISED = "plan", "outcome"


class DecideWorker:
    """A handle on the worker process."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._late: asyncio.Task[Any] | None = None
        self._asked_s = 0.0
        self.restarts = -1

    @property
    def pid(self) -> int | None:
        """The worker's process id while it lives."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """Start the worker unless it lives."""
        if self.pid is not None:
            return
        self.restarts += 1
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "controller.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )

    async def plan(
        self,
        snapshot: Snapshot,
        forecast: Forecast,
        policies: Policies,
        previous: Plan | None,
        *,
        timeout_s: float,
    ) -> Plan:
        """Return the plan; a worker that dies is replaced and asked once more.

        Raises:
            ControllerError: no answer in time, or the function itself failed.
        """
        answer = await self._answer(PLAN, (snapshot, forecast, policies, previous), timeout_s)
        if isinstance(answer, Plan):
            return answer
        raise ControllerError(f"planning failed: {answer}")

    async def realised(self, *question: Any, timeout_s: float) -> Realised:
        """Return what came of a plan; takes what ``controller.report.realised`` takes.

        Raises:
            ControllerError: no answer in time, or the function itself failed.
        """
        answer = await self._answer(REALISED, question, timeout_s)
        if isinstance(answer, Realised):
            return answer
        raise ControllerError(f"what came of the plan is not known: {answer}")

    async def _answer(self, kind: str, arguments: tuple[Any, ...], timeout_s: float) -> Any:
        """Ask, one question at a time; a worker that dies is replaced and asked once more."""
        question = pickle.dumps((kind, arguments))
        async with self._turn:
            for _ in range(TRIES):
                try:
                    return await asyncio.wait_for(self._in_turn(question), timeout_s)
                except TimeoutError as error:
                    raise ControllerError(f"no {kind} within {timeout_s:.1f} s") from error
                except (asyncio.IncompleteReadError, ConnectionError):
                    with contextlib.suppress(ProcessLookupError):
                        await self._wait()
        raise ControllerError(f"the decide worker died twice over one {kind}")

    async def _in_turn(self, question: bytes) -> Any:
        """Ask when the worker is free.

        One that is late goes on: what it learns of a new topology makes the next answer fast, and
        a new worker would have to learn it again. Its late answer is of no use to anybody. Only
        one that hangs is replaced.
        """
        late = self._late
        if late is not None:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await asyncio.wait({late}, timeout=max(0.0, self._asked_s + HANGS_S - _now()))
            if not late.done():
                self.kill()
                late.cancel()
            self._late = None
        await self.start()
        job = self._late = asyncio.create_task(self._ask(question))
        job.add_done_callback(_noted)
        self._asked_s = _now()
        answer = await asyncio.shield(job)
        self._late = None
        return answer

    async def _ask(self, question: bytes) -> Any:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise ConnectionError
        process.stdin.write(_LENGTH.pack(len(question)) + question)
        await process.stdin.drain()
        (size,) = _LENGTH.unpack(await process.stdout.readexactly(_LENGTH.size))
        return pickle.loads(await process.stdout.readexactly(size))

    async def _wait(self) -> None:
        if self._process is not None:
            self.kill()
            await self._process.wait()

    def kill(self) -> None:
        """End the worker; the next question starts a new one."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _noted(job: "asyncio.Task[Any]") -> None:
    """Take note of a late answer's error, which nobody waits for."""
    if not job.cancelled():
        job.exception()


def main() -> None:
    """Be the worker: read questions, write plans, until the brain closes the pipe."""
    import signal

    from controller.decide import plan
    from controller.report.realised import realised

    jobs: dict[str, Callable[..., Plan | Realised]] = {PLAN: plan, REALISED: realised}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while len(header := source.read(_LENGTH.size)) == _LENGTH.size:
        question = pickle.loads(source.read(_LENGTH.unpack(header)[0]))
        answer: Plan | Realised | str
        try:
            kind, arguments = question
            answer = jobs[kind](*arguments)
        except Exception as error:  # the brain goes on with the previous plan and says why
            answer = f"{type(error).__name__}: {error}"
        data = pickle.dumps(answer)
        sink.write(_LENGTH.pack(len(data)) + data)
        sink.flush()


if __name__ == "__main__":
    main()

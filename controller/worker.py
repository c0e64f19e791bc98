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
PLAN, REALISED = "plan", "outcome"


class DecideWorker:
    """A handle on the worker process."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
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
                await self.start()
                try:
                    return await asyncio.wait_for(self._ask(question), timeout_s)
                except TimeoutError as error:
                    self.kill()
                    raise ControllerError(f"no {kind} within {timeout_s:.1f} s") from error
                except (asyncio.IncompleteReadError, ConnectionError):
                    with contextlib.suppress(ProcessLookupError):
                        await self._wait()
        raise ControllerError(f"the decide worker died twice over one {kind}")

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

"""A predictor worker: answers shards of forecasts and keeps nothing between them."""

import asyncio
import logging
import math
import socket
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from os import getpid

import numpy as np

from bus import Bus
from bus.subjects import PREDICT, PREDICTORS
from controller.predict.shards import PAYLOAD_MAX, STEPS_MAX, WIRE, compute, identity
from headers.messages import ForecastAnswer, ForecastAsk, MessageError
from models import QUANTILES, Forecaster

LOG = logging.getLogger("foresteer.predictor")

WAITING_MAX = 64
"""Shards that may wait for their turn; further ones are better off elsewhere."""

HORIZONS_MAX = 64


class _RefusedError(Exception):
    """Not to be answered; ``reason`` is the name of the counter that it goes to."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def check_ask(ask: ForecastAsk) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Return the window [S, L] of a question that makes sense.

    Raises:
        _RefusedError: sizes that do not agree or are out of bounds, or no numbers where there
            should be some.
    """
    if not 0 < len(ask.forecasters) <= 64:
        raise _RefusedError("shape", f"{len(ask.forecasters)} forecasters")
    if ask.series < 1 or ask.length < 1 or ask.series * ask.length * 4 != len(ask.window):
        raise _RefusedError(
            "shape", f"{len(ask.window)} bytes are no window of {ask.series} x {ask.length}"
        )
    good = 0 < len(ask.horizons) <= HORIZONS_MAX and len(set(ask.horizons)) == len(ask.horizons)
    if not good or not all(1 <= h <= STEPS_MAX for h in ask.horizons):
        raise _RefusedError("shape", f"horizons {ask.horizons[:HORIZONS_MAX]}")
    if not (math.isfinite(ask.step_s) and ask.step_s > 0.0 and ask.patience_s > 0.0):
        raise _RefusedError("shape", f"steps of {ask.step_s} s, patience of {ask.patience_s} s")
    answer = ask.series * len(ask.horizons) * len(QUANTILES) * len(ask.forecasters) * 4
    if answer > PAYLOAD_MAX:
        raise _RefusedError("large", f"an answer of {answer} bytes; at most {PAYLOAD_MAX} fit")
    return np.frombuffer(ask.window, dtype=WIRE).reshape(ask.series, ask.length)


class Worker:
    """Answers shards, one at a time, in a thread.

    ``counts``: shards ``answered``, ``failed`` ones (a forecaster raised), and refused ones by
    reason: ``garbage``, ``shape``, ``large``, ``unknown`` (no such forecaster), ``model`` (another
    one), ``busy``, ``twice`` (it is here already: elsewhere it helps), ``late`` (nobody waits for
    it any more).
    """

    def __init__(self, forecasters: Sequence[Forecaster], name: str = "") -> None:
        self.name = name or f"{socket.gethostname()}-{getpid()}"
        self.counts: Counter[str] = Counter()
        self._forecasters = {one.name: one for one in forecasters}
        self._thread = ThreadPoolExecutor(1, "predict")
        self._turn = asyncio.Lock()
        self._taken: set[str] = set()

    async def join(self, bus: Bus) -> None:
        """Become a member of the queue group.

        Raises:
            BusError: the bus is away.
        """
        await bus.subscribe(
            PREDICT, self.answer, queue=PREDICTORS, at_once=True, refuse=self.refuse_garbage
        )

    def refuse_garbage(self, error: MessageError) -> ForecastAnswer:
        """Answer to bytes that are no message."""
        return self._refusal("", _RefusedError("garbage", str(error)))

    async def answer(self, ask: object) -> ForecastAnswer:
        """Return the answer to a message, whatever it is."""
        if not isinstance(ask, ForecastAsk):
            return self._refusal("", _RefusedError("garbage", f"a {type(ask).__name__}"))
        try:
            return await self._found(ask)
        except _RefusedError as refused:
            return self._refusal(ask.request, refused)

    def _refusal(self, request: str, refused: _RefusedError) -> ForecastAnswer:
        self.counts[refused.reason] += 1
        detail = str(refused)[:300]
        return ForecastAnswer(request, self.name, {}, {}, refused.reason, detail)

    def _chosen(self, ask: ForecastAsk) -> list[Forecaster]:
        chosen = []
        for name, wanted in ask.forecasters.items():
            forecaster = self._forecasters.get(name)
            if forecaster is None:
                raise _RefusedError("unknown", f"there is no forecaster {name!r} here")
            here = identity(forecaster)
            if here != wanted:
                raise _RefusedError("model", f"{name} is {here[:16]} here, not {wanted[:16]}")
            chosen.append(forecaster)
        return chosen

    async def _found(self, ask: ForecastAsk) -> ForecastAnswer:
        window = check_ask(ask)
        chosen = self._chosen(ask)
        if len(self._taken) >= WAITING_MAX:
            raise _RefusedError("busy", f"{len(self._taken)} shards wait already")
        if ask.request in self._taken:
            raise _RefusedError("twice", "it is being worked on here")
        loop = asyncio.get_running_loop()
        too_late = loop.time() + ask.patience_s
        self._taken.add(ask.request)
        try:
            async with self._turn:
                if loop.time() > too_late:
                    raise _RefusedError("late", f"its {ask.patience_s:g} s are over")
                found, errors = await loop.run_in_executor(
                    self._thread, compute, chosen, window, ask.horizons, ask.step_s
                )
        finally:
            self._taken.discard(ask.request)
        self.counts["failed" if errors else "answered"] += 1
        quantiles = {name: values.tobytes() for name, values in found.items()}
        return ForecastAnswer(ask.request, self.name, quantiles, errors)

    def close(self) -> None:
        """Let the thread go."""
        self._thread.shutdown(wait=False)


async def serve(bus: Bus, worker: Worker, stop: asyncio.Event) -> None:
    """Answer until ``stop`` is set, then answer what is here already and leave.

    Raises:
        BusError: the bus is away.
    """
    await worker.join(bus)
    LOG.info("%s: ready", worker.name)
    await stop.wait()
    await bus.drain()
    worker.close()
    told = ", ".join(f"{name} {count}" for name, count in sorted(worker.counts.items()))
    LOG.info("%s: left (%s)", worker.name, told or "nothing was asked")

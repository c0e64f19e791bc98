"""The brain's side of the predictor workers: shards go out, and every one comes back.

A shard goes to the queue group. If its answer is late it goes out once more, and when half of the
time is over the brain computes it itself; the first good answer counts and later ones are dropped.
Where nobody listens, all is computed here at once. A worker can die, hang, be of another version
or talk nonsense at any moment, and no forecast is lost with it.
"""

import asyncio
import itertools
import logging
import secrets
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from bus import Bus, BusError
from bus.errors import NobodyError
from bus.subjects import PREDICT
from controller.predict.shards import (
    WIRE,
    Answers,
    Array,
    Errors,
    Shard,
    Window,
    compute,
    identity,
    join,
    narrow,
    shards_of,
    split,
    splits,
)
from headers.messages import ForecastAnswer, ForecastAsk, MessageError
from models import QUANTILES, Forecaster

LOG = logging.getLogger("foresteer.predict.pool")

DEADLINE_S = 1.0
"""By then every forecast should be there, whatever happens to workers."""

HEDGE_PART = 0.2
"""Part of the deadline after which a shard is asked for once more."""

LOCAL_PART = 0.4
"""Part of the deadline after which the brain computes what has not come."""

TRIES = 3
"""How often a shard is asked for before only the brain is left."""

IN_FLIGHT_EACH = 3
"""Shards on their way per worker that is known: enough to keep it busy, few to lose."""

IN_FLIGHT_LEAST = 6
KNOWN_S = 10.0
"""A worker that has not answered for so long is not counted."""


@dataclass(slots=True)
class _Tick:
    """One question, while it is being answered."""

    forecasters: tuple[Forecaster, ...]
    window: Window
    horizons: tuple[int, ...]
    step_s: float
    began_s: float
    lanes: asyncio.Semaphore
    alone: asyncio.Event = field(default_factory=asyncio.Event)
    done: set[Shard] = field(default_factory=set)
    errors: Errors = field(default_factory=dict)

    def part(self, shard: Shard) -> Window:
        return self.window[shard.start : shard.stop]


Found = dict[str, Window]


class Pool:
    """Forecasts by workers where there are any, and by itself where there are none.

    ``counts``: ``remote`` and ``local`` shards by who answered first, ``again`` (asked for once
    more because the answer was late), ``bad`` (answers that were nonsense), ``lost`` (no answer),
    and refusals by their reason, as ``refused_REASON``.
    """

    def __init__(
        self, bus: Bus | None, forecasters: Sequence[Forecaster], *, deadline_s: float = DEADLINE_S
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._bus = bus
        self._forecasters = {one.name: one for one in forecasters}
        self._deadline_s = deadline_s
        self._thread = ThreadPoolExecutor(2, "predict-local")
        self._numbers = itertools.count()
        self._name = secrets.token_hex(6)
        self._seen: dict[str, float] = {}

    @property
    def workers(self) -> tuple[str, ...]:
        """Who answered lately."""
        now = asyncio.get_running_loop().time()
        return tuple(name for name, at in self._seen.items() if now - at < KNOWN_S)

    def close(self) -> None:
        """Let the thread go."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def forecast(
        self, names: Sequence[str], window: Array, horizons: tuple[int, ...], step_s: float
    ) -> tuple[Answers, Errors]:
        """Return quantiles [S, H, Q] by forecaster, and by name why a forecaster has none.

        ``window``: [S, L], oldest first, NaN in gaps. The answers are those of ``ask_local``.
        Shards that workers do not answer in time are computed here, so there is always an answer;
        by the deadline as far as this machine can.
        """
        known = [self._forecasters[name] for name in names if name in self._forecasters]
        errors = {name: "no such forecaster" for name in names if name not in self._forecasters}
        apart = tuple(one for one in known if splits(one))
        whole = [one for one in known if not splits(one)]
        narrowed = narrow(window)
        loop = asyncio.get_running_loop()
        lanes = asyncio.Semaphore(max(IN_FLIGHT_LEAST, IN_FLIGHT_EACH * len(self.workers)))
        tick = _Tick(apart, narrowed, horizons, step_s, loop.time(), lanes)
        if not self._can_ask(tick):
            tick.alone.set()
        shards = shards_of(narrowed, len(apart), horizons) if apart else ()
        together = [asyncio.create_task(self._shard(tick, shard)) for shard in shards]
        # while the workers are busy the brain has time for those that cannot be split
        here = loop.run_in_executor(self._thread, compute, whole, narrowed, horizons, step_s)
        try:
            found, wrong = await here
            parts = list(zip(shards, await asyncio.gather(*together), strict=True))
        finally:
            for task in together:
                task.cancel()
        errors |= wrong | tick.errors
        answers = join([(Shard(0, len(narrowed)), found)], found, len(narrowed))
        answers |= join(parts, (one.name for one in apart), len(narrowed))
        return {name: answers[name] for name in answers if name not in errors}, errors

    def _can_ask(self, tick: _Tick) -> bool:
        if self._bus is None or not self._bus.connected or tick.window.ndim != 2:
            return False
        return bool(split(1, tick.window.shape[1], len(tick.forecasters), len(tick.horizons)))

    async def _shard(self, tick: _Tick, shard: Shard) -> Found:
        """Return a shard's quantiles, from whoever has them first."""
        remote = asyncio.create_task(self._remote(tick, shard))
        local: asyncio.Future[Found] | None = None
        try:
            left = tick.began_s + LOCAL_PART * self._deadline_s - asyncio.get_running_loop().time()
            await asyncio.wait({remote}, timeout=max(left, 0.0))
            found = remote.result() if remote.done() else None
            if found is not None:
                return self._first("remote", tick, shard, found)
            local = asyncio.ensure_future(self._local(tick, shard))
            await asyncio.wait({remote, local}, return_when=asyncio.FIRST_COMPLETED)
            found = remote.result() if remote.done() else None
            if found is not None:
                return self._first("remote", tick, shard, found)
            return self._first("local", tick, shard, await local)
        finally:
            tick.done.add(shard)
            remote.cancel()
            if local is not None:
                local.cancel()

    def _first(self, who: str, tick: _Tick, shard: Shard, found: Found) -> Found:
        tick.done.add(shard)
        self.counts[who] += 1
        return found

    async def _local(self, tick: _Tick, shard: Shard) -> Found:
        def work() -> tuple[Found, Errors]:
            if shard in tick.done:
                return {}, {}
            sound = [one for one in tick.forecasters if one.name not in tick.errors]
            found, errors = compute(sound, tick.part(shard), tick.horizons, tick.step_s)
            tick.errors.update(errors)
            return found, errors

        found, _ = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        return found

    async def _remote(self, tick: _Tick, shard: Shard) -> Found | None:
        """Return what a worker found, or None when the brain had better do it itself."""
        async with tick.lanes:
            if tick.alone.is_set():
                return None
            ask = self._ask_of(tick, shard)
            running: set[asyncio.Task[Found | None]] = set()
            tries = 0
            try:
                while tries < TRIES or running:
                    if tries < TRIES:
                        running.add(asyncio.create_task(self._ask(tick, ask)))
                        tries += 1
                    hedge_s = HEDGE_PART * self._deadline_s if tries < TRIES else None
                    done, running = await asyncio.wait(
                        running, timeout=hedge_s, return_when=asyncio.FIRST_COMPLETED
                    )
                    for task in done:
                        if (found := task.result()) is not None:
                            return found or None
                    if tick.alone.is_set():
                        return None
                    if not done:
                        self.counts["again"] += 1
            finally:
                for task in running:
                    task.cancel()
        return None

    def _ask_of(self, tick: _Tick, shard: Shard) -> ForecastAsk:
        part = tick.part(shard)
        return ForecastAsk(
            f"{self._name}.{next(self._numbers)}",
            {one.name: identity(one) for one in tick.forecasters},
            part.shape[0],
            part.shape[1],
            part.tobytes(),
            tick.horizons,
            tick.step_s,
            self._deadline_s,
        )

    async def _ask(self, tick: _Tick, ask: ForecastAsk) -> Found | None:
        """Ask whichever worker gets it.

        None where there is no good answer, an empty one where asking again would not help.
        """
        if self._bus is None:
            return None
        try:
            answer = await self._bus.request(
                PREDICT, ask, timeout_s=2 * self._deadline_s, arrival_s=0.0
            )
        except NobodyError:
            tick.alone.set()
            return None
        except (BusError, MessageError) as error:
            self.counts["bad" if isinstance(error, MessageError) else "lost"] += 1
            LOG.warning("a shard without an answer: %s", error)
            return None
        return self._checked(ask, answer)

    def _checked(self, ask: ForecastAsk, answer: object) -> Found | None:
        """Return the quantiles of an answer that can be believed."""
        if not isinstance(answer, ForecastAnswer):
            self.counts["bad"] += 1
            return None
        if answer.refused:
            self.counts[f"refused_{answer.refused[:20]}"] += 1
            LOG.warning("%s refused a shard: %s", answer.worker[:80], answer.detail[:300])
            return None
        shape = (ask.series, len(ask.horizons), len(QUANTILES))
        if answer.errors:
            # what a forecaster says there is confirmed here
            self.counts["failed"] += 1
            return {}
        found = {}
        for name in ask.forecasters:
            data = answer.quantiles.get(name, b"")
            if len(data) != int(np.prod(shape)) * WIRE.itemsize:
                break
            values = np.frombuffer(data, dtype=WIRE).reshape(shape)
            # what is not finite compares false
            if not (np.isfinite(values).all() and (values[..., 0] >= 0.0).all()):
                break
            if (np.diff(values, axis=-1) < 0.0).any():
                break
            found[name] = values
        if answer.request != ask.request or len(found) < len(ask.forecasters):
            self.counts["bad"] += 1
            return None
        self._seen[answer.worker] = asyncio.get_running_loop().time()
        return found

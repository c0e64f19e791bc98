"""The brain's side of the predictor workers: shards go out, and every one comes back.

Shards go to the queue group, a few at a time. When none is left to send, those whose answer is
late go out once more; after a part of the deadline the brain computes along, from the end, and
what nobody has answered. The first good answer counts and later ones are dropped. Where nobody
listens, all is computed here at once. So a worker can die, hang, be of another version or talk
nonsense at any moment, and no forecast is lost with it; and when everything is slow, nothing is
computed twice before all has been begun once.
"""

import asyncio
import itertools
import logging
import secrets
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from bus import Bus, BusError
from bus.errors import NobodyError
from bus.subjects import PREDICT
from controller.predict.shards import (
    STEPS_MAX,
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
HEDGE_PART_MAX = 0.5
"""Parts of the deadline after which an answer is late: at the least, and at the most."""

HEDGE_USUAL = 2.5
"""Between them, an answer is late after so many times what answers usually take: on a machine that
is slow today, asking twice would make it slower."""

HELP_PART = 0.25
"""Part of the deadline after which the brain computes along."""

TRIES = 3
"""How often a shard is asked for before only the brain is left."""

IN_FLIGHT_EACH = 2
"""Shards on their way per worker: one in its hands, one in its queue."""

IN_FLIGHT_LEAST = 6
KNOWN_S = 10.0
"""A worker that has not answered for so long is not counted."""

Found = dict[str, Window]


@dataclass(slots=True)
class _Work:
    """One shard, while it is open: when it was asked for last, how often, and who works on it."""

    shard: Shard
    request: str
    asked_s: float = 0.0
    tries: int = 0
    here: bool = False
    found: Found | None = None


@dataclass(slots=True)
class _Tick:
    """One question, while it is being answered.

    ``fresh``: shards that nobody works on. ``alone``: nobody listens. ``running``: tasks, and
    whether they run here.
    """

    forecasters: tuple[Forecaster, ...]
    window: Window
    horizons: tuple[int, ...]
    step_s: float
    began_s: float
    alone: bool
    work: tuple[_Work, ...]
    fresh: deque[_Work]
    errors: Errors = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    running: dict[asyncio.Future[Found | None], tuple[_Work, bool]] = field(default_factory=dict)

    def part(self, work: _Work) -> Window:
        return self.window[work.shard.start : work.shard.stop]


class Pool:
    """Forecasts by workers where there are any, and by itself where there are none.

    ``counts``: ``remote`` and ``local`` shards by who answered first, ``again`` (asked for once
    more because the answer was late), ``bad`` (answers that were nonsense), ``failed`` (a
    forecaster failed there), ``lost`` (no answer), and refusals by reason, as ``refused_REASON``.
    """

    def __init__(
        self, bus: Bus | None, forecasters: Sequence[Forecaster], *, deadline_s: float = DEADLINE_S
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._bus = bus
        self._forecasters = {one.name: one for one in forecasters}
        self._deadline_s = deadline_s
        # one for what is split, one for what is not
        self._thread = ThreadPoolExecutor(2, "predict-local")
        self._numbers = itertools.count()
        self._name = secrets.token_hex(6)
        self._seen: dict[str, float] = {}
        self._usual_s = 0.0

    @property
    def workers(self) -> tuple[str, ...]:
        """Who answered lately."""
        now = asyncio.get_running_loop().time()
        return tuple(name for name, at in self._seen.items() if now - at < KNOWN_S)

    @property
    def _patience_s(self) -> float:
        """After how long an answer is late."""
        least, most = HEDGE_PART * self._deadline_s, HEDGE_PART_MAX * self._deadline_s
        return min(max(least, HEDGE_USUAL * self._usual_s), most)

    def close(self) -> None:
        """Let the threads go."""
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
        missing = {name: "no such forecaster" for name in names if name not in self._forecasters}
        whole = [one for one in known if not splits(one)]
        tick = self._tick(tuple(filter(splits, known)), narrow(window), horizons, step_s)
        # while the workers are busy the brain has time for those that cannot be split
        here = asyncio.get_running_loop().run_in_executor(
            self._thread, compute, whole, tick.window, horizons, step_s
        )
        try:
            await self._run(tick)
        finally:
            for task in tick.running:
                task.cancel()
        found, wrong = await here
        errors = missing | wrong | tick.errors
        series = len(tick.window)
        answers = join([(Shard(0, series), found)], found, series)
        parts = [(work.shard, work.found or {}) for work in tick.work]
        answers |= join(parts, (one.name for one in tick.forecasters), series)
        return {name: answers[name] for name in answers if name not in errors}, errors

    def _tick(
        self,
        forecasters: tuple[Forecaster, ...],
        window: Window,
        horizons: tuple[int, ...],
        step_s: float,
    ) -> _Tick:
        shards = shards_of(window, len(forecasters), horizons) if forecasters else ()
        # what no worker would take is left to the forecasters here, who say what is wrong with it
        fits = (
            window.ndim == 2
            and bool(split(len(window), window.shape[1], len(forecasters), len(horizons)))
            and all(isinstance(h, int | np.integer) and 1 <= h <= STEPS_MAX for h in horizons)
        )
        alone = self._bus is None or not self._bus.connected or not fits
        work = tuple(_Work(shard, f"{self._name}.{next(self._numbers)}") for shard in shards)
        began_s = asyncio.get_running_loop().time()
        fresh = deque(work)
        return _Tick(forecasters, window, horizons, step_s, began_s, alone, work, fresh)

    async def _run(self, tick: _Tick) -> None:
        """Keep workers and this process busy until every shard is there."""
        loop = asyncio.get_running_loop()
        while any(work.found is None for work in tick.work):
            now = loop.time()
            while not tick.alone and (work := self._to_send(tick, now)) is not None:
                work.asked_s, work.tries = now, work.tries + 1
                asking = asyncio.ensure_future(self._ask(tick, work))
                tick.running[asking] = (work, False)
            if (work := self._to_compute(tick, now)) is not None:
                work.here = True
                computing = asyncio.ensure_future(self._compute(tick, work))
                tick.running[computing] = (work, True)
            done, _ = await asyncio.wait(
                tick.running,
                timeout=self._next_s(tick, now),
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                self._take(tick, task)

    def _take(self, tick: _Tick, task: asyncio.Future[Found | None]) -> None:
        """Note what came, the first time that it comes."""
        work, here = tick.running.pop(task)
        found = task.result()
        if work.found is not None:
            return
        if found is not None:
            work.found = found
            self.counts["local" if here else "remote"] += 1
        elif not work.here and not any(other is work for other, _ in tick.running.values()):
            tick.fresh.appendleft(work)

    def _late(self, tick: _Tick, now: float) -> list[_Work]:
        """Return the shards whose answer is late, the oldest first."""
        since = now - self._patience_s
        late = [w for w in tick.work if w.found is None and w.tries and w.asked_s <= since]
        return sorted(late, key=lambda work: work.asked_s)

    def _to_send(self, tick: _Tick, now: float) -> _Work | None:
        """Return the shard to ask a worker for next, or None."""
        late_s = now - self._patience_s
        # what is late holds no lane: whoever has it may be dead
        flying = sum(work.asked_s > late_s for work, here in tick.running.values() if not here)
        if flying >= max(IN_FLIGHT_LEAST, IN_FLIGHT_EACH * len(self.workers)):
            return None
        for work in tick.fresh:
            if work.tries < TRIES:
                tick.fresh.remove(work)
                return work
        for work in self._late(tick, now):
            if work.tries < TRIES and not work.here:
                self.counts["again"] += 1
                return work
        return None

    def _to_compute(self, tick: _Tick, now: float) -> _Work | None:
        """Return the shard to compute here next, or None."""
        if any(here for _, here in tick.running.values()):
            return None
        for work in tick.fresh:
            if tick.alone or work.tries >= TRIES:
                tick.fresh.remove(work)
                return work
        if tick.alone or now >= tick.began_s + HELP_PART * self._deadline_s:
            if tick.fresh:
                return tick.fresh.pop()
            return next((work for work in self._late(tick, now) if not work.here), None)
        return None

    def _next_s(self, tick: _Tick, now: float) -> float | None:
        """Return in how many seconds there is something to do even if no answer comes."""
        moments = [tick.began_s + HELP_PART * self._deadline_s]
        moments += [
            work.asked_s + self._patience_s
            for work in tick.work
            if work.found is None and work.tries
        ]
        return min((at - now for at in moments if at > now), default=None)

    async def _compute(self, tick: _Tick, work: _Work) -> Found | None:
        sound = [one for one in tick.forecasters if one.name not in tick.errors]
        found, errors = await asyncio.get_running_loop().run_in_executor(
            self._thread, compute, sound, tick.part(work), tick.horizons, tick.step_s
        )
        tick.errors.update(errors)
        return found

    async def _ask(self, tick: _Tick, work: _Work) -> Found | None:
        """Ask whichever worker gets it; None where there is no good answer."""
        if self._bus is None:
            return None
        part = tick.part(work)
        ask = ForecastAsk(
            work.request,
            {one.name: identity(one) for one in tick.forecasters},
            part.shape[0],
            part.shape[1],
            part.tobytes(),
            tuple(int(horizon) for horizon in tick.horizons),
            float(tick.step_s),
            self._deadline_s,
        )
        asked_s = asyncio.get_running_loop().time()
        try:
            answer = await self._bus.request(
                PREDICT, ask, timeout_s=2 * self._deadline_s, arrival_s=0.0
            )
        except NobodyError:
            tick.alone = True
            return None
        except (BusError, MessageError) as error:
            self._count(tick, "bad" if isinstance(error, MessageError) else "lost", str(error))
            return None
        except Exception as error:  # whatever befalls the client, the brain can do without
            self._count(tick, "lost", f"{type(error).__name__}: {error}")
            return None
        if not isinstance(answer, ForecastAnswer):
            self._count(tick, "bad", f"a {type(answer).__name__}")
            return None
        found = self._believed(tick, ask, answer)
        if found is not None:
            now = asyncio.get_running_loop().time()
            self._seen[answer.worker] = now
            self._usual_s += 0.2 * (now - asked_s - self._usual_s)
        elif answer.errors:
            # what a forecaster says there is confirmed here, and nowhere else
            work.tries = TRIES
        return found

    def _believed(self, tick: _Tick, ask: ForecastAsk, answer: ForecastAnswer) -> Found | None:
        """Return the quantiles of an answer, if it is one."""
        who = answer.worker[:80]
        if answer.refused:
            self._count(tick, f"refused_{answer.refused[:20]}", f"{who}: {answer.detail[:300]}")
            return None
        if answer.errors:
            self._count(tick, "failed", f"{who}: {str(answer.errors)[:300]}")
            return None
        shape = (ask.series, len(ask.horizons), len(QUANTILES))
        found = {
            name: quantiles
            for name in ask.forecasters
            if (quantiles := _quantiles(answer.quantiles.get(name, b""), shape)) is not None
        }
        if answer.request != ask.request or len(found) < len(ask.forecasters):
            self._count(tick, "bad", f"{who}: no quantiles")
            return None
        return found

    def _count(self, tick: _Tick, reason: str, detail: str) -> None:
        self.counts[reason] += 1
        if reason not in tick.told:
            tick.told.add(reason)
            LOG.warning("a shard was not answered: %s: %s", reason, detail)


def _quantiles(data: bytes, shape: tuple[int, int, int]) -> Window | None:
    """Return the quantiles that the bytes hold, if they are as a forecaster's are."""
    if len(data) != int(np.prod(shape)) * WIRE.itemsize:
        return None
    values = np.frombuffer(data, dtype=WIRE).reshape(shape)
    # NaN compares false
    sound = bool(
        np.isfinite(values).all()
        and (values[..., 0] >= 0.0).all()
        and (values[..., 1:] >= values[..., :-1]).all()
    )
    return values if sound else None

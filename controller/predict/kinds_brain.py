"""Brings series, events and signals together for the brain: what it hears, pushes, forecasts."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bus import Bus, Clock
from bus.subjects import SERIES
from controller.config import Config
from controller.errors import ConfigError
from controller.observe.series import SeriesStore
from controller.observe.series_events import EventBook, EventError, planned
from controller.observe.series_feed import SeriesFeed
from controller.observe.series_kinds import KINDS, SENSITIVE, SIGNAL
from controller.observe.series_ring import Labels
from controller.observe.series_signals import SignalBook
from controller.predict.kinds import Kinds
from controller.predict.kinds_demands import Demands
from controller.predict.kinds_watch import Limits
from controller.predict.predictor import Predictor
from controller.state import Alarm, Forecast, SeriesForecast, Snapshot
from headers.files.network import Network
from headers.messages import AgentStatus, CounterReport, PortCounters, SeriesAnswer, SeriesPush
from models import Forecaster
from models.covariates import Announcement

LOG = logging.getLogger("foresteer.series")

SAMPLES_MOST = 10_000
"""Samples of one push."""

SHOWN_S = 3600.0
ALARM_S = 30.0
"""Alarms of at least so long ago are shown to the decision stage."""

URGENT = 2.0
"""From this severity on an alarm of a fast kind is an event: it does not wait for the tick."""


class SeriesDesk:
    """Everything of the brain that is about series beside the demands.

    Nothing here raises into the loop: what fails is counted in ``counts``.
    """

    def __init__(
        self, config: Config, clock: Clock, directory: Path, model: Forecaster | None
    ) -> None:
        settings = config.series
        fast_s = self._fast_s = settings.fast_ms / 1000.0 or 1.0
        self.config = config
        self.clock = clock
        self.counts: Counter[str] = Counter()
        self.store = SeriesStore(
            clock,
            slow_s=config.tick_s,
            fast_s=fast_s,
            permit=config.privacy.permit,
            retention_s=config.privacy.retention_s,
            most=settings.most,
        )
        self.events = EventBook(directory / "events.json")
        self.signals = SignalBook()
        self.kinds = Kinds(
            self.store,
            self.events,
            self.signals,
            slow_horizons_s=tuple(h * config.tick_s for h in config.horizons_steps),
            fast_horizons_s=settings.fast_horizons_s,
            data_step_s=config.data_step_s or config.tick_s,
            model=model,
            limits={
                kind: Limits(one.high, one.low, one.share)
                for kind, one in settings.thresholds.items()
            },
        )
        self.demands: Demands | None = None
        self._feed: SeriesFeed | None = None
        self._network: Network | None = None
        self._slow: asyncio.Task[None] | None = None
        self.wake: Callable[[str], None] = lambda _cause: None
        self._told: dict[tuple[str, str, str], float] = {}
        self._read_events(settings.events)

    def inform(self, predictor: Predictor) -> None:
        """Have the loop's own forecasts told what is known beforehand, and watch the demands."""
        tick_s = self.config.tick_s
        self.demands = Demands(predictor.chooser, self.events, self.signals, tick_s)
        predictor.inform = self.demands.inform

    def adopt(self, network: Network) -> None:
        """Take the network whose reports are to come."""
        if network != self._network:
            self._network, self._feed = network, SeriesFeed(self.store, network)

    def hear(self, what: Any, out_port: dict[str, tuple[int, int]] | None = None) -> None:
        """Take what an agent or the southbound said, if it is about series."""
        feed = self._feed
        if feed is None:
            return
        with self._counted("feed"):
            if isinstance(what, AgentStatus):
                feed.agent(what, self.clock.monotonic())
            elif isinstance(what, PortCounters):
                feed.ports(what, out_port or {})

    def tick(
        self, snapshot: Snapshot, rates: Mapping[str, float], reports: Sequence[CounterReport]
    ) -> None:
        """Take a tick's picture, and begin with its forecasts; they are there by the next.

        ``rates``: the links' measured loads in bit/s, by name.
        """
        if self._feed is not None:
            with self._counted("feed"):
                self._feed.links(snapshot.links, rates)
                self._feed.classes(reports)
                self._feed.engines(reports)
        if self._slow is None or self._slow.done():
            self._slow = asyncio.create_task(self.kinds.run(fast=False))

    async def attach(self, snapshot: Snapshot, interval: int, forecast: Forecast) -> Forecast:
        """Return the forecast with the other kinds', and the alarms, for the decision stage."""
        if self.demands is not None:
            watch = self.demands.alarms
            self.kinds.alarms.extend(await asyncio.to_thread(watch, snapshot, interval, forecast))
        since_s = self.clock.wall() - max(ALARM_S, 2.0 * self.config.tick_s)
        alarms = tuple(
            # ticks are remembered for longer than what is about users may be
            replace(alarm, name="") if alarm.kind in SENSITIVE else alarm
            for alarm in self.kinds.recent(since_s)
        )
        kinds = {k: one for k, one in self.kinds.latest.items() if k not in SENSITIVE}
        return replace(forecast, alarms=alarms, kinds=kinds)

    async def run_fast(
        self, ask: Callable[[], Awaitable[Sequence[CounterReport]]], stop: asyncio.Event
    ) -> None:
        """Forecast the fast kinds every ``fast_ms``; ask engines where they count services."""
        step_s = self.config.series.fast_ms / 1000.0
        due = self.clock.monotonic()
        while not stop.is_set():
            if not step_s:
                await stop.wait()
                return
            now = self.clock.monotonic()
            due = max(due + step_s, now)  # a late step is left out, not made up
            await self.clock.sleep_until(due)
            with self._counted("fast"):
                if self._feed is not None and self._feed.services:
                    self._feed.engines(await ask())
                await self.kinds.run(fast=True)
                self._tell()

    def _tell(self) -> None:
        """Wake the loop for urgent alarms of fast kinds that are new; once for each that lasts."""
        now = self.clock.monotonic()
        self._told = {key: at for key, at in self._told.items() if now - at < ALARM_S}
        fresh = []
        for alarm in self.kinds.recent(self.clock.wall() - 2.0 * self._fast_s):
            kind = KINDS.get(alarm.kind)
            if kind is None or not kind.fast or alarm.what == "low" or alarm.severity < URGENT:
                continue
            key = alarm.kind, alarm.name, alarm.what
            if key not in self._told:
                fresh.append(alarm)
            self._told[key] = now
        if fresh:
            worst = max(fresh, key=lambda alarm: alarm.severity)
            what = "is expected to be too high" if worst.what == "high" else f"shows a {worst.what}"
            self.counts["urgent"] += len(fresh)
            self.wake(f"{worst.kind.replace('_', ' ')} of {worst.name or 'all'} {what}")

    async def listen(self, bus: Bus) -> None:
        """Take pushes from the bus, and answer them."""

        async def take(body: Any) -> SeriesAnswer | None:
            return self.push(body) if isinstance(body, SeriesPush) else None

        await bus.subscribe(SERIES, take)

    def push(self, push: SeriesPush) -> SeriesAnswer:
        """Take samples from outside; what is refused is counted and told."""
        refused: Counter[str] = Counter()
        if len(push.samples) > SAMPLES_MOST:
            return SeriesAnswer(0, {"too_many": len(push.samples)})
        labels = Labels(push.source, push.destination)
        for time_s, value in push.samples:
            if push.kind == SIGNAL:
                reason = self.signals.put(push.name, time_s, value, self.clock.wall())
            else:
                reason = self.store.put(push.kind, push.name, value, time_s, labels, pushed=True)
            if reason:
                refused[reason] += 1
        return SeriesAnswer(len(push.samples) - refused.total(), dict(refused))

    def forget(self, kind: str, name: str | None) -> int:
        """Drop a series, a signal, or all of a kind, and what was made of it; return how many."""
        if kind != SIGNAL:
            return self.kinds.forget(kind, name)
        names = self.signals.names if name is None else (name,)
        return sum(self.signals.forget(one) for one in names)

    def names(self) -> Mapping[str, tuple[str, ...]]:
        """Return all series and signals by kind."""
        signals = {SIGNAL: self.signals.names} if self.signals.names else {}
        return {**self.store.names(), **signals}

    def labels(self, kind: str, name: str) -> Labels:
        """Return what a series is about."""
        return self.store.labels(kind, name)

    def latest(self) -> Mapping[str, SeriesForecast]:
        """Return the last forecasts by kind; nothing that must be forgotten is in them."""
        self.kinds.drop()
        return self.kinds.latest

    def past(self, kind: str, name: str, intervals: int) -> list[float]:
        """Return a series' last intervals, oldest first, NaN for gaps; empty if unknown."""
        found = self.store.history(kind)
        if found is None or name not in found[0]:
            return []
        names, values, _ = found
        return [float(x) for x in values[-intervals:, names.index(name)]]

    def alarms(self) -> tuple[Alarm, ...]:
        """Return the alarms of late, the worst first."""
        self.kinds.drop()
        return self.kinds.recent(self.clock.wall() - SHOWN_S)

    def permitted(self, kind: str) -> bool:
        """Whether series of a kind may be kept."""
        return kind not in SENSITIVE or kind in self.store.permit

    def announced(self) -> Mapping[str, tuple[Announcement, float]]:
        """Return events by number, each with how much of it is believed."""
        known = self.demands.known.events if self.demands else None
        return {
            number: (event, known.gain(event)[0] if known else 1.0)
            for number, event in self.events.numbered().items()
        }

    def announce(self, event: Announcement) -> str:
        """Take an event; return what it is called.

        Raises:
            EventError: it cannot be.
        """
        return self.events.put(event, self.clock.wall())

    def recall(self, number: str) -> bool:
        """Drop an event; return whether there was one."""
        return self.events.forget(number)

    def now_s(self) -> float:
        """Return seconds since the epoch."""
        return self.clock.wall()

    def status(self) -> dict[str, Any]:
        """Return counters, for the API."""
        meter = dict(self._feed.meter.counts) if self._feed else {}
        return {
            "store": dict(self.store.counts),
            "signals": dict(self.signals.counts),
            "events": dict(self.events.counts),
            "counters": meter,
            "forecasts": dict(self.kinds.counts),
            "failed": dict(self.counts + (self.demands.counts if self.demands else Counter())),
        }

    def close(self) -> None:
        """Let threads and tasks go."""
        if self._slow is not None:
            self._slow.cancel()
        self.kinds.close()

    def _read_events(self, path: Path | None) -> None:
        if path is None:
            return
        try:
            for event in planned(path):
                self.events.put(event, self.clock.wall())
        except (ConfigError, EventError) as error:
            self.counts["events_file"] += 1
            LOG.error("%s", error)

    @contextlib.contextmanager
    def _counted(self, where: str) -> Any:
        """Count and log what goes wrong, and go on."""
        try:
            yield
        except Exception as error:  # observation must not stop for a series
            self.counts[where] += 1
            if self.counts[where] == 1:
                LOG.error("%s: %s: %s", where, type(error).__name__, error)

"""The brain: one asyncio process with the loop, its connections and the API."""

import asyncio
import contextlib
import json
import logging
import os
import resource
import signal
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bus import Bus, BusError, Instance, SystemClock, logs
from bus.subjects import AGENT_STATUS, INVENTORY, agent_counters
from controller.act import Actor, Circuits, Firewall
from controller.config import Config
from controller.epochs import Epochs
from controller.errors import ControllerError, JournalError
from controller.hindsight import Hindsight
from controller.journal import Journal, as_kept
from controller.loop import Loop, Tick
from controller.memory import keep_plan, kept_plan, past_demands
from controller.observe import Agent, Collector
from controller.operators import OperatorBook
from controller.outside import Outside
from controller.page import access_of, page_socket, serve
from controller.policies import Picture, PolicyBook, PolicyDesk
from controller.predict import Learner, Learning, Predictor
from controller.predict.kinds_brain import SeriesDesk
from controller.predict.predictor import series_of
from controller.shadows import Shadows
from controller.southbound_link import SouthboundLink
from controller.state import Forecast, Outcome, Plan, Policies, Snapshot
from controller.surges import Surges
from controller.throttle import Throttle
from controller.worker import DecideWorker
from headers.errors import FileError, MessageError
from headers.files.network import Network, load_network, network_from_dict
from headers.messages import (
    AgentStatus,
    CounterReport,
    CounterRequest,
    LinkProbes,
    NetworkLinks,
    PortCounters,
)
from models import ForecastError
from models.registry import Registry

LOG = logging.getLogger("foresteer.brain")
SETTLE_S = 0.15
GRACE_S = 5.0
WATCH_S = 0.05
GATHER_S = 0.02
ENSURE_S = 1.0
JOURNALED = 500


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What the last decision was made from besides the tick's values, and what was decided."""

    policies: Policies
    previous: Plan | None
    plan: Plan


class Brain:
    """Puts the five stages together over the connections of one instance."""

    def __init__(self, instance: Instance, config: Config) -> None:
        self.instance = instance
        self.config = config
        self.clock = SystemClock()
        self.data_step_s = config.data_step_s or config.tick_s
        self.journal_file = Journal(instance.journal, config.journal_ticks, config.journal_mib)
        self.predictor = Predictor(config.horizons_steps)
        self.desk = SeriesDesk(
            config, self.clock, instance.directory, self.predictor.chooser.forecasters[-1]
        )
        self.desk.inform(self.predictor)
        self.desk.wake = self._wake
        self.learner = self._learner() if config.learning.enabled else None
        self.worker = DecideWorker()
        self.hindsight = Hindsight(self.worker, self.journal_file)
        self.book = OperatorBook()
        self.circuits = Circuits(self.book, self._plan_now)
        self.firewall = Firewall(self.circuits)
        self.policy_book = PolicyBook()
        self.policy_desk = PolicyDesk(
            self.policy_book, self.worker, self._picture, self._plan_now, self.clock.wall
        )
        self._asked: Asked | None = None
        self.southbound = SouthboundLink(
            instance.southbound_socket, self._hear_southbound, self._southbound_is_back
        )
        self.loop = Loop(self, self.clock, config.tick_s)
        look_s = config.routing.surge_ms / 1000.0
        self.surges = Surges(self.loop, self._counters, self._plan_now, look_s)
        self.epochs = Epochs(config.key_epoch_s)
        self.shadows = Shadows(self.clock, lambda: self.mode == "act")
        self.outside = Outside(config, instance, self.clock, self._opened)
        self.collector: Collector | None = None
        self.actor: Actor | None = None
        self.bus: Bus | None = None
        self.started_s = self.clock.monotonic()
        self.measured = False
        self.rates: dict[str, float] = {}
        self.shown_rates: dict[str, float] = {}
        self.packets: Counter[str] = Counter()
        self.applied_s = 0.0
        self.boundary_s = 0.0
        self.rule_errors = 0
        self.outcome: Outcome | None = None
        self.journaled: dict[int, int] = {}
        """The journal's numbers of the last decisions, by plan."""
        self.listeners: set[asyncio.Queue[Tick]] = set()
        self._event = asyncio.Event()
        self._cause = ""
        self._links: NetworkLinks | None = None
        self._refused: dict[str, int] = {}
        self._reports: list[CounterReport] = []

    def _learner(self) -> Learner:
        asked = self.config.learning
        return Learner(
            Registry(self.instance.directory / "models"),
            self.instance.directory / "learning",
            self.predictor.offer,
            wall=self.clock.wall,
            settings=Learning(
                retrain_every_s=asked.retrain_every_s,
                cool_down_s=asked.cool_down_s,
                limit_s=asked.limit_s,
                memory_mib=asked.memory_mib,
            ),
        )

    # the five stages

    async def observe(self, tick: int) -> Snapshot:
        """Read the counters and take the picture; a tick below 0 takes it without reading."""
        collector = self._known()
        now = self.clock.monotonic()
        if tick >= 0:
            last = collector.history.rows()[-1]
            reports = self._reports = await self._counters()
            spread = collector.spread(self.loop.plan)
            demands, self.measured = collector.meter.rates(reports, last, spread)
            self.packets = sum(
                (Counter(reasons) for report in reports for reasons in report.reasons.values()),
                Counter[str](),
            )
            self.rates = collector.link_rates(self.applied_s + SETTLE_S, now)
            # a link that could not be measured in so short a time is shown with its last rate
            self.shown_rates = {**self.shown_rates, **self.rates}
            if self.boundary_s:
                collector.history.append(demands)
            self.boundary_s = now
            self.surges.tick()
        collector.services = self.policy_book.shelf.services
        snapshot = collector.snapshot(self.clock.wall(), now, self.shown_rates)
        return replace(snapshot, surges=self.surges.rates(), external=self.outside.external())

    def _opened(self, service: str) -> Mapping[str, float]:
        """Return by location where a service's new connections go at present."""
        if self.collector is None:
            return {}
        return self.collector.opened_shares(service, self.clock.monotonic())

    async def predict(self, snapshot: Snapshot, tick: int) -> Forecast:
        """Have the forecasters asked, here or by workers."""
        try:
            forecast = await self.predictor.forecast(snapshot, tick)
        except ForecastError as error:
            raise ControllerError(f"no forecast: {error}") from error
        if tick >= 0:
            self.desk.tick(snapshot, self.rates, self._reports)
            if self.learner is not None and self.predictor.outlook is not None:
                history, names = await asyncio.to_thread(series_of, snapshot)
                step_s = snapshot.data_step_s
                self.learner.heed(history, names, tick, step_s, self.predictor.outlook)
        return await self.desk.attach(snapshot, tick, forecast)

    async def decide(self, snapshot: Snapshot, forecast: Forecast, previous: Plan | None) -> Plan:
        """Have the worker plan; without an answer the previous plan stands."""
        policies = self.policies()
        kept, expected = as_kept(snapshot, forecast)
        limit_s = max(0.5, self.config.tick_s * 0.6)
        try:
            plan = await self.worker.plan(kept, expected, policies, previous, timeout_s=limit_s)
        except ControllerError as error:
            if previous is None:
                raise
            LOG.error("the previous plan stands: %s", error)
            plan = replace(
                previous,
                method="previous",
                moved_buckets=0,
                reason=f"the previous plan stands: {error}",
            )
        self._asked = Asked(policies, previous, plan)
        return plan

    def policies(self) -> Policies:
        """Return what is configured, and what operators asked for since."""
        return self.policy_book.into(self._basis())

    def _basis(self) -> Policies:
        """Return the same without the layers of policies."""
        policies = self.book.wanted.into(self.config.policies())
        return replace(policies, frozen=True) if self.mode == "observe" else policies

    @property
    def mode(self) -> str:
        """What the brain may do: as an operator said last, else as configured."""
        return self.book.wanted.mode or self.config.mode

    def _picture(self) -> Picture | None:
        last = self.loop.last
        if last is None:
            return None
        snapshot = last.snapshot
        if self.collector is not None:
            self.collector.services = self.policy_book.shelf.services
            snapshot = replace(snapshot, services=self.collector.reachable())
        return Picture(snapshot, last.forecast, self._basis(), self.loop.plan)

    async def act(self, plan: Plan, previous: Plan | None) -> tuple[Outcome, Plan]:
        """Bring the network to the plan, unless only advice is wanted."""
        if self.actor is None or self.mode != "act":
            self.outside.pause()
            return Outcome(), plan
        outcome, plan = await self.actor.apply(plan, previous)
        self._known().take_refused(outcome.refused, self.clock.monotonic())
        self.applied_s = self.clock.monotonic()
        self.rule_errors += outcome.rule_errors
        self.outcome = outcome
        for error in outcome.errors:
            LOG.error("%s", error)
        await self.outside.take(plan, self._known().services)
        return outcome, plan

    async def journal(self, tick: Tick) -> None:
        """Write the decision down, tell the listeners, keep the plan for the next brain."""
        asked = self._asked
        try:
            number = self.journal_file.write(
                tick.snapshot,
                tick.forecast,
                tick.plan,
                tick.decision,
                observed=self.measured,
                link_rates_bps=self.rates,
                applied_s=self.applied_s,
                packets=self.packets,
                policies=asked.policies if asked else None,
                previous=asked.previous if asked else None,
                decided=asked.plan if asked and asked.plan is not tick.plan else None,
                event=tick.event,
            )
            self.journaled[tick.plan.number] = number
            self._note(tick, number)
            while len(self.journaled) > JOURNALED:
                del self.journaled[next(iter(self.journaled))]
            if not tick.event:
                self.hindsight.look(tick.number, tick.snapshot)
                policies = asked.policies if asked else self.policies()
                self.hindsight.remember(number, tick.number, tick.plan, tick.snapshot, policies)
        except JournalError as error:
            self._refuse("journal")
            LOG.error("%s", error)
        for queue in list(self.listeners):
            if not queue.full() and not tick.event:
                queue.put_nowait(tick)
        self._say()
        if self.bus is not None and self.actor is not None:
            with contextlib.suppress(BusError):
                await keep_plan(self.bus, self.actor.term, tick.plan)

    def _note(self, tick: Tick, number: int) -> None:
        """Say in the log what the journal's number of a decision is, and what it did."""
        made, actor = tick.decision, self.actor
        outcome = made.outcome
        quiet = not (tick.event or outcome.buckets_moved or outcome.errors)
        LOG.log(
            logging.DEBUG if quiet else logging.INFO,
            "%s journal=%d tick=%d plan=%d event=%r: %s",
            logs.decision_id(actor.term if actor else 0, actor.generation if actor else 0),
            number,
            tick.number,
            tick.plan.number,
            tick.event,
            outcome,
        )

    # observation

    def _known(self) -> Collector:
        if self.collector is None:
            raise ControllerError("no network is known yet")
        return self.collector

    async def _counters(self) -> list[CounterReport]:
        collector = self._known()

        async def one(name: str) -> CounterReport | None:
            try:
                reply = await self._connected().request(
                    agent_counters(name), CounterRequest(), timeout_s=0.3
                )
            except (BusError, MessageError):
                self._refuse("counters_missing")
                return None
            return reply if isinstance(reply, CounterReport) else None

        replies = await asyncio.gather(*(one(name) for name in list(collector.agents)))
        return [reply for reply in replies if reply is not None]

    def _connected(self) -> Bus:
        if self.bus is None:
            raise BusError("the bus is not there yet")
        return self.bus

    def _refuse(self, reason: str) -> None:
        self._refused[reason] = self._refused.get(reason, 0) + 1

    def _hear_southbound(self, body: Any) -> None:
        collector = self.collector
        if isinstance(body, NetworkLinks):
            self._links = body
            if collector is None:
                return
            hosts = dict(collector.hosts)
            away = {s.dpid for s in body.switches} - set(collector.switches)
            if collector.take_network(body):
                self._wake("links changed")
            elif hosts != collector.hosts:
                self._wake("hosts changed")
            elif away:
                self._wake("switches came")
            self._say()
        elif isinstance(body, PortCounters) and collector is not None:
            collector.take_counters(body)
            self.desk.hear(body, collector.out_port)
        elif isinstance(body, LinkProbes) and collector is not None:
            collector.take_probes(body)

    def _southbound_is_back(self) -> None:
        self._wake("the southbound is there")
        self._say()

    async def _hear_agent(self, status: Any) -> None:
        collector = self.collector
        if not isinstance(status, AgentStatus):
            return
        known = collector.agents.get(status.agent) if collector is not None else None
        if collector is None or known is None or known.started_s != status.started_s:
            await self._take_inventory()
            collector = self.collector
            if collector is None:
                return
            self._wake(f"agent {status.agent} started")
        collector.agents[status.agent] = Agent(
            status.agent,
            status.engines,
            status.started_s,
            status.generation,
            self.clock.monotonic(),
            status.epoch,
            status.alarms,
        )
        collector.take_status(status, self.clock.monotonic())
        self.shadows.hear(status)
        self.desk.hear(status)

    async def freeze(self, *, frozen: bool) -> None:
        """Hold everything but what must move, or let go.

        Raises:
            RequestError: that cannot be kept.
        """
        await self.book.change(replace(self.book.wanted, frozen=frozen))
        await self._plan_now("frozen by an operator" if frozen else "let go by an operator")

    async def change_mode(self, mode: str) -> None:
        """Observe, advise or act from now on.

        Raises:
            RequestError: that cannot be kept.
        """
        await self.book.change(replace(self.book.wanted, mode=mode))
        await self._plan_now(f"an operator said: {mode}")

    async def _plan_now(self, cause: str) -> Plan | None:
        """Go round at once; return the plan in force."""
        await self.loop.react(cause)
        self._say()
        return self.loop.plan

    def _wake(self, cause: str) -> None:
        self._cause = cause
        self._event.set()

    # start and run

    async def _take_inventory(self) -> None:
        """Learn the network from the store, else from the instance's directory."""
        content: bytes | None = None
        with contextlib.suppress(BusError):
            content = await self._connected().get(INVENTORY)
        try:
            if content is not None:
                network = network_from_dict(json.loads(content), "the inventory")
            elif self.instance.network_file.exists():
                network = load_network(self.instance.network_file)
            else:
                return
        except (FileError, ValueError) as error:
            self._refuse("inventory")
            LOG.error("%s", error)
            return
        if self.collector is None or self.collector.network != network:
            await self._adopt(network)

    async def _adopt(self, network: Network) -> None:
        """Begin with a network: its history, the plan that is in force, the term after the last."""
        collector = Collector(network, self.config.tick_s, self.data_step_s)
        if self.collector is not None:
            collector.agents = self.collector.agents
        try:
            given = self.instance.directory / "history.npz"
            collector.history.extend(past_demands(given, self.journal_file, network))
        except (FileError, JournalError) as error:
            self._refuse("history")
            LOG.error("%s", error)
        if self._links is not None:
            collector.take_network(self._links)
        try:
            term, plan = await kept_plan(self._connected(), network)
        except (BusError, ValueError) as error:
            # a term that is surely later than any before
            term, plan = int(self.clock.wall()), None
            self._refuse("kept_plan")
            LOG.error("no plan to go on from: %s", error)
        self.collector = collector
        self.surges.adopt(network)
        self.desk.adopt(network)
        self.loop.plan, self.loop.last = plan, None
        self.actor = Actor(
            collector,
            self.southbound,
            self._connected(),
            term + 1,
            epochs=self.epochs,
            clock=self.clock,
        )
        self.shadows.adopt(network, term + 1)
        snapshot = collector.snapshot(self.clock.wall(), self.clock.monotonic(), {})
        await asyncio.to_thread(self.predictor.warm_up, snapshot, -1)
        LOG.info("network %s, %d locations, term %d", network.name, len(collector.nodes), term + 1)

    def _complete(self) -> bool:
        return self.collector is not None and self.collector.complete(self.clock.monotonic())

    @property
    def ready(self) -> bool:
        """Whether the whole network is there and holds the plan."""
        if self.mode != "act":
            return self._complete()
        return (
            self._complete()
            and self.outcome is not None
            and not self.outcome.errors
            and not self.outcome.rule_errors
        )

    def status(self) -> Mapping[str, Any]:
        """Return how the brain is."""
        last = self.loop.last
        collector = self.collector
        return {
            "ready": self.ready,
            "tick": last.number if last else None,
            "skipped_ticks": self.loop.skipped,
            "max_utilisation": last.plan.max_utilisation if last else 0.0,
            "moved_buckets": last.plan.moved_buckets if last else 0,
            "decide_ms": last.decision.decide_ms if last else 0.0,
            "rule_errors": self.rule_errors,
            "term": self.actor.term if self.actor else 0,
            "generation": self.actor.generation if self.actor else 0,
            "mode": self.mode,
            "frozen": self.book.wanted.frozen,
            "policy_version": self.policy_book.layers.version,
            "circuits_asked_for": len(self.book.wanted.circuits),
            "surges": self.surges.found,
            "regret": self.hindsight.last.regret if self.hindsight.last else None,
            "network": collector.network.name if collector else None,
            "synthetic": collector.network.synthetic if collector else None,
            "southbound": self.southbound.up,
            "bus": bool(self.bus and self.bus.connected),
            "switches": len(collector.switches) if collector else 0,
            "hosts": len(collector.hosts) if collector else 0,
            "key_epoch": self.epochs.present.number if self.epochs.present else None,
            "alarms": [
                f"{agent.name}: {alarm}"
                for agent in (collector.agents.values() if collector else ())
                for alarm in agent.alarms
            ],
            "model_problem": self.predictor.problem,
            "learning": self.learner.status() if self.learner is not None else None,
            "decide_pid": self.worker.pid,
            "decide_restarts": self.worker.restarts,
            "refused": dict(self._refused),
            "services": len(collector.services) if collector else 0,
            "unserved": list(self.actor.unserved) if self.actor else [],
            "series": self.desk.status(),
            "outside": self.outside.status(),
            "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }

    def _say(self) -> None:
        with contextlib.suppress(OSError):
            self.instance.save_state(
                {**self.status(), "time": self.clock.wall(), "pid": os.getpid(), "page": self.page}
            )

    page = ""

    async def _watch(self, stop: asyncio.Event) -> None:
        """Act on events: plan at first sight of the network, and again when it changes."""
        throttle = Throttle(GATHER_S, self.config.tick_s)
        while not stop.is_set():
            await self._event.wait()
            # events come in flocks: one answer for all
            await asyncio.sleep(throttle.pause_s(self.clock.monotonic()))
            self._event.clear()
            began = self.clock.monotonic()
            try:
                if self.loop.last is None:
                    await self._first()
                else:
                    await self.loop.react(self._cause)
                self._say()
            except (ControllerError, BusError) as error:
                LOG.error("%s: %s", self._cause, error)
            throttle.answered(began, self.clock.monotonic())

    async def _first(self) -> None:
        """Bring up the network before the first tick: a plan on what history says.

        It waits for the whole network, but not for ever: what is missing then may come later.
        """
        deadline = self.clock.monotonic() + GRACE_S
        while self.collector is None or not self.southbound.up or not self._complete():
            if self.clock.monotonic() > deadline and self.collector and self.collector.out_port:
                break
            await asyncio.sleep(WATCH_S)
        self._event.clear()
        tick = await self.loop.tick(-1)
        LOG.warning("first plan: %s", tick.decision)

    async def _ensure(self, stop: asyncio.Event) -> None:
        """Keep the bus running, whoever started it, and the children reaped."""
        children = []
        while not stop.is_set():
            child = self.instance.ensure_bus()
            if child is not None:
                children.append(child)
            children = [c for c in children if c.poll() is None]
            self._say()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), ENSURE_S)

    def _origin(self) -> float | None:
        settings = self.instance.settings()
        if "origin_s" in settings:
            return float(settings["origin_s"])
        if self.config.hold:
            return None
        origin = self.clock.monotonic()
        self.instance.save_settings({**settings, "origin_s": origin})
        return origin

    async def run(self) -> None:
        """Be the brain until a signal."""
        stop = asyncio.Event()
        running = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            running.add_signal_handler(number, stop.set)
        self.instance.ensure_bus()
        self.bus = await Bus.connect(self.instance.bus_address(), "brain", timeout_s=30)
        await self.outside.start()
        await self.worker.start()
        await self.book.connect(self.bus)
        await self.policy_book.connect(self.bus)
        await self._take_inventory()
        await self.bus.subscribe(AGENT_STATUS, self._hear_agent)
        await self.desk.listen(self.bus)
        self.predictor.connect(self.bus)
        if self.learner is not None:
            await self.learner.start()
        tasks = [
            asyncio.create_task(job)
            for job in (
                self.southbound.run(),
                self._watch(stop),
                self.surges.run(stop),
                self.shadows.run(self.bus, stop),
                self._ensure(stop),
                self._serve_page(),
                self._tick(stop),
                self.desk.run_fast(self._counters, stop),
            )
        ]
        ended = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait({ended, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.outside.close()
        self.hindsight.close()
        self.worker.kill()
        self.desk.close()
        if self.learner is not None:
            await self.learner.close()
        self.predictor.close()
        await self.bus.close()
        self.journal_file.close()
        for failed in done - {ended}:
            failed.result()

    async def _tick(self, stop: asyncio.Event) -> None:
        while self.loop.last is None:
            await asyncio.sleep(WATCH_S)
        waited = False
        while (origin := self._origin()) is None:
            waited = True
            await asyncio.sleep(0.01)
        self._say()
        await self.loop.run(origin, stop, waited=waited)

    async def _serve_page(self) -> None:
        access = access_of(self)
        listener = page_socket(self.config.page_host, self.config.page_port)
        host, port = listener.getsockname()[:2]
        scheme = "https" if self.config.api.certificate else "http"
        self.page = f"{scheme}://{host}:{port}"
        LOG.warning("page at %s", self.page)
        self._say()
        await serve(self, listener, access)


def main(instance: Instance, config: Config) -> None:
    """Be the brain of an instance."""
    logs.set_up(config.log_format)
    asyncio.run(Brain(instance, config).run())

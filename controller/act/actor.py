"""Brings switches and engines to a plan: paths first, then the traffic, then the old paths."""

import asyncio
import itertools
from collections.abc import Iterable, Mapping

from bus import Bus, BusError, Clock
from bus.subjects import agent_apply
from controller.act.compile import (
    ROUTER_MAC,
    engine_probes,
    engine_states,
    held_circuits,
    switch_states,
)
from controller.act.exits import ExitStates, exit_states
from controller.act.labels import Ports
from controller.act.measure import engine_measures
from controller.act.rollback import refusals, without_refused
from controller.act.services import service_states
from controller.epochs import Epochs
from controller.errors import SouthboundError
from controller.observe import Collector
from controller.southbound_link import SouthboundLink
from controller.state import Circuit, CircuitFilter, Outcome, Plan, Refused
from headers.errors import MessageError
from headers.messages import (
    Applied,
    ApplyEngines,
    ApplySwitches,
    Backend,
    EngineApplied,
    EngineDesired,
    Probe,
)

ROLLBACKS = 2
"""Once back to what circuits were, and once more without those that are not held even so."""


class Actor:
    """Applies plans; knows the term of this brain and numbers what it sends."""

    def __init__(
        self,
        collector: Collector,
        southbound: SouthboundLink,
        bus: Bus,
        term: int,
        *,
        epochs: Epochs,
        clock: Clock,
    ) -> None:
        self._collector = collector
        self._southbound = southbound
        self._bus = bus
        self._epochs = epochs
        self._clock = clock
        self.term = term
        self.generation = 0
        # by agent: the circuits that its engines were last known to mark for
        self._in_use: dict[str, tuple[Circuit, ...]] = {}
        # by circuit: the firewall that switches were last known to hold
        self._filters: dict[int, CircuitFilter] = {}
        self.unserved: tuple[str, ...] = ()
        """Instances of services and prefixes outside that cannot be had, and why."""

    async def apply(self, plan: Plan, previous: Plan | None) -> tuple[Outcome, Plan]:
        """Bring the network to a plan; what is right already is not touched.

        Traffic moves only when every switch of the new paths said that the paths are there; else
        it stays where it is, and the outcome says why. Circuits that a switch refuses are taken
        back, and demands go on as before or by what is left: the plan that is returned is the one
        in force. The paths of an agent that did not confirm a newer plan stay for as long: its
        engines may be marking for them still.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        for name in self._collector.agents:
            self._in_use.setdefault(name, previous.circuits if previous else ())
        in_use = set(itertools.chain(*self._in_use.values()))
        added = removed = mismatches = 0
        errors: tuple[str, ...] = ()
        refused: tuple[Refused, ...] = ()
        taken_back: set[int] = set()
        # what is taken back changes circuits, not where prefixes outside are left for
        exits = self._exits(plan)
        for attempt in range(ROLLBACKS + 1):
            try:
                applied = await self._switches(plan, previous, in_use, exits)
            except SouthboundError as error:
                return Outcome(errors=(*errors, f"switches: {error}"), refused=refused), plan
            added += sum(s.added for s in applied.switches)
            removed += sum(s.removed for s in applied.switches)
            mismatches += sum(s.mismatches for s in applied.switches)
            reasons = refused_circuits(applied)
            errors += tuple(f"circuit {spi}: {why}" for spi, why in reasons.items())
            if applied.error or attempt == ROLLBACKS or not reasons.keys() & _spis(plan):
                break
            refused += refusals(plan, reasons)
            plan = without_refused(
                plan,
                previous,
                reasons,
                in_use,
                self._filters.values(),
                lost=taken_back,
                dead=self._collector.down,
            )
            taken_back |= reasons.keys()
        errors = tuple(dict.fromkeys((*errors, *_problems(applied))))
        refused = tuple(dict.fromkeys(refused))
        network = self._collector.network
        fresh = {
            location.dpid
            for circuit in plan.circuits
            if circuit not in in_use
            for location in network.locations
            if location.name in _stations(circuit.links, circuit.dst)
        }
        away = {s.dpid for s in applied.switches if not s.connected or s.error}
        if fresh & away or applied.error:
            outcome = Outcome(
                added, removed, rule_errors=mismatches, errors=errors, refused=refused
            )
            return outcome, plan
        circuits = held_circuits(plan, previous, in_use)
        hosts = self._collector.hosts
        services = service_states(network, plan, self._collector.services, hosts)
        self.unserved = services.errors + exits.errors
        engines = engine_states(network, plan, circuits, hosts.values(), services, exits)
        in_force = max((agent.epoch for agent in self._collector.agents.values()), default=0)
        epoch = await self._epochs.current(self._bus, self._clock.wall(), in_force)
        probes = engine_probes(network, circuits)
        replies = await self._engines(engines, plan, epoch, probes, services.backends)
        for name, reply in replies.items():
            if not reply.error:
                self._in_use[name] = plan.circuits
        errors += tuple(
            f"agent {name}: {reply.error}" for name, reply in replies.items() if reply.error
        )
        old, new = _spis(previous) if previous else set(), _spis(plan)
        outcome = Outcome(
            added,
            removed,
            len(new - old),
            len(old - new),
            sum(reply.moved_buckets for reply in replies.values()),
            mismatches + sum(reply.mismatches for reply in replies.values()),
            (loop.time() - started) * 1000,
            errors,
            refused,
        )
        return outcome, plan

    async def _switches(
        self, plan: Plan, previous: Plan | None, in_use: Iterable[Circuit], exits: ExitStates
    ) -> Applied:
        """Have the switches hold a plan's circuits and those that are still in use."""
        self.generation += 1
        circuits = held_circuits(plan, previous, in_use)
        # a circuit that is only still in use keeps the firewall that it had
        held = {circuit.spi for circuit in circuits}
        planned = {circuit.spi for circuit in plan.circuits}
        filters = {spi: one for spi, one in self._filters.items() if spi in held - planned}
        filters.update({one.spi: one for one in plan.filters if one.spi in held})
        ports = Ports(self._collector.out_port, self._collector.in_port)
        network = self._collector.network
        states = switch_states(network, plan, circuits, ports, filters.values(), exits)
        applied = await self._southbound.apply(
            ApplySwitches(self.term, self.generation, ROUTER_MAC, states)
        )
        refused = refused_circuits(applied)
        self._filters = {
            **{spi: one for spi, one in self._filters.items() if spi in held and spi in refused},
            **{spi: one for spi, one in filters.items() if spi not in refused},
        }
        return applied

    def _exits(self, plan: Plan) -> ExitStates:
        known = self._collector
        virtual = [service.address for service in known.services]
        return exit_states(known.network, plan, known.hosts, virtual)

    async def _engines(
        self,
        engines: tuple[EngineDesired, ...],
        plan: Plan,
        epoch: int,
        probes: tuple[Probe, ...],
        backends: tuple[Backend, ...],
    ) -> Mapping[str, EngineApplied]:
        measured = engine_measures(self._collector.network, plan.circuits)

        async def one(name: str, numbers: tuple[int, ...]) -> EngineApplied:
            message = ApplyEngines(
                self.term,
                self.generation,
                epoch,
                plan.forecast & 0xFFFFFF,
                ROUTER_MAC,
                tuple(engine for engine in engines if engine.number in numbers),
                backends,
                probes=tuple(probe for probe in probes if probe.engine in numbers),
                measured=tuple(probe for probe in measured if probe.engine in numbers),
            )
            try:
                reply = await self._bus.request(agent_apply(name), message)
            except (BusError, MessageError) as error:
                return EngineApplied(self.generation, 0, 0, 0, 0, str(error))
            if not isinstance(reply, EngineApplied):
                return EngineApplied(self.generation, 0, 0, 0, 0, "an answer of another kind")
            return reply

        agents = list(self._collector.agents.values())
        replies = await asyncio.gather(*(one(agent.name, agent.engines) for agent in agents))
        return dict(zip([agent.name for agent in agents], replies, strict=True))


def _problems(applied: Applied) -> tuple[str, ...]:
    problems = [f"switch {s.dpid}: {s.error}" for s in applied.switches if s.error]
    if applied.error:
        problems.append(applied.error)
    return tuple(problems)


def _spis(plan: Plan) -> set[int]:
    return {circuit.spi for circuit in plan.circuits}


def refused_circuits(applied: Applied) -> dict[int, str]:
    """Return the circuits that switches did not take, and the first reason of each."""
    reasons: dict[int, str] = {}
    for switch in applied.switches:
        for one in switch.refused:
            reasons.setdefault(one.spi, f"switch {switch.dpid}: {one.reason}")
    return reasons


def _stations(links: tuple[str, ...], end: str) -> set[str]:
    return {link.partition(">")[0] for link in links} | {end}

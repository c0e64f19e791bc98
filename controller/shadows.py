"""Who is whose shadow: chosen from what agents say, told to them, kept for the next brain.

Agents replicate among themselves and go on without a brain; this is only about who to whom.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bus import Bus, BusError, Clock
from bus.subjects import SHADOWED, agent_shadows
from controller.decide.shadows import Assignment, Candidate, Need, choose_shadows
from headers.errors import MessageError
from headers.files.network import Network
from headers.messages import (
    AgentStatus,
    AssignShadows,
    ShadowAssignment,
    ShadowPlace,
    ShadowsAssigned,
    StreamReport,
)

LOG = logging.getLogger("foresteer.shadows")
PERIOD_S = 1.0
AGENT_LIFETIME_S = 3.0
GONE_S = 10.0
"""An engine whose agent is silent for so long is a shadow no longer: until then it may come back
with all that it had."""
EXPIRES_S, REFRESH_S = 60.0, 20.0


@dataclass(frozen=True, slots=True)
class Heard:
    """An agent's last status, and when it came (monotonic)."""

    status: AgentStatus
    at_s: float


@dataclass(frozen=True, slots=True)
class Stream:
    """What one end of a stream of connections said last, and which agent that was."""

    agent: str
    report: StreamReport


class Shadows:
    """Chooses the shadows of all engines that have a stage, and has agents know."""

    def __init__(self, clock: Clock, acting: Callable[[], bool]) -> None:
        self._clock = clock
        self._acting = acting
        self._network: Network | None = None
        self._term = 0
        self._generation = 0
        self._since_s = 0.0
        self._heard: dict[str, Heard] = {}
        self._told: dict[str, tuple[float, int]] = {}
        """By agent: when it started, and the newest generation that it said it has."""
        self._refresh_s = 0.0
        self._kept: dict[int, Assignment] | None = None
        self.assignments: dict[int, Assignment] = {}
        self.problems: dict[str, str] = {}
        """By agent: why it took nothing, in words."""

    def adopt(self, network: Network, term: int) -> None:
        """Begin with a network, as the brain of this term."""
        if network != self._network:
            self._kept = None
        self._network, self._term = network, term
        self._since_s = self._clock.monotonic()
        self._generation = 0
        self._told.clear()

    def hear(self, status: AgentStatus) -> None:
        """Take what an agent says of itself."""
        self._heard[status.agent] = Heard(status, self._clock.monotonic())

    def streams(self) -> tuple[Stream, ...]:
        """Return what all agents that are there say of their streams."""
        now = self._clock.monotonic()
        return tuple(
            Stream(name, report)
            for name, heard in sorted(self._heard.items())
            if now - heard.at_s < AGENT_LIFETIME_S
            for report in heard.status.streams
        )

    def problem_of(self, engine: int) -> str:
        """Return why an engine's agent took nothing, in words; empty when it did."""
        for name, heard in self._heard.items():
            if engine in heard.status.engines:
                return self.problems.get(name, "")
        return ""

    async def run(self, bus: Bus, stop: asyncio.Event) -> None:
        """Look after it until told to stop."""
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), PERIOD_S)
            try:
                await self.look(bus)
            except BusError as error:
                LOG.warning("shadows stay as they are: %s", error)

    async def look(self, bus: Bus) -> None:
        """Choose, and tell those that do not know yet.

        Raises:
            BusError: what was chosen before cannot be asked for, or this not be kept.
        """
        if self._network is None or not self._acting() or not self._staged(self._network):
            return
        if self._kept is None:
            content = await bus.get(SHADOWED)
            try:
                self._kept = _read(content)
            except ValueError as error:
                LOG.warning("%s: they are chosen anew", error)
                self._kept = {}
            self.assignments = self._kept
        now = self._clock.monotonic()
        if now - self._since_s < GONE_S and not self._all_heard(self._network):
            # those that a new brain has not heard of yet are not gone
            return
        chosen = self._choose(self._network, now)
        changed = chosen != self.assignments
        if changed:
            for number, one in chosen.items():
                if one != self.assignments.get(number):
                    LOG.info("engine %d: shadows %s", number, list(one.shadows))
            await bus.put(SHADOWED, _written(chosen))
            self.assignments = chosen
        if changed or now >= self._refresh_s:
            self._generation += 1
            self._refresh_s = now + REFRESH_S
        await self._tell(bus, self._network)

    @staticmethod
    def _staged(network: Network) -> bool:
        return any(location.engine.stage for location in network.locations)

    def _all_heard(self, network: Network) -> bool:
        heard = {number for one in self._heard.values() for number in one.status.engines}
        return all(
            location.engine.number in heard
            for location in network.locations
            if location.engine.stage
        )

    def _choose(self, network: Network, now_s: float) -> dict[int, Assignment]:
        places = {agent.name for agent in network.agents}
        by_engine = {
            number: heard for heard in self._heard.values() for number in heard.status.engines
        }
        down = {
            echo.target
            for heard in self._heard.values()
            if now_s - heard.at_s < AGENT_LIFETIME_S
            for echo in heard.status.echoes
            if echo.down
        }
        candidates, needs = [], {}
        for location in network.locations:
            engine = location.engine
            heard = by_engine.get(engine.number)
            if not engine.stage or heard is None or heard.status.agent not in places:
                continue
            status = heard.status
            # an agent's table is shared by its engines
            share = status.connections / max(1, len(status.engines))
            candidates.append(
                Candidate(
                    engine.number,
                    engine.stage,
                    now_s - heard.at_s < GONE_S and engine.number not in down,
                    max(0.0, status.connections_most - float(status.connections)),
                    frozenset((*engine.risk_groups, f"agent {status.agent}")),
                )
            )
            needs[engine.number] = Need(share)
        return choose_shadows(candidates, self._round_trips(), needs, self.assignments)

    def _round_trips(self) -> dict[tuple[int, int], float]:
        """Return measured round trips in ms by ordered pair of engines."""
        found: dict[tuple[int, int], float] = {}
        for heard in self._heard.values():
            for echo in heard.status.echoes:
                if echo.round_trip_s >= 0:
                    pair = echo.engine, echo.target
                    found[pair] = found[pair[::-1]] = echo.round_trip_s * 1000
        return found

    def _message(self, network: Network) -> AssignShadows:
        where = {agent.name: agent for agent in network.agents}
        places: dict[int, ShadowPlace] = {}
        for heard in self._heard.values():
            agent = where.get(heard.status.agent)
            if agent is not None:
                for number in heard.status.engines:
                    places[number] = ShadowPlace(number, agent.host, agent.port)
        return AssignShadows(
            self._term,
            self._generation,
            EXPIRES_S,
            tuple(
                ShadowAssignment(number, 1, tuple(places[s] for s in one.shadows if s in places))
                for number, one in sorted(self.assignments.items())
            ),
        )

    async def _tell(self, bus: Bus, network: Network) -> None:
        message = self._message(network)

        async def one(name: str, started_s: float) -> None:
            try:
                reply = await bus.request(agent_shadows(name), message, timeout_s=0.5)
            except (BusError, MessageError) as error:
                self.problems[name] = str(error)
                return
            if not isinstance(reply, ShadowsAssigned):
                self.problems[name] = "an answer of another kind"
                return
            self._told[name] = started_s, reply.generation
            if reply.error:
                self.problems[name] = reply.error
            else:
                self.problems.pop(name, None)

        now = self._clock.monotonic()
        await asyncio.gather(
            *(
                one(name, heard.status.started_s)
                for name, heard in list(self._heard.items())
                if now - heard.at_s < AGENT_LIFETIME_S
                and self._told.get(name) != (heard.status.started_s, self._generation)
            )
        )


def _written(assignments: Mapping[int, Assignment]) -> bytes:
    return json.dumps(
        {str(n): [list(one.shadows), one.generation] for n, one in assignments.items()}
    ).encode()


def _read(content: bytes | None) -> dict[int, Assignment]:
    """Return what is kept.

    Raises:
        ValueError: it is damaged.
    """
    if content is None:
        return {}
    try:
        kept = json.loads(content)
        return {
            int(number): Assignment(int(number), tuple(int(s) for s in shadows), int(generation))
            for number, (shadows, generation) in kept.items()
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"the kept shadows are damaged: {error}") from error

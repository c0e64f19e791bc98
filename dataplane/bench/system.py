"""The whole engine under load: mark, balance, counters, events and agent, on two cores.

``system``: requests over many open connections while some open and close; ``flood``: new
connections that never complete, beside others that must not break. One core generates, forwards
and receives; the agent and the bus have the other.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataplane.bench import traffic
from dataplane.bench.agent import AgentProcess
from dataplane.bench.cases import Table
from dataplane.bench.engines import BACKENDS, VIP_NUMBER, desired
from dataplane.bench.rig import MAX_HELD, XDP, Rig, Run, Side
from dataplane.bench.traffic import PLAIN_FRAME, TCP_ACK, TCP_SYN, Block
from dataplane.errors import DataplaneError
from headers.messages import ApplyEngines

OPENINGS_PER_S = 50_000
"""How fast the connections are opened before the run."""
INSERT_RATE = 100_000
_FRAMES_OF_A_LIFE = 3
SYSTEM_TABLE = 1 << 18
"""Connections that the table holds in the system's run: those that end stay for some seconds."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a run under load gave.

    Frames: offered per second, sent, delivered; connections: ``established`` before, how many of
    them ``broken`` (went to another backend) or ``starved`` (lost packets) meanwhile; ``opened``
    and ``closed`` as the engine counted; events lost; the agent's memory and processor use.
    """

    rate: float
    seconds: float
    sent: int
    delivered: int
    sent_established: int
    established: int
    broken: int
    starved: int
    opened: int
    closed: int
    events_read: int
    events_lost: int
    agent_mib: float
    agent_share: float
    reasons: Mapping[str, int]

    @property
    def lost(self) -> int:
        """Return how many frames did not arrive."""
        return self.sent - self.delivered

    def text(self) -> str:
        """Return what to print."""
        others = ", ".join(f"{name} {count:,}" for name, count in sorted(self.reasons.items()))
        return (
            f"sent       {self.sent:>13,} packets in {self.seconds:.1f} s"
            f" ({self.sent / self.seconds:,.0f} per second, {self.rate:,.0f} asked)\n"
            f"of these   {self.sent_established:>13,} of established connections\n"
            f"delivered  {self.delivered:>13,}\n"
            f"lost       {self.lost:>13,} ({self.lost / max(self.sent, 1):.4%})\n"
            f"established{self.established:>13,} connections, {self.broken} broken,"
            f" {self.starved} with packets lost\n"
            f"opened     {self.opened:>13,}, closed {self.closed:,}\n"
            f"events     {self.events_read:>13,} read by the agent, {self.events_lost:,} lost\n"
            f"agent      {self.agent_mib:13.0f} MiB, {self.agent_share:.0%} of a core\n"
            f"counted    {others}"
        )

    def values(self) -> dict[str, object]:
        """Return what to keep as JSON."""
        return {**asdict(self), "lost": self.lost}


@dataclass(frozen=True, slots=True)
class _Blocks:
    opening: Block
    requests: Block
    lives: Block
    syns: Block


class UnderLoad:
    """An engine with its agent and a number of established connections."""

    def __init__(
        self, scratch: Path, connections: int, capacity: int, core: int, others: set[int]
    ) -> None:
        """Set everything up and open the connections.

        Raises:
            DataplaneError: something of it cannot be, or a connection was not entered.
        """
        if not 0 < connections <= MAX_HELD:
            raise DataplaneError(f"{connections} connections are not between 1 and {MAX_HELD}")
        self.connections = connections
        table = Table()
        blocks = _lay_out(table, connections)
        self._rig = Rig(scratch / "pins", scratch / "stub", table.size)
        table.write(self._rig)
        self._blocks = blocks
        self.agent = AgentProcess(scratch, capacity, others or {core})
        self._rig.attach("check", XDP.ends[3])
        self._state: ApplyEngines = desired(INSERT_RATE)
        self.agent.apply(self._state)
        os.sched_setaffinity(0, {core})
        self._open()

    def _open(self) -> None:
        """Open all connections, each by two packets."""
        seconds = 2 * self.connections / (2 * OPENINGS_PER_S)
        self._rig.pace(self._blocks.opening, XDP, 2 * OPENINGS_PER_S, seconds + 0.1)
        opened = self.agent.reasons().get("opened", 0)
        if opened < self.connections:
            raise DataplaneError(f"{opened} of {self.connections} connections were entered")

    def change_weights(self) -> None:
        """Have new connections go to other backends than before."""
        engine = self._state.engines[0]
        service = engine.services[0]
        buckets = tuple(number % BACKENDS + 1 for number in service.buckets)
        engine = replace(engine, services=(replace(service, buckets=buckets),))
        self._state = replace(self._state, generation=self._state.generation + 1, engines=(engine,))
        self.agent.apply(self._state)

    def requests(self, rate: float, seconds: float, new_share: float) -> Load:
        """Send requests on all connections; ``new_share`` of all packets open another one."""
        every = round(1 / new_share)
        side = Side(self._blocks.lives, every, _FRAMES_OF_A_LIFE, renewing=True)
        return self._measured(
            rate,
            seconds,
            lambda part: self._rig.pace(self._blocks.requests, XDP, rate, part, side=side),
            "main",
        )

    def flood(self, rate: float, seconds: float, beside: float) -> Load:
        """Send ``rate`` new SYNs per second, and ``beside`` packets of what is established."""
        every = max(2, round((rate + beside) / beside))
        side = Side(self._blocks.requests, every, 1)
        return self._measured(
            rate + beside,
            seconds,
            lambda part: self._rig.pace(
                self._blocks.syns, XDP, rate + beside, part, renewing=True, side=side
            ),
            "side",
        )

    def _measured(
        self, rate: float, seconds: float, send: Callable[[float], Run], established: str
    ) -> Load:
        """Send in two halves, with other weights in the second."""
        seen = self._rig.seen()[: self.connections]
        held = seen.copy()
        before, used = self.agent.reasons(), self.agent.processor_s()
        read = self.agent.status().events
        runs: list[Run] = []
        wanted = 0
        for half in range(2):
            if half:
                self.change_weights()
            runs.append(send(seconds / 2))
            wanted += self._rig.sent(established)
        after, spent = self.agent.reasons(), self.agent.processor_s()
        if not self.agent.alive():
            raise DataplaneError("the agent ended meanwhile")
        took = sum(run.elapsed_ns for run in runs) / 1e9
        grown = {name: count - before.get(name, 0) for name, count in after.items()}
        return Load(
            rate=rate,
            seconds=took,
            sent=sum(run.sent for run in runs),
            delivered=sum(run.delivered for run in runs),
            sent_established=wanted,
            established=self.connections,
            broken=int((seen["moved"] != held["moved"]).sum()),
            starved=starved(seen["packets"] - held["packets"], wanted),
            opened=grown.get("opened", 0),
            closed=grown.get("closed", 0),
            events_read=self.agent.status().events - read,
            events_lost=grown.get("event_lost", 0),
            agent_mib=self.agent.resident_bytes() / (1 << 20),
            agent_share=(spent - used) / took,
            reasons={name: count for name, count in grown.items() if count},
        )


def starved(packets: NDArray[np.uint32], sent: int) -> int:
    """Return how many connections lost packets, when ``sent`` were sent to all of them in turn."""
    return int((packets < sent // len(packets)).sum())


def _lay_out(table: Table, connections: int) -> _Blocks:
    def clients(flags: int) -> traffic.Frames:
        return traffic.clients(connections, flags, VIP_NUMBER)

    return _Blocks(
        opening=table.add(traffic.mixed(clients(TCP_SYN), clients(TCP_ACK)), PLAIN_FRAME),
        requests=table.add(clients(TCP_ACK), PLAIN_FRAME),
        lives=table.add(traffic.lifetimes(VIP_NUMBER), PLAIN_FRAME),
        syns=table.add(traffic.fresh(TCP_SYN, VIP_NUMBER), PLAIN_FRAME),
    )

"""Replication between two processes over loopback UDP, at given rates."""

import asyncio
import contextlib
import json
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from dataplane.bench.shadow import load
from dataplane.bench.shadow.follower import SHADOW, waited_s
from dataplane.errors import DataplaneError
from dataplane.maps import MAX_BACKENDS
from dataplane.shadow import Feed, Replicator, ShadowEndpoint
from dataplane.shadow.sender import Phase, Sender

RING_S: Final = 0.002
"""How often the agent looks at the ring of events."""
UDP_IP_BYTES: Final = 28
_DEADLINE_S = 30.0
_NICENESS = -20


@dataclass(frozen=True, slots=True)
class Rate:
    """What a run at a rate gave.

    ``rate``: changes per second that were made; ``bytes_each``: bytes on the wire (UDP and IPv4
    headers, envelope, tag, everything else that was sent meanwhile) per change; ``acks_each``: what
    comes back per change; lags in milliseconds: ``p50`` and ``p99`` as the shadow measures them,
    ``true_…`` by the clock that both share; shares of a core for either end, the primary's with the
    making of the load; ``waited_share``: of the time, what one of them waited for a processor.
    """

    rate: float
    changes: int
    bytes_each: float
    acks_each: float
    p50_ms: float
    p99_ms: float
    true_p50_ms: float
    true_p99_ms: float
    primary_share: float
    shadow_share: float
    waited_share: float
    lost: int

    def text(self) -> str:
        """Return a line of a table."""
        return (
            f"{self.rate:9,.0f}{self.bytes_each:9.2f}{self.acks_each:9.2f}{self.true_p50_ms:9.1f}"
            f"{self.true_p99_ms:9.1f}{self.primary_share:9.0%}{self.shadow_share:9.0%}"
            f"{self.waited_share:9.0%}"
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot beside changes: how long it took, and how late changes were meanwhile."""

    connections: int
    changes_per_s: float
    seconds: float
    p50_ms: float
    p99_ms: float
    bytes_each: float


class Stream:
    """A primary in this process, a shadow in another."""

    def __init__(
        self, replicator: Replicator, endpoint: ShadowEndpoint, child: asyncio.subprocess.Process
    ) -> None:
        self.replicator = replicator
        self.table = replicator.tables[load.ENGINE]
        self.feed = Feed(self.table, np.arange(MAX_BACKENDS, dtype=np.uint32))
        self._endpoint = endpoint
        self._child = child
        self.opened = 0
        self._port = 0

    @property
    def sender(self) -> Sender:
        """Return the primary's end."""
        return self.replicator.senders[load.ENGINE, SHADOW]

    async def ask(self, request: str) -> dict[str, Any]:
        """Ask the shadow; ``begin`` begins a new measurement, anything else only looks."""
        if self._child.stdin is None or self._child.stdout is None:
            raise DataplaneError("the shadow's process has no pipes")
        self._child.stdin.write(f"{request}\n".encode())
        line = await asyncio.wait_for(self._child.stdout.readline(), _DEADLINE_S)
        if not line:
            raise DataplaneError("the shadow's process ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def connect(self, port: int) -> None:
        """Begin to replicate to the shadow's port."""
        self._port = port
        self.replicator.send_to(load.ENGINE, {SHADOW: ("127.0.0.1", port)}, 1)
        self._endpoint.changed()

    async def settle(self) -> None:
        """Wait until everything is acknowledged.

        Raises:
            DataplaneError: it takes too long.
        """
        end = time.monotonic() + _DEADLINE_S
        while self.sender.phase is not Phase.FOLLOWING or self.sender.unsettled:
            if time.monotonic() > end:
                raise DataplaneError("the shadow does not catch up")
            await asyncio.sleep(0.01)

    async def open(self, rate: float, seconds: float, *, six: bool = False) -> Rate:
        """Open connections at a rate, and measure."""

        def make(begin_ns: int, end_ns: int, count: int) -> None:
            events = load.opened(self.opened, count, begin_ns, end_ns, six=six)
            self.opened += self.feed.take_events(events, time.monotonic_ns() // 1000)

        return await self._measured(rate, seconds, make)

    async def touch(self, rate: float, seconds: float) -> Rate:
        """Change the activity of what is open, as sweeps do, at a rate; measure."""
        at, turn = 0, 1

        def make(_begin_ns: int, _end_ns: int, count: int) -> None:
            nonlocal at, turn
            count = min(count, self.opened - at)
            now = time.monotonic_ns() // 1000
            rows = load.values(at, count, now // 1_000_000, moved=turn)
            self.table.put(load.keys(at, count), rows, np.full(count, now), now)
            at += count
            if at == self.opened:
                at, turn = 0, turn + 1

        return await self._measured(rate, seconds, make)

    async def _measured(self, rate: float, seconds: float, make: Any) -> Rate:
        before = await self.ask("begin")
        sent = self._sent()
        used, waited, began = time.process_time(), waited_s(), time.monotonic_ns()
        last, made = began, 0
        while last - began < seconds * 1e9:
            await asyncio.sleep(RING_S)
            now = time.monotonic_ns()
            count = int(rate * (now - began) / 1e9) - made
            if count > 0:
                make(last, now, count)
                made += count
                self._endpoint.changed()
            last = now
        took = (time.monotonic_ns() - began) / 1e9
        spent = time.process_time() - used
        waited = waited_s() - waited
        await self.settle()
        after = await self.ask("look")
        grown = [now - then for now, then in zip(self._sent(), sent, strict=True)]
        return Rate(
            made / took,
            made,
            (grown[0] + UDP_IP_BYTES * grown[1]) / max(made, 1),
            (grown[2] + UDP_IP_BYTES * grown[3]) / max(made, 1),
            after["p50_us"] / 1e3,
            after["p99_us"] / 1e3,
            after["true_p50_us"] / 1e3,
            after["true_p99_us"] / 1e3,
            spent / took,
            (after["processor_s"] - before["processor_s"]) / took,
            max(waited, after["waited_s"] - before["waited_s"]) / took,
            grown[4],
        )

    def _sent(self) -> tuple[int, int, int, int, int]:
        sender = self.sender
        counts = sender.counts
        return (
            sender.bytes_sent,
            counts["datagrams"],
            sender.bytes_received,
            counts["answers"],
            counts["lost"],
        )

    async def snapshot(self, connections: int, changes_per_s: float) -> Snapshot:
        """Bring a shadow that knows nothing up to a table of so many, while some more open."""
        port = self._port
        self.replicator.send_to(load.ENGINE, {}, 1)
        now = time.monotonic_ns() // 1000
        step = 50_000
        for first in range(0, connections, step):
            count = min(step, connections - first)
            rows = load.values(first, count, now // 1_000_000)
            self.table.put(load.keys(first, count), rows, np.full(count, now), now)
        self.opened = connections
        await self.ask("begin")
        self.connect(port)
        began = time.monotonic_ns()
        last, made = began, 0
        while self.sender.phase is not Phase.FOLLOWING:
            await asyncio.sleep(RING_S)
            now_ns = time.monotonic_ns()
            count = int(changes_per_s * (now_ns - began) / 1e9) - made
            if count > 0:
                events = load.opened(self.opened, count, last, now_ns)
                self.opened += self.feed.take_events(events, now_ns // 1000)
                made += count
            last = now_ns
            self._endpoint.changed()
            if now_ns - began > 10 * _DEADLINE_S * 1e9:
                raise DataplaneError("the snapshot does not end")
        took = (time.monotonic_ns() - began) / 1e9
        after = await self.ask("look")
        return Snapshot(
            connections,
            made / took,
            took,
            after["true_p50_us"] / 1e3,
            after["true_p99_us"] / 1e3,
            self.sender.bytes_sent / (connections + made),
        )


def be_first() -> None:
    """Have this process and its children run before others, where we may."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)


@contextlib.asynccontextmanager
async def stream(slots: int) -> AsyncIterator[Stream]:
    """Have a stream with tables of so many slots, both ends new."""
    secret = secrets.token_bytes(32)
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "dataplane.bench.shadow.follower",
        str(slots),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    endpoint = None
    try:
        if child.stdin is None or child.stdout is None:
            raise DataplaneError("the shadow's process has no pipes")
        child.stdin.write(f"{secret.hex()}\n".encode())
        line = await asyncio.wait_for(child.stdout.readline(), _DEADLINE_S)
        replicator = Replicator(secret)
        replicator.serve(load.ENGINE, slots)
        endpoint = ShadowEndpoint(replicator, "127.0.0.1", 0)
        made = Stream(replicator, endpoint, child)
        made.connect(json.loads(line)["port"])
        await made.settle()
        yield made
    finally:
        if endpoint is not None:
            endpoint.close()
        if child.returncode is None:
            child.kill()
        await child.wait()

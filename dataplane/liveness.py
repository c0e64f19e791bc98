"""Whether engines' data planes live: echoes that their programs reflect, agents or not.

An echo goes out of one engine's fabric port on a circuit to another, whose program sends it back on
a circuit the other way. The round trip is read from the programs' clocks, so it does not hold what
this process was late by.

An engine is found dead at most three periods and a grace after it died: .31 s where round trips are
short. A connection has waited for no more than that when its edge moves to the backup circuit.
"""

import contextlib
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dataplane.errors import AttachError
from dataplane.netns import network_namespace
from dataplane.ports import Attached
from headers.messages import EchoReport, Probe
from headers.packet.steering import Echo, SteeringHeader, echo_frame

PERIOD_S = 0.07
MISSED = 3
GRACE_S = 0.1
"""An echo is missed when it is not back after this, or twice the round trip if that is more."""

LATE_S = 0.03
"""Lateness of our own above this is no fault of theirs: an echo on its way is given another grace,
from then on, but once: who is always late would never find anybody dead."""


@dataclass(slots=True)
class Watched:
    """One probe's record: sequences sent and seen, the last round trip in seconds.

    ``waiting``: sequences of echoes that are not back, until when they may be (monotonic), and
    whether that is a second grace; ``missed``: how many in a row are not.
    """

    probe: Probe
    sent: int = 0
    received: int = 0
    last_seen: int = 0
    round_trip_s: float = float("nan")
    missed: int = 0
    waiting: deque[tuple[int, float, bool]] = field(default_factory=deque)

    @property
    def grace_s(self) -> float:
        """How long an echo may take."""
        return max(GRACE_S, 2 * self.round_trip_s) if self.received else GRACE_S

    def sends(self, now_s: float) -> None:
        """An echo goes out."""
        self.sent += 1
        self.waiting.append((self.sent, now_s + self.grace_s, False))

    def hears(self, sequence: int) -> None:
        """An echo is back: those before it do not matter any more."""
        if sequence <= self.last_seen:
            return
        self.received += 1
        self.last_seen = sequence
        self.missed = 0
        while self.waiting and self.waiting[0][0] <= sequence:
            self.waiting.popleft()

    def look(self, now_s: float, *, late: bool) -> None:
        """Count what should be back by now; not yet if we are ``late`` ourselves."""
        if late:
            due_s = now_s + self.grace_s
            self.waiting = deque(one if one[2] else (one[0], due_s, True) for one in self.waiting)
        while self.waiting and self.waiting[0][1] <= now_s:
            self.waiting.popleft()
            self.missed += 1


class Liveness:
    """Sends the echoes of this machine's engines and judges who is down.

    An engine is down when all that watch it have missed three echoes in a row, while at least one
    other engine did answer; where nobody answers, it is rather we who are cut off, and what was
    known stays. When this process itself was late it waits for another grace: the whole machine may
    have stood still.
    """

    def __init__(
        self,
        engines: Mapping[int, Attached],
        mark_down: Callable[[int, bool], None],
        router_mac: bytes,
    ) -> None:
        self._engines = engines
        self._mark_down = mark_down
        self._router_mac = router_mac
        self._watched: dict[Probe, Watched] = {}
        self._by_sequence: dict[tuple[int, int], Watched] = {}
        self._sockets: dict[int, socket.socket] = {}
        self.down: set[int] = set()

    def watch(self, probes: Iterable[Probe]) -> None:
        """Watch these; what is known of those that stay is kept."""
        wanted = tuple(probes)
        for probe in wanted:
            self._watched.setdefault(probe, Watched(probe))
        for probe in self._watched.keys() - set(wanted):
            del self._watched[probe]
        for engine in self.down - {probe.target for probe in wanted}:
            self._set(engine, down=False)

    def _socket(self, engine: int) -> socket.socket | None:
        found = self._sockets.get(engine)
        attached = self._engines.get(engine)
        if found is not None or attached is None:
            return found
        try:
            with network_namespace(attached.engine.netns_pid):
                opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
                opened.bind((attached.engine.fabric_port, 0))
        except (AttachError, OSError):
            return None
        opened.setblocking(False)
        self._sockets[engine] = opened
        return opened

    def send(self, key: bytes, epoch: int, forecast: int) -> int:
        """Send one echo for each probe; return how many went out."""
        count = 0
        for watched in self._watched.values():
            probe = watched.probe
            if self._socket(probe.engine) is None:
                continue
            watched.sends(time.monotonic())
            header = SteeringHeader(
                probe.out_spi, probe.out_si, probe.target, epoch=epoch, forecast=forecast
            )
            echo = Echo(
                probe.back_spi, probe.back_si, watched.sent & 0xFFFFFFFF, time.monotonic_ns()
            )
            frame = echo_frame(
                key, header, echo, source_mac=self._router_mac, target_mac=self._router_mac
            )
            # a port that is gone or full: the echo is missed, and that is what it says
            count += self.transmit(probe.engine, frame)
        return count

    def transmit(self, engine: int, frame: bytes) -> bool:
        """Send a frame out of an engine's fabric port; return whether it went."""
        out = self._socket(engine)
        if out is None:
            return False
        try:
            out.send(frame)
        except OSError:
            self._sockets.pop(engine).close()
            return False
        return True

    def received(self, echoes: NDArray[np.void]) -> None:
        """Take replies (EVENT_DTYPE): who answered whom, and how long it took."""
        pairs = {(w.probe.engine, w.probe.target): w for w in self._watched.values()}
        for echo in echoes:
            watched = pairs.get((int(echo["engine"]), int(echo["backend"])))
            if watched is None:
                continue
            watched.hears(int(echo["sequence"]))
            watched.round_trip_s = (int(echo["time_ns"]) - int(echo["packets"])) / 1e9

    def due_s(self) -> float:
        """Return when an echo should be back that is not, the next (monotonic); inf for none."""
        return min(
            (w.waiting[0][1] for w in self._watched.values() if w.waiting), default=float("inf")
        )

    def judge(self, now_s: float, late_s: float = 0.0) -> None:
        """Decide who is down; call it after ``received``, and at ``due_s`` at the latest.

        ``late_s``: how much later than it wanted to this process came here.
        """
        targets: dict[int, list[Watched]] = {}
        for watched in self._watched.values():
            watched.look(now_s, late=late_s > LATE_S)
            if watched.sent > MISSED:
                targets.setdefault(watched.probe.target, []).append(watched)
        silent = {
            target: all(w.missed >= MISSED for w in observers)
            for target, observers in targets.items()
        }
        if silent and all(silent.values()):
            return
        for target, gone in silent.items():
            if gone != (target in self.down):
                self._set(target, down=gone)

    def _set(self, engine: int, *, down: bool) -> None:
        (self.down.add if down else self.down.discard)(engine)
        self._mark_down(engine, down)

    def reports(self) -> tuple[EchoReport, ...]:
        """Return what is known of every probe."""
        return tuple(
            EchoReport(
                w.probe.engine,
                w.probe.target,
                w.round_trip_s if w.received else -1.0,
                w.sent,
                w.received,
                w.probe.target in self.down,
            )
            for w in self._watched.values()
        )

    def close(self) -> None:
        """Close the sockets."""
        for held in self._sockets.values():
            with contextlib.suppress(OSError):
                held.close()
        self._sockets.clear()

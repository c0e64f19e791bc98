"""Whether engines' data planes live: echoes that their programs reflect, agents or not.

An echo goes out of one engine's fabric port on a circuit to another, whose program sends it back on
a circuit the other way. The round trip is read from the programs' clocks, so it does not hold what
this process was late by.
"""

import contextlib
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataplane.errors import AttachError
from dataplane.netns import network_namespace
from dataplane.ports import Attached
from headers.messages import EchoReport, Probe
from headers.packet.steering import Echo, SteeringHeader, echo_frame

PERIOD_S = 0.1
MISSED = 3
_LATE_S = 0.05


@dataclass(slots=True)
class Watched:
    """One probe's record: sequences sent and seen, the last round trip in seconds."""

    probe: Probe
    sent: int = 0
    received: int = 0
    last_seen: int = 0
    round_trip_s: float = float("nan")

    def missed(self) -> int:
        """Return how many echoes in a row are unanswered, but for the one under way."""
        return max(0, self.sent - 1 - self.last_seen)


class Liveness:
    """Sends the echoes of this machine's engines and judges who is down.

    An engine is down when all that watch it have missed three echoes in a row, while at least one
    other engine did answer; where nobody answers, it is rather we who are cut off, and what was
    known stays. A period in which this process itself was late says nothing.
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
        self._last_s = 0.0
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
            watched.sent += 1
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
            watched.received += 1
            watched.last_seen = max(watched.last_seen, int(echo["sequence"]))
            watched.round_trip_s = (int(echo["time_ns"]) - int(echo["packets"])) / 1e9

    def judge(self, now_s: float) -> None:
        """Decide who is down; call once per period, after ``received``."""
        late = self._last_s and now_s - self._last_s > PERIOD_S + _LATE_S
        self._last_s = now_s
        if late:
            return
        targets: dict[int, list[Watched]] = {}
        for watched in self._watched.values():
            if watched.sent > MISSED:
                targets.setdefault(watched.probe.target, []).append(watched)
        silent = {
            target: all(w.missed() >= MISSED for w in observers)
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

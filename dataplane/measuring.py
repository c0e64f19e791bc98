"""What circuits are worth: echoes out on each in turn, and back on another, at a bounded rate.

Liveness asks the same few circuits all the time and judges; this asks all of them now and then and
judges nothing. Its echoes have numbers of their own, so the two never take each other's answers.
"""

import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from headers.messages import CircuitProbe, Probe
from headers.packet.steering import Echo, SteeringHeader, echo_frame

MEASURED = 1 << 31
"""The bit that tells these echoes' numbers from those of liveness."""

PER_PERIOD = 5
"""Echoes in each period of the agent's watch (0.1 s): 50 a second, whatever there is to measure."""

DEADLINE_S = 1.0
RESULTS_MOST = 1024


class Measuring:
    """Sends this machine's measuring echoes and keeps what came of them until it is asked.

    ``transmit``: sends a frame out of an engine's fabric port, and says whether that went.
    """

    def __init__(self, transmit: Callable[[int, bytes], bool], router_mac: bytes) -> None:
        self._transmit = transmit
        self._router_mac = router_mac
        self._waiting: deque[Probe] = deque()
        self._away: dict[int, tuple[Probe, float]] = {}
        self._results: deque[CircuitProbe] = deque(maxlen=RESULTS_MOST)
        self._number = 0
        self.counts: Counter[str] = Counter()

    def use(self, probes: Iterable[Probe]) -> None:
        """Measure these from now on, those that waited longest first."""
        wanted = dict.fromkeys(probes)
        staying = [probe for probe in self._waiting if probe in wanted]
        known = set(staying)
        # a new one is what least is known of
        self._waiting = deque([*(probe for probe in wanted if probe not in known), *staying])

    def send(self, key: bytes, epoch: int, forecast: int, now_s: float) -> int:
        """Send the next few echoes; return how many went out."""
        self.expire(now_s)
        sent = 0
        for _ in range(min(PER_PERIOD, len(self._waiting))):
            probe = self._waiting[0]
            self._waiting.rotate(-1)
            self._number = (self._number + 1) % MEASURED
            number = self._number | MEASURED
            header = SteeringHeader(
                probe.out_spi, probe.out_si, probe.target, epoch=epoch, forecast=forecast
            )
            frame = echo_frame(
                key,
                header,
                Echo(probe.back_spi, probe.back_si, number, int(now_s * 1e9)),
                source_mac=self._router_mac,
                target_mac=self._router_mac,
            )
            if self._transmit(probe.engine, frame):
                self._away[number] = (probe, now_s)
                sent += 1
        self.counts["sent"] += sent
        return sent

    def received(self, echoes: NDArray[np.void]) -> None:
        """Take replies (EVENT_DTYPE) with our numbers."""
        for echo in echoes:
            probe, _ = self._away.get(int(echo["sequence"]), (None, 0.0))
            if probe is None or (probe.engine, probe.target) != (echo["engine"], echo["backend"]):
                self.counts["unasked"] += 1
                continue
            del self._away[int(echo["sequence"])]
            took_ms = (int(echo["time_ns"]) - int(echo["packets"])) / 1e6
            self._results.append(CircuitProbe(probe.out_spi, took_ms))

    def expire(self, now_s: float) -> None:
        """Count those as lost that should be back."""
        old = itertools.takewhile(
            lambda one: now_s - one[1][1] > DEADLINE_S, list(self._away.items())
        )
        for number, (probe, _) in old:
            del self._away[number]
            self.counts["lost"] += 1
            self._results.append(CircuitProbe(probe.out_spi, -1.0))

    def results(self) -> tuple[CircuitProbe, ...]:
        """Return what came of echoes since the last call."""
        found = tuple(self._results)
        self._results.clear()
        return found


def is_measured(echoes: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return which events of echoes are measuring ones."""
    which: NDArray[np.bool_] = (echoes["sequence"] & MEASURED) != 0
    return which

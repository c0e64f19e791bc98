"""How far clients are from instances: the handshakes of opened connections, by prefix.

An edge engine sees a client's SYN and its answer to the instance's SYN: between them lies one round
trip from there to the instance and, directly, to the client and back.
"""

import ipaddress
import statistics
from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from dataplane.maps import EVENT_OPENED, FLOW_KEY
from headers.messages import Backend, Handshakes

PREFIX4, PREFIX6 = 24, 48
"""Clients are told apart by so many bits of their address."""

ROWS_MOST = 256
SAMPLES_MOST = 64


class HandshakeMeter:
    """Gathers handshakes between two reports; bounded, and what did not fit is counted."""

    def __init__(self) -> None:
        self._gathered: dict[tuple[str, int], list[float]] = {}
        self.counts: Counter[str] = Counter()

    def take(self, events: NDArray[np.void]) -> None:
        """Take events of connections (EVENT_DTYPE); those without a whole handshake say nothing."""
        for event in events[(events["kind"] == EVENT_OPENED) & (events["sequence"] > 0)]:
            key = client_prefix(event["flow"].tobytes()), int(event["backend"])
            gathered = self._gathered.get(key)
            if gathered is None:
                if len(self._gathered) >= ROWS_MOST:
                    self.counts["too_many_clients"] += 1
                    continue
                gathered = self._gathered[key] = []
            if len(gathered) < SAMPLES_MOST:
                gathered.append(int(event["sequence"]) / 1000)
            self.counts["taken"] += 1

    def report(self, backends: Mapping[int, Backend]) -> tuple[Handshakes, ...]:
        """Return what was gathered since the last report, of backends that are known."""
        rows = []
        for (client, number), samples in self._gathered.items():
            backend = backends.get(number)
            if backend is None:
                self.counts["unknown_backend"] += 1
                continue
            rows.append(
                Handshakes(
                    client,
                    backend.engine,
                    backend.instance,
                    statistics.median(samples),
                    len(samples),
                )
            )
        self._gathered.clear()
        return tuple(rows)


def client_prefix(flow: bytes) -> str:
    """Return the prefix of the client of a flow's key (FLOW_KEY)."""
    source, _, _, _, _, family, _ = FLOW_KEY.unpack(flow)
    if family == 4:
        return str(ipaddress.ip_network((source[:4], PREFIX4), strict=False))
    return str(ipaddress.ip_network((source, PREFIX6), strict=False))

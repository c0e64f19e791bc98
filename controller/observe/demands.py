"""The demand matrix, measured at the edges: what each engine sent to each prefix."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from headers.files.network import Network
from headers.messages import CounterReport, DemandCounter

ServiceKey = tuple[int, str, int, int]
"""An engine's number, a virtual address, protocol and port."""

Spread = Mapping[ServiceKey, Mapping[str, float]]
"""Which share of an engine's traffic to a service goes to which location."""

NO_SERVICES: Spread = {}


class DemandMeter:
    """Turns the agents' growing counters into a matrix of rates."""

    def __init__(self, network: Network) -> None:
        self._engine = {x.engine.number: i for i, x in enumerate(network.locations)}
        self._prefix = {x.prefix: i for i, x in enumerate(network.locations)}
        self._place = {x.name: i for i, x in enumerate(network.locations)}
        self._before: dict[tuple[str, ...], tuple[float, int]] = {}
        self.resets = 0

    def rates(
        self,
        reports: Iterable[CounterReport],
        fallback: NDArray[np.float64],
        spread: Spread = NO_SERVICES,
    ) -> tuple[NDArray[np.float64], bool]:
        """Return the demands [N, N] in bit/s since the last call, and whether all are measured.

        A demand without two good readings (an agent that is away, counters that began anew) keeps
        its value of ``fallback``. The application classes of a demand add up, and so does what
        goes to services: where it goes is what ``spread`` says, to a location's own instances
        none (it does not pass the core).
        """
        demands = fallback.copy()
        expected = {(s, d) for s in self._engine.values() for d in self._prefix.values() if s != d}
        totals: dict[tuple[int, int], float] = {}
        unsure: set[tuple[int, int]] = set()
        for report in reports:
            for row in report.demands:
                source = self._engine.get(row.engine)
                destination = self._prefix.get(row.prefix)
                if source is None or destination is None:
                    continue
                rate = self._rate(report, row.bytes, _demand_key(report, row))
                if rate is None:
                    unsure.add((source, destination))
                else:
                    pair = source, destination
                    totals[pair] = totals.get(pair, 0.0) + rate
            for served in report.services:
                key = served.engine, served.address, served.protocol, served.port
                rate = self._rate(report, served.bytes, (report.agent, *map(str, key)))
                source = self._engine.get(served.engine)
                if source is None or rate is None:
                    continue
                for place, share in spread.get(key, {}).items():
                    destination = self._place.get(place, source)
                    if destination != source:
                        pair = source, destination
                        totals[pair] = totals.get(pair, 0.0) + rate * share
        for pair, rate in totals.items():
            if pair not in unsure:
                demands[pair] = rate
                expected.discard(pair)
        return demands, not expected

    def _rate(self, report: CounterReport, total: int, key: tuple[str, ...]) -> float | None:
        """Return a counter's rate in bit/s since its last reading, None without two good ones."""
        before = self._before.get(key)
        self._before[key] = (report.time_s, total)
        if before is None or report.time_s <= before[0]:
            return None
        if total < before[1]:
            self.resets += 1
            return None
        return (total - before[1]) * 8 / (report.time_s - before[0])


def _demand_key(report: CounterReport, row: DemandCounter) -> tuple[str, ...]:
    return report.agent, str(row.engine), row.prefix, str(row.application_class)

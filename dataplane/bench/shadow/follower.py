"""The benchmark's shadow: a process of its own that replicates and tells what it holds.

``python -m dataplane.bench.shadow.follower SLOTS``; the secret and requests come on the standard
input, a line each; answers go to the standard output as JSON.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from dataplane.bench.shadow.load import ENGINE
from dataplane.shadow import Replicator, ShadowEndpoint
from dataplane.shadow.lag import LagMeter
from headers.replication import Rows

SHADOW = 2


def waited_s() -> float:
    """Return how long this process waited for a processor, in seconds since it began."""
    return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9


class TrueLagMeter(LagMeter):
    """A meter that trusts the clocks: both processes share the machine's."""

    def arrived(self, sent_us: int, delay_us: int, now_us: int) -> int:  # noqa: ARG002
        """Return how long a datagram was under way."""
        return now_us - sent_us


class BothMeters(LagMeter):
    """The protocol's meter, with the truth beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.true = TrueLagMeter()
        self._true_us = 0

    def arrived(self, sent_us: int, delay_us: int, now_us: int) -> int:
        """Return how long a datagram was under way, as the protocol finds it."""
        self._true_us = self.true.arrived(sent_us, delay_us, now_us)
        return super().arrived(sent_us, delay_us, now_us)

    def add(self, waited: Rows, under_way_us: int) -> None:
        """Note both."""
        super().add(waited, under_way_us)
        self.true.add(waited, self._true_us)

    def decay(self) -> None:
        """Keep everything: a run is looked at as a whole."""


async def _main(slots: int) -> None:
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()
    secret = bytes.fromhex(sys.stdin.readline().strip())
    replicator = Replicator(secret)
    receiver = replicator.hold(ENGINE, SHADOW, slots)
    endpoint = ShadowEndpoint(replicator, "127.0.0.1", 0)
    loop.add_reader(sys.stdin.fileno(), lambda: lines.put_nowait(sys.stdin.readline()))
    print(json.dumps({"port": endpoint.address[1]}), flush=True)
    meters = receiver.lag = BothMeters()
    while request := (await lines.get()).strip():
        if request == "begin":
            meters = receiver.lag = BothMeters()
        print(
            json.dumps(
                {
                    "held": len(receiver.replica),
                    "phase": receiver.phase,
                    "lags": meters.count,
                    "p50_us": meters.percentile_us(0.5),
                    "p99_us": meters.percentile_us(0.99),
                    "true_p50_us": meters.true.percentile_us(0.5),
                    "true_p99_us": meters.true.percentile_us(0.99),
                    "processor_s": time.process_time(),
                    "waited_s": waited_s(),
                    "counts": {**receiver.counts, **receiver.replica.counts},
                    "failed": dict(endpoint.counts),
                }
            ),
            flush=True,
        )
    endpoint.close()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))

"""Answers to surges: the demands that outgrew their forecast, and plans made for them at once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from bus import BusError
from controller.errors import ControllerError
from controller.loop import Loop
from controller.observe.surge import Surge, SurgeWatch
from controller.state import Plan
from headers.files.network import Network
from headers.messages import CounterReport

LOG = logging.getLogger("foresteer.surges")

TICKS = 2
"""Ticks for which a lasting surge is planned for on its own; then the forecast knows of it."""

SURE = 0.5
"""Of the time between looks: how soon one that saw something is followed by another."""


class Surges:
    """Looks between ticks, and remembers what is to be planned for until it is over."""

    def __init__(
        self,
        loop: Loop,
        counters: Callable[[], Awaitable[list[CounterReport]]],
        plan_now: Callable[[str], Awaitable[Plan | None]],
        period_s: float,
    ) -> None:
        self._loop = loop
        self._counters = counters
        self._plan_now = plan_now
        self._period_s = period_s
        self._watch: SurgeWatch | None = None
        self._planned: dict[tuple[str, str], tuple[float, int]] = {}
        self.found = 0
        self.failed = 0

    def adopt(self, network: Network) -> None:
        """Begin with a network."""
        self._watch = SurgeWatch(network)
        self._planned = {}

    def rates(self) -> dict[tuple[str, str], float]:
        """Return the demands to plan for, in bit/s, beside the forecast."""
        return {pair: rate for pair, (rate, _) in self._planned.items()}

    def tick(self) -> None:
        """Forget what is over, and what the forecast knows of by now."""
        lasting = self._watch.lasting() if self._watch is not None else frozenset()
        self._planned = {
            pair: (rate, left - 1)
            for pair, (rate, left) in self._planned.items()
            if left and pair in lasting
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Look until told to stop."""
        while not stop.is_set():
            if not self._period_s:
                await stop.wait()
                return
            watch = self._watch
            unsure = watch is not None and watch.unsure
            await asyncio.sleep(self._period_s * (SURE if unsure else 1.0))
            try:
                await self._look()
            except (ControllerError, BusError) as error:
                self.failed += 1
                LOG.error("surges: %s", error)

    async def _look(self) -> None:
        last, watch = self._loop.last, self._watch
        if last is None or watch is None or self._loop.plan is None:
            return
        reports = await self._counters()
        plan = self._loop.plan
        capacities: Mapping[str, float] = {
            link.name: link.capacity_bps for link in last.snapshot.links
        }
        found: tuple[Surge, ...] = watch.look(reports, last.forecast, plan, capacities)
        if not found:
            return
        self.found += len(found)
        lasting = watch.lasting()
        # what was answered before and is over must not keep room that this needs
        self._planned = {pair: one for pair, one in self._planned.items() if pair in lasting}
        self._planned.update({(one.src, one.dst): (one.rate_bps, TICKS) for one in found})
        worst = max(found, key=lambda one: one.utilisation)
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        await self._plan_now(f"{worst}{more}")

"""A brain whose plans come from a file: ``python -m tests.integration.driven_brain``.

Everything else of it is the brain's own: what it observes, how it acts, what it journals. The file
``wanted.json`` of the instance holds a number, circuits (``[spi, src, dst, links, backup]``) and
shares of demands (``[src, dst, {spi: share}]``); ``done.json`` says which number is in force.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bus import Instance
from controller.brain import Brain
from controller.config import load_config
from controller.decide.buckets import apportion
from controller.state import Circuit, Forecast, Outcome, Plan, Snapshot, Split

WANTED, DONE = "wanted.json", "done.json"
LOOK_S = 0.005
NOTHING: Mapping[str, Any] = {"number": 0, "circuits": [], "shares": []}


class Driven(Brain):
    """The brain, but that it plans what it is told to."""

    asked: dict[str, Any] | None = None
    planned: Mapping[str, Any] = NOTHING
    base: Plan | None = None

    async def decide(self, snapshot: Snapshot, forecast: Forecast, previous: Plan | None) -> Plan:
        """Return the plan that was asked for, with the plain routes of a real one."""
        if self.base is None:
            self.base = await super().decide(snapshot, forecast, previous)
        asked = self.planned = self.asked or NOTHING
        number = previous.number + 1 if previous else 1
        held = {circuit.spi: circuit for circuit in previous.circuits} if previous else {}
        circuits = []
        for spi, src, dst, links, backup in asked["circuits"]:
            made = Circuit(spi, src, dst, tuple(links), number, tuple(backup))
            before = held.get(spi)
            same = before is not None and replace(before, generation=number) == made
            circuits.append(before if before is not None and same else made)
        splits = []
        for src, dst, shares in asked["shares"]:
            spis = tuple(int(spi) for spi in shares)
            counts = apportion(list(shares.values()))
            table = tuple(
                spi for spi, count in zip(spis, counts, strict=True) for _ in range(count)
            )
            splits.append(Split(src, dst, spis, tuple(shares.values()), table))
        return replace(
            self.base,
            number=number,
            snapshot=snapshot.number,
            forecast=forecast.number,
            circuits=tuple(circuits),
            splits=tuple(splits),
        )

    async def act(self, plan: Plan, previous: Plan | None) -> tuple[Outcome, Plan]:
        """Act, and say so."""
        number = self.planned["number"]
        outcome, done = await super().act(plan, previous)
        draft = self.instance.directory / f".{DONE}"
        draft.write_text(json.dumps({"number": number, "errors": outcome.errors}))
        draft.replace(self.instance.directory / DONE)
        return outcome, done

    async def _heed(self) -> None:
        path = self.instance.directory / WANTED
        while True:
            if path.exists():
                asked = json.loads(path.read_text())
                if self.asked is None or asked["number"] != self.asked["number"]:
                    self.asked = asked
                    if self.loop.last is None:
                        self._wake("a plan is wanted")
                    else:
                        await self._plan_now(f"plan {asked['number']} is wanted")
            await asyncio.sleep(LOOK_S)

    async def _ensure(self, stop: asyncio.Event) -> None:
        heeding = asyncio.create_task(self._heed())
        try:
            await super()._ensure(stop)
        finally:
            heeding.cancel()


def main() -> None:
    """Be the brain of the instance that the environment names."""
    instance = Instance.find()
    if instance.hold("brain") is None:
        sys.exit("a brain is running already")
    asyncio.run(Driven(instance, load_config(instance.directory / "config.yaml")).run())


if __name__ == "__main__":
    main()

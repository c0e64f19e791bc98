"""A brain that is asked by a file: ``python -m tests.integration.asked_brain``.

``ask.json`` of the instance holds a number, a call of ``Circuits`` or ``Firewall`` and its
arguments; ``answer.json`` says what came of it.
"""

import asyncio
import json
import sys
from dataclasses import asdict
from typing import Any

from bus import Instance
from controller.brain import Brain
from controller.config import load_config
from controller.errors import RequestError
from controller.state import Circuit, FirewallRule

ASK, ANSWER = "ask.json", "answer.json"
LOOK_S = 0.005


class Asked(Brain):
    """The brain, with an operator who writes files."""

    async def _call(self, call: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if "path" in arguments:
            arguments["path"] = tuple(arguments["path"])
        if "rule" in arguments:
            arguments["rule"] = FirewallRule(**arguments["rule"])
        of = self.firewall if "firewall" in call else self.circuits
        try:
            done = await getattr(of, call)(**arguments)
        except RequestError as error:
            return {"refused": str(error)}
        if isinstance(done, Circuit):
            return asdict(done)
        return {"findings": [asdict(one) for one in done or ()]}

    async def _heed(self) -> None:
        path, number = self.instance.directory / ASK, 0
        while True:
            if path.exists():
                asked = json.loads(path.read_text())
                if asked["number"] != number:
                    number = asked["number"]
                    answer = await self._call(asked["call"], asked["arguments"])
                    draft = self.instance.directory / f".{ANSWER}"
                    draft.write_text(json.dumps({"number": number, **answer}))
                    draft.replace(self.instance.directory / ANSWER)
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
    asyncio.run(Asked(instance, load_config(instance.directory / "config.yaml")).run())


if __name__ == "__main__":
    main()

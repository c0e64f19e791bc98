"""Real name servers for one scenario: ``python -m tests.integration.names_lab SCENARIO RESULT``.

It runs in namespaces of its own, whose loopback, /tmp and /run are nobody else's, and which take
the servers with them. The scenario is a coroutine of tests/integration/dns_scenarios.py or
bgp_scenarios.py (``MODULE.FUNCTION``); what it returns is written as JSON.
"""

import asyncio
import importlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from topologies.lab.namespaces import loopback_up

ZONE = "gslb.example."
OUTSIDE_NAME = "other.gslb.example."
PATIENCE_S = 20.0


async def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_S) -> float:
    """Wait for a condition, looking often; return how long it took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"{what}: not within {seconds} s")
        await asyncio.sleep(0.005)
    return time.monotonic() - began


class Servers:
    """What a scenario started; each ends by its own process id."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="names"))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str]) -> None:
        with (self.directory / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory
            )

    def stop(self, name: str, *, kill: bool = False) -> None:
        process = self.processes.pop(name)
        process.kill() if kill else process.terminate()
        process.wait(10)

    def logs(self) -> dict[str, str]:
        return {
            path.name: path.read_text(errors="replace")[-3000:]
            for path in self.directory.rglob("*.log")
        }

    def close(self) -> None:
        for name in list(self.processes):
            self.stop(name, kill=True)


def main() -> int:
    """Run one scenario."""
    logging.basicConfig(level=logging.WARNING)
    scenario, result = sys.argv[1:]
    out = os.open(result, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    loopback_up()
    module, _, name = scenario.partition(".")
    servers = Servers()
    try:
        scenarios = importlib.import_module(f"tests.integration.{module}")
        found = asyncio.run(getattr(scenarios, name)(servers))
    except BaseException:
        logs = "\n".join(f"== {path}\n{text}" for path, text in servers.logs().items())
        found = {"error": f"{traceback.format_exc()}\n{logs}"}
    finally:
        servers.close()
    os.write(out, json.dumps(found).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

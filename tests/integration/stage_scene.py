"""``python -m tests.integration.stage_scene SCENARIO RESULT``, in namespaces of its own."""

import asyncio
import json
import sys
import tempfile
import traceback
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from dataplane.bench.stage import failures
from topologies.lab.namespaces import loopback_up

SCENARIOS = {
    "failover": lambda where: failures.takeover(where, 4, 1000),
    "without": lambda where: failures.takeover(where, 1, 300, replicated=False),
    "headless": lambda where: failures.headless(where, 300),
    "switchover": lambda where: failures.switchover(where, 300),
}


def plain(value: Any) -> Any:
    """Return a value as JSON takes it."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else value


def main() -> int:
    """Run one scenario."""
    scenario, result = sys.argv[1:]
    with Path(result).open("w") as out:
        loopback_up()
        where = Path(tempfile.mkdtemp(prefix="stage"))
        try:
            found = plain(asyncio.run(SCENARIOS[scenario](where)))
        except BaseException:
            logs = {str(log): log.read_text()[-3000:] for log in where.glob("*.log")}
            found = {"error": traceback.format_exc(), "logs": logs}
        json.dump(found, out)
    return 0


if __name__ == "__main__":
    sys.exit(main())

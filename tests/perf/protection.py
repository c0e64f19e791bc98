"""What changes and cuts cost on Abilene: ``python -m tests.perf.protection`` (root, minutes).

The scenario of the integration test with ten cuts of each kind; prints packets and milliseconds.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from topologies.lab.namespaces import start_inside

RATE_PER_S = 500.0


def main() -> int:
    """Run the heavy scenario and print what each demand lost."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        child, lifeline = start_inside(
            "tests.integration.lab",
            ["protection_scenarios.protection", str(result)],
            keep=[Path(folder)],
            environment={"FORESTEER_PROTECTION": "heavy"},
        )
        try:
            child.wait()
        finally:
            os.close(lifeline)
        seen = json.loads(result.read_text())
    if "error" in seen:
        print(seen["error"])
        return 1
    links = dict(seen["cuts"])
    for phase, counts in seen["losses"].items():
        lost, sent = counts["lost"], counts["sent"]
        took = ", ".join(f"{1000 * n / RATE_PER_S:.0f}" for n in lost)
        print(f"{phase:10} {links.get(phase, ''):14} lost {lost} of {sent} packets: {took} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())

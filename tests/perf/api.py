"""1,000 reads/s and 500 listeners beside a running loop: ``python -m tests.perf.api``.

Root; a minute. The readers run on the same two processors.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from topologies.lab.namespaces import start_inside

ASKED = (("1000", "0"), ("1000", "500"), ("200", "500"))
"""Reads per second, and listeners."""


def main() -> int:
    """Print a line per load."""
    for reads, streams in ASKED:
        with tempfile.TemporaryDirectory() as folder:
            result = Path(folder) / "result.json"
            child, lifeline = start_inside(
                "tests.integration.lab",
                ["api_scenarios.reads", str(result)],
                keep=[Path(folder)],
                environment={
                    "FORESTEER_READS": reads,
                    "FORESTEER_STREAMS": streams,
                    "FORESTEER_SECONDS": "20",
                },
            )
            try:
                child.wait()
            finally:
                os.close(lifeline)
            found = json.loads(result.read_text())
        print(f"{reads} reads/s, {streams} listeners: {found}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""1,000 reads/s and 500 listeners beside a running loop: ``python -m tests.perf.api``.

Root; a minute. The readers run on the same two processors.
"""

import sys

from tests.perf.scenario import once

ASKED = (("1000", "0"), ("1000", "500"), ("200", "500"))
"""Reads per second, and listeners."""


def main() -> int:
    """Print a line per load."""
    for reads, streams in ASKED:
        found = once(
            "api_scenarios.reads",
            FORESTEER_READS=reads,
            FORESTEER_STREAMS=streams,
            FORESTEER_SECONDS="20",
        )
        print(f"{reads} reads/s, {streams} listeners: {found}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

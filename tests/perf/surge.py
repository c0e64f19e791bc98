"""From a surge's first packet to the first moved bucket: ``python -m tests.perf.surge [TIMES]``.

Root; twelve minutes for 50. The scenario is that of the integration test.
"""

import sys
import time
from typing import Any

import numpy as np

from tests.perf.scenario import once

EACH = 5
"""Surges of one network: afterwards its demands are spread over several paths already."""


LATEST_S = 1.0
"""What is wanted; where it took longer, what the brain said is printed."""


def surges(times: int) -> dict[str, Any]:
    """Run the scenario once."""
    seed = str(time.time_ns())
    return once("surge_scenarios.surges", FORESTEER_SURGES=str(times), FORESTEER_SEED=seed)


def main() -> int:
    """Run the scenario and print the percentiles."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    seen: list[dict[str, Any]] = []
    while len(seen) < wanted:
        found = surges(min(EACH, wanted - len(seen)))
        if "error" in found:
            print(found["error"])
            return 1
        for one in found["seen"]:
            print(
                f"{one['pair']} {1000 * one['moved_s']:5.0f} ms, {one['phase_s']:.2f} s after a"
                f" tick, load {one['load']:.1f}: {one['said'] or 'answered by something else'}",
                flush=True,
            )
        if any(not 0.0 < one["moved_s"] < LATEST_S for one in found["seen"]):
            print(found["log"], flush=True)
        seen += found["seen"]
    moved = np.array([one["moved_s"] for one in seen])
    answered = 1000 * moved[moved > 0]
    p50, p99 = np.percentile(answered, (50, 99))
    print(
        f"{len(moved)} surges: p50 {p50:.0f} ms, p99 {p99:.0f} ms, max {answered.max():.0f} ms,"
        f" {int((moved == 0).sum())} without an answer"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

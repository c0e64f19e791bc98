"""What changes and cuts cost on Abilene: ``python -m tests.perf.protection`` (root, minutes).

The scenario of the integration test with ten cuts of each kind; prints packets and milliseconds.
"""

import sys

from tests.perf.scenario import once

RATE_PER_S = 500.0


def main() -> int:
    """Run the heavy scenario and print what each demand lost."""
    seen = once("protection_scenarios.protection", FORESTEER_PROTECTION="heavy")
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

"""Is load that is seen coming diverted in time? ``python -m tests.perf.policy [SEEDS]``.

Root; two minutes a seed. The scenario is that of the integration test, with other generated load.
A divert is in time when the first new connection arrives elsewhere before the threshold is passed;
it is false when the threshold is never passed within what was replayed. FORESTEER_SCALE=0.6 makes
days without a breach: nothing should be diverted then.
"""

import sys

from tests.perf.scenario import once


def main() -> int:
    """Print a line per seed, and how many were in time."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    in_time = false = quiet = 0
    for seed in range(1, seeds + 1):
        found = once("policy_scenarios.diverted", FORESTEER_SEED=str(seed))
        if "the plan shows the divert" in found.get("error", ""):
            quiet += 1
            print(f"seed {seed}: nothing was diverted in all that was replayed", flush=True)
            continue
        if "error" in found:
            print(f"seed {seed}: {found['error']}", flush=True)
            continue
        moved, crossed = found["web"]["first_at_d_s"], found["crossed_s"]
        early = moved is not None and (crossed is None or moved < crossed)
        in_time += early and crossed is not None
        false += moved is not None and crossed is None
        lead = f"{crossed - moved:.1f} s before" if early and crossed else "no"
        print(
            f"seed {seed}: diverted at {moved}, passed at {crossed}: {lead};"
            f" web {found['web']}, db {found['db']}, undone"
            f" {found['undone_s'] - found['over_s']:.1f} s after the load, after it"
            f" {found['after']}; {found['ahead'].get('why')}",
            flush=True,
        )
    print(f"{in_time} of {seeds} in time; {false} diverts without need; {quiet} without any")
    return 0


if __name__ == "__main__":
    sys.exit(main())

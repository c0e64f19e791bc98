"""How fast names and prefixes follow: ``python -m tests.perf.names``.

Root; a minute. Real BIND, nsupdate, PowerDNS, BIRD and FRR in namespaces of their own.
"""

import sys
import tempfile
from functools import partial
from pathlib import Path

from tests.integration.scenes import play

run = partial(play, "names_lab")


def main() -> int:
    """Print a line per figure, with its bar."""
    with tempfile.TemporaryDirectory() as folder:
        dns = run("dns_scenarios.speed", Path(folder))
        powerdns = run("dns_scenarios.weighted", Path(folder))
        bgp = run("bgp_scenarios.speed", Path(folder))
        restarts = run("bgp_scenarios.restarts", Path(folder))
        shift = run("outside_scenarios.followed", Path(folder))
    ours, theirs, opened = (dns[name] for name in ("ours_ms", "nsupdate_ms", "nsupdate_open_ms"))
    print(f"BIND, change to visible, median of {dns['rounds']}:")
    print(f"  ours {ours:.1f} ms ({dns['read_back_ms']:.1f} ms with read-back)")
    print(f"  nsupdate as a command {theirs:.1f} ms: ratio {ours / theirs:.2f} (bar 1.5)")
    print(f"  nsupdate kept open {opened:.1f} ms: ratio {ours / opened:.2f} (no bar)")
    print(f"PowerDNS, change with read-back: {powerdns['apply_ms']:.1f} ms")
    print(f"  0.8 asked for, {powerdns['east']:.3f} of 1,000 clients")
    print(f"BIRD, announcement to kernel: p50 {bgp['p50_ms']:.1f} ms (bar 15)")
    print(
        f"  p90 {bgp['p90_ms']:.1f} ms; {bgp['many']} prefixes {bgp['many_ms']:.0f} ms (bar 1000)"
    )
    print(f"ExaBGP killed: routes right after {restarts['speaker_s']:.1f} s")
    print(f"BIRD killed: routes right {restarts['neighbour_s']:.1f} s after its start")
    print(f"a shift by 3 steps, 0.3 s apart: converged in {shift['converged_s']:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs the whole suite in namespaces of its own, then looks outside for anything left behind."""

import os
import subprocess
import sys
from pathlib import Path

from topologies.lab.namespaces import start_inside

ROOT = Path(__file__).resolve().parent.parent
COVERAGE_FLOOR = 85
NAMES = (
    *("nats-server", "ovs-vswitchd", "ovsdb-server", "ryu-manager", "controller.cli", "replay"),
    *("named -g", "pdns_server", "bird -f", "frr/zebra", "frr/bgpd", "exabgp", "dns/guard.py"),
)


def _lines(*command: str) -> set[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return set(done.stdout.splitlines())


def machine() -> set[str]:
    """Return what a test could leave behind: interfaces, namespaces, pins, processes."""
    found = {f"interface {line.split(':')[1].strip()}" for line in _lines("ip", "-o", "link")}
    found |= {f"network namespace {line}" for line in _lines("ip", "netns")}
    pins = Path("/sys/fs/bpf")
    found |= {f"pin {path}" for path in (pins.iterdir() if pins.is_mount() else ())}
    found |= {
        f"process {line}"
        for line in _lines("ps", "-eo", "pid=,args=")
        if any(name in line for name in NAMES) and "ps -eo" not in line
    }
    return found


def main() -> int:
    """Run pytest under coverage in there; report from out here."""
    before = machine()
    data = ROOT / "build" / "coverage"
    data.mkdir(parents=True, exist_ok=True)
    for old in data.glob(".coverage*"):
        old.unlink()
    environment = {"COVERAGE_FILE": str(data / ".coverage"), "FORESTEER_TESTS": "1"}
    child, lifeline = start_inside("tests.inside", sys.argv[1:], environment=environment)
    try:
        status = child.wait()
    finally:
        os.close(lifeline)
    left = machine() - before
    for thing in sorted(left):
        print(f"left behind: {thing}")
    coverage = [sys.executable, "-m", "coverage"]
    here = {**os.environ, **environment}
    subprocess.run([*coverage, "combine", "-q", str(data)], env=here, cwd=ROOT, check=False)
    whole = not sys.argv[1:]
    floor = [f"--fail-under={COVERAGE_FLOOR}"] if whole else []
    covered = subprocess.run([*coverage, "report", *floor], env=here, cwd=ROOT, check=False)
    return status or (1 if left else 0) or covered.returncode


if __name__ == "__main__":
    sys.exit(main())

"""The inside of ``tests.run_all``: pytest under coverage.

The whole suite goes in two parts: what needs the machine for itself comes alone. Its tests run in
real time, and a machine that stops for seconds, as borrowed ones do, fails one or the other: up to
``FEW`` that failed run once more, and that is said in the output.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from topologies.lab.namespaces import loopback_up, when_left_alone

ROOT = Path(__file__).resolve().parent
SHARED = ("unit", "golden")
"""Folders whose tests may run beside each other."""

GREEN = ("unit/controller/test_southbound_brain_socket.py",)
"""Tests in them that start servers of greenlets."""


TESTS_FAILED = 1  # of pytest
FEW = 8
AGAIN = "failed, and run once more alone: a fault fails again, a machine that paused does not"


LAST_FAILED = ROOT.parent / ".pytest_cache" / "v" / "cache" / "lastfailed"


def failed() -> list[str]:
    """Return the tests that failed since ``LAST_FAILED`` was taken away, as pytest leaves them."""
    try:
        return list(json.loads(LAST_FAILED.read_text()))
    except (OSError, ValueError):
        return []


def parts(arguments: list[str]) -> list[list[str]]:
    """Return pytest's arguments, once per part: those given, or the whole suite's."""
    if arguments:
        return [arguments]
    alone = [
        path
        for path in sorted(ROOT.iterdir())
        if path.is_dir() and path.name not in SHARED and any(path.glob("test_*.py"))
    ]
    shared = [ROOT / name for name in SHARED]
    return [
        ["-n", "2", *(f"--ignore={ROOT / name}" for name in GREEN), *map(str, shared)],
        [
            "--durations",
            "25",
            "--durations-min",
            "5",
            *map(str, (*alone, *(ROOT / n for n in GREEN))),
        ],
    ]


def main() -> int:
    """Be the first process in the tests' namespaces."""
    # the kernel ends all the rest with the first process
    when_left_alone(lambda: os._exit(1))
    loopback_up()
    command = [sys.executable, "-m", "coverage", "run", "-m", "pytest"]
    status, whole = 0, not sys.argv[1:]
    for part in parts(sys.argv[1:]):
        # those beside each other have no greenlets, and threads that come and go
        more = {"FORESTEER_CONCURRENCY": "thread"} if "-n" in part else {}
        LAST_FAILED.unlink(missing_ok=True)
        done = subprocess.run([*command, *part], env={**os.environ, **more}, check=False)
        again = failed() if whole and not more and done.returncode == TESTS_FAILED else []
        if 0 < len(again) <= FEW:
            print(f"\n{len(again)} {AGAIN}:", *again, sep="\n  ", flush=True)
            done = subprocess.run([*command, *again], check=False)
        status = max(status, done.returncode)
    return status


if __name__ == "__main__":
    sys.exit(main())

"""The inside of ``tests.run_all``: private /tmp and /run, then pytest under coverage."""

import subprocess
import sys

from topologies.lab.namespaces import loopback_up, make_private


def main() -> int:
    """Be the first process in the tests' namespaces."""
    make_private()
    loopback_up()
    command = [sys.executable, "-m", "coverage", "run", "-m", "pytest", *sys.argv[1:]]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

"""The inside of ``tests.run_all``: pytest under coverage."""

import subprocess
import sys

from topologies.lab.namespaces import loopback_up


def main() -> int:
    """Be the first process in the tests' namespaces."""
    loopback_up()
    command = [sys.executable, "-m", "coverage", "run", "-m", "pytest", *sys.argv[1:]]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

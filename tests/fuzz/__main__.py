"""``./run fuzz [PACKETS] [SEED]``: the long form, in namespaces of its own."""

import os
import sys

from topologies.lab.namespaces import start_inside


def main() -> int:
    """Fuzz in there; return its exit status."""
    child, lifeline = start_inside("tests.fuzz.inside", sys.argv[1:])
    try:
        return child.wait()
    finally:
        os.close(lifeline)


if __name__ == "__main__":
    sys.exit(main())

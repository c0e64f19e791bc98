"""The inside of ``./run fuzz``."""

import sys

from tests.fuzz.differential import main
from topologies.lab.namespaces import loopback_up

if __name__ == "__main__":
    loopback_up()
    sys.exit(main())

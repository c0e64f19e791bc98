"""Mininet's own command inside our namespaces: ``python -m topologies.lab.mn ARGUMENTS``.

Mininet's cleanup kills by broad names and would also run on any mistake in a custom file; here the
namespaces are the cleanup, so it is replaced by nothing.
"""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import mininet.clean

from bus.instance import Instance
from topologies.errors import LabError, TopologyError
from topologies.lab import ovs
from topologies.lab.namespaces import OUTER_NETWORK, loopback_up
from topologies.lab.supervisor import wait_ovs

MN = Path("/usr/bin/mn")
SOUTHBOUND_PORT = 6653


def arguments(given: list[str]) -> list[str]:
    """Return Mininet's arguments: a remote controller unless another one is asked for."""
    named = any(one.startswith("--controller") for one in given)
    return given if named else ["--controller", "remote,ip=127.0.0.1", *given]


def main() -> int:
    """Prepare the namespaces, then be ``mn``."""
    try:
        loopback_up()
        instance = Instance.find()
        outer = os.environ[OUTER_NETWORK]
        ports = {SOUTHBOUND_PORT, instance.bus_address().port}
        relay = subprocess.Popen(
            [sys.executable, "-m", "topologies.lab.relay", outer, *map(str, sorted(ports))],
            pass_fds=[int(outer)],
            stdin=subprocess.DEVNULL,
        )
        ovs.start_database(instance)
        ovs.start_switch(instance)
        wait_ovs(instance)
    except LabError as error:
        print(f"error: {error}", flush=True)
        return 1
    mininet.clean.cleanup = lambda: None
    sys.argv = [str(MN), *arguments(sys.argv[1:])]
    try:
        runpy.run_path(str(MN), run_name="__main__")
    except TopologyError as error:
        print(f"error: {error}", flush=True)
        return 1
    except SystemExit as end:
        return int(end.code or 0) if not isinstance(end.code, str) else 1
    finally:
        instance.stop("agent")
        for name in ("vswitchd", "ovsdb", "wire"):
            instance.stop(name)
        relay.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())

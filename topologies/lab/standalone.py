"""The controller by itself: ``python -m topologies.lab.standalone ADDRESS PORT``, supervised."""

import signal
import sys
import threading

from bus import Instance, InstanceError
from topologies.lab.namespaces import when_left_alone
from topologies.lab.supervisor import Supervisor, southbound_command


def main() -> int:
    """Run bus, brain and southbound until whoever started us is gone or says so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    supervisor = Supervisor(Instance.find(), lambda line: print(line, flush=True))
    instance = supervisor.instance
    try:
        supervisor.add_own("bus", instance.ensure_bus)
        supervisor.add_own("brain", instance.ensure_brain)
        supervisor.add("southbound", southbound_command(int(sys.argv[2]), sys.argv[1]))
        supervisor.watch()
        stop = threading.Event()
        when_left_alone(stop.set)
        stop.wait()
    except InstanceError as error:
        print(f"error: {error}", flush=True)
        return 1
    finally:
        supervisor.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

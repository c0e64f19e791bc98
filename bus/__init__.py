"""How the processes of one Foresteer find and talk to each other."""

from bus.client import Bus
from bus.clock import Clock, SystemClock
from bus.errors import BusError, InstanceError
from bus.instance import Instance
from bus.keys import derive_key

__all__ = ["Bus", "BusError", "Clock", "Instance", "InstanceError", "SystemClock", "derive_key"]

"""How the processes of one Foresteer find and talk to each other."""

from typing import TYPE_CHECKING

from headers.lazy import lazily

if TYPE_CHECKING:
    from bus.client import Bus
    from bus.clock import Clock, SystemClock
    from bus.errors import BusError, InstanceError
    from bus.instance import Instance
    from bus.keys import derive_key

__all__ = ["Bus", "BusError", "Clock", "Instance", "InstanceError", "SystemClock", "derive_key"]

__getattr__ = lazily(
    __name__,
    {
        "Bus": "bus.client",
        "BusError": "bus.errors",
        "Clock": "bus.clock",
        "Instance": "bus.instance",
        "InstanceError": "bus.errors",
        "SystemClock": "bus.clock",
        "derive_key": "bus.keys",
    },
)

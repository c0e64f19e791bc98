"""Which switches may connect: those on a list, or those of the network once it is known."""

from collections.abc import Iterable

GRACE_S = 5.0
"""An unknown switch may be one of a network that is just being announced: it waits so long."""


class Admission:
    """Says of a datapath id whether it is one of ours.

    ``listed``: datapath ids that alone are let in, whatever the network's inventory says; none:
    those of the inventory, and all while there is no inventory.
    """

    def __init__(self, listed: Iterable[int | str] | None = None) -> None:
        """Take the list; ids are numbers, or text in hexadecimal as switches print them.

        Raises:
            ValueError: something on it is no datapath id.
        """
        self._listed = None if listed is None else frozenset(map(_number, listed))

    @property
    def strict(self) -> bool:
        """Whether a list was given: nobody else need wait."""
        return self._listed is not None

    def admits(self, dpid: int, inventory: frozenset[int] | None) -> bool:
        """Return whether a switch may be here."""
        allowed = self._listed if self._listed is not None else inventory
        return allowed is None or dpid in allowed


def _number(dpid: int | str) -> int:
    number = dpid if isinstance(dpid, int) else int(dpid.replace(":", ""), 16)
    if not 0 <= number < 1 << 64:
        raise ValueError(f"{dpid!r} is no datapath id")
    return number

"""Which sequence numbers have come: refuses what came before, and says what to acknowledge."""

from headers.errors import PacketError
from headers.replication import ACKNOWLEDGED

_MASK = (1 << ACKNOWLEDGED) - 1


class ReplayWindow:
    """The highest sequence number taken, and which of the 511 below it were taken too."""

    def __init__(self) -> None:
        self.highest = 0
        self.bitmap = 0

    def check(self, sequence: int) -> None:
        """Refuse a number that came before, or that is too old to know.

        Raises:
            PacketError: ``replayed`` or ``too_old``.
        """
        behind = self.highest - sequence
        if behind < 0:
            return
        if behind >= ACKNOWLEDGED:
            raise PacketError("too_old", f"number {sequence}, {behind} behind the highest")
        if self.bitmap >> behind & 1:
            raise PacketError("replayed", f"number {sequence} came before")

    def take(self, sequence: int) -> None:
        """Note a number that was checked and whose datagram is genuine."""
        ahead = sequence - self.highest
        if ahead > 0:
            # a leap empties the window: shifting by as much would make a huge number first
            self.bitmap = (self.bitmap << ahead | 1) & _MASK if ahead < ACKNOWLEDGED else 1
            self.highest = sequence
        else:
            self.bitmap |= 1 << -ahead

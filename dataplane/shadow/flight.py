"""Datagrams under way: what was acknowledged, what was lost, how many more may go out.

Loss is seen by time (RFC 8985): what was sent clearly before something that has arrived is lost.
The window grows and shrinks as TCP's congestion window does (RFC 5681), in datagrams.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from dataplane.shadow.digest import BUCKET
from dataplane.shadow.lag import WindowedMinimum
from dataplane.shadow.pending import URGENT, Sent
from headers.replication import ACKNOWLEDGED, Ack

MOST: Final = ACKNOWLEDGED - 64
"""Datagrams under way at most: an acknowledgement can speak of all of them."""
LEAST: Final = 32
_FIRST = 64
_SHRINK = 0.7
_REORDER_US = 5_000
_LATE_US = 150_000
"""A sender is late that was not asked for so long; it is asked with each heartbeat at least."""
_TIMEOUT_LEAST_US, _TIMEOUT_MOST_US = 200_000, 2_000_000
_FIRST_RTT_US = 100_000
_QUEUE_US = 15_000


@dataclass(frozen=True, slots=True, eq=False)
class UnderWay:
    """A datagram: when it went out, and what it held."""

    sent_us: int
    parts: tuple[Sent, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Datagrams by sequence number, of which it is now known what became of them."""

    acknowledged: tuple[tuple[int, UnderWay], ...]
    lost: tuple[tuple[int, UnderWay], ...]


class Flight:
    """The datagrams under way of one session."""

    def __init__(self) -> None:
        self._under_way: dict[int, UnderWay] = {}
        self._shortest = WindowedMinimum()
        self._newest_us = 0
        self._shrunk_us = 0
        self._looked_us = 0
        self._patient_until_us = 0
        self._backoff = 1
        self.window = float(_FIRST)
        self._slow_start = True
        self.rtt_us = 0
        """Smoothed round trip; 0 while unknown."""
        self.shortest_us = 0

    def __len__(self) -> int:
        return len(self._under_way)

    @property
    def room(self) -> int:
        """Return how many more datagrams may go out."""
        return max(0, int(self.window) - len(self._under_way))

    @property
    def room_for_bulk(self) -> bool:
        """Return whether a snapshot may have one more: it leaves half of the window to changes.

        It also stops while datagrams queue up on the way or at the shadow, as changes would have to
        wait behind it (the idea of RFC 6817).
        """
        queueing = self.rtt_us - self.shortest_us > _QUEUE_US
        most = LEAST if queueing else self.window
        return len(self._under_way) < most / 2

    @property
    def timeout_us(self) -> int:
        """Return after how long without word a datagram counts as lost."""
        whole = max(_TIMEOUT_LEAST_US, 3 * (self.rtt_us or _FIRST_RTT_US)) * self._backoff
        return min(_TIMEOUT_MOST_US, whole)

    @property
    def carries_bulk(self) -> bool:
        """Return whether anything of a snapshot or repair is under way."""
        return any(part.bulk for held in self._under_way.values() for part in held.parts)

    @property
    def carries_changes(self) -> bool:
        """Return whether anything but heartbeats is under way."""
        return any(held.parts for held in self._under_way.values())

    def busy_buckets(self) -> set[int]:
        """Return the buckets of which changes are under way that checksums cover."""
        ids = [
            part.ids[part.masks & URGENT != 0]
            for held in self._under_way.values()
            for part in held.parts
        ]
        return set(np.unique(np.concatenate(ids) // BUCKET).tolist()) if ids else set()

    def sent(self, sequence: int, held: UnderWay) -> None:
        """Note a datagram that goes out."""
        self._under_way[sequence] = held

    def acknowledge(self, ack: Ack, now_us: int) -> Outcome:
        """Take an acknowledgement; return what is known by it."""
        arrived = []
        for sequence in list(self._under_way):
            behind = ack.highest - sequence
            if 0 <= behind < ACKNOWLEDGED and ack.bitmap >> behind & 1:
                arrived.append((sequence, self._under_way.pop(sequence)))
        if arrived:
            self._backoff = 1
            self._newest_us = max(self._newest_us, *(held.sent_us for _, held in arrived))
            growth = len(arrived) / (1 if self._slow_start else self.window)
            self.window = min(float(MOST), self.window + growth)
            self._measure(ack, now_us)
        late = self._newest_us - max(_REORDER_US, self.rtt_us // 4)
        return Outcome(tuple(arrived), self._drop(late, now_us))

    def _measure(self, ack: Ack, now_us: int) -> None:
        rtt = now_us - ack.echo_us - ack.hold_us
        if rtt < 0:
            return
        self.rtt_us = (7 * self.rtt_us + rtt) // 8 if self.rtt_us else rtt
        self.shortest_us = self._shortest.add(rtt, now_us)

    def expire(self, now_us: int) -> Outcome:
        """Give up what has been under way for too long.

        Whoever comes late itself may have acknowledgements still to read: it gives up nothing yet.
        """
        gap, self._looked_us = now_us - self._looked_us, now_us
        if gap > _LATE_US:
            self._patient_until_us = now_us + _LATE_US
        if now_us < self._patient_until_us:
            return Outcome((), ())
        late = now_us - self.timeout_us
        lost = self._drop(late, now_us)
        if lost:
            self._backoff = min(16, 2 * self._backoff)
        return Outcome((), lost)

    def _drop(self, before_us: int, now_us: int) -> tuple[tuple[int, UnderWay], ...]:
        """Take out what was sent before a time.

        The window shrinks once for all that was under way when it shrank.
        """
        lost = []
        for sequence, held in list(self._under_way.items()):
            if held.sent_us >= before_us:
                break  # later ones were sent later
            lost.append((sequence, self._under_way.pop(sequence)))
        if lost and lost[-1][1].sent_us > self._shrunk_us:
            self.window = max(float(LEAST), self.window * _SHRINK)
            self._shrunk_us = now_us
            self._slow_start = False
        return tuple(lost)

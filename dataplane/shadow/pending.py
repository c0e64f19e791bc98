"""What one shadow does not have yet: a mask per connection, and the order in which it goes out.

Nothing that is sent is kept for sending again. What was lost becomes pending again as groups of
fields, and goes out as it is then. So memory is a few bytes per slot however long a shadow is away,
and a connection that opens and closes meanwhile costs nothing.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataplane.shadow.table import ConnectionTable
from headers.replication import GONE, WHOLE, Ids
from headers.replication.record import ACTIVITY

Masks = NDArray[np.uint8]

_CHANGES = WHOLE | GONE
URGENT: Final = _CHANGES & ~ACTIVITY
_BULK: Final = 0x20
"""Part of a snapshot or a repair."""
_IN_URGENT: Final = 0x40
_IN_COUNTERS: Final = 0x80
_FLAGS = _BULK | _IN_URGENT | _IN_COUNTERS
_SCAN = 8192


class Queue:
    """Connection numbers in the order in which they came, in portions; each at most once."""

    def __init__(self) -> None:
        self._portions: deque[tuple[Ids, int]] = deque()
        self.length = 0

    def push(self, ids: Ids, now_us: int) -> None:
        """Put numbers behind the others."""
        if len(ids):
            self._portions.append((ids, now_us))
            self.length += len(ids)

    def put_back(self, ids: Ids, since_us: int) -> None:
        """Put numbers before the others: they were taken and not used."""
        if len(ids):
            self._portions.appendleft((ids, since_us))
            self.length += len(ids)

    def take(self, most: int) -> Ids:
        """Take numbers from the front."""
        parts = []
        while most > 0 and self._portions:
            ids, since = self._portions.popleft()
            if len(ids) > most:
                self._portions.appendleft((ids[most:], since))
                ids = ids[:most]
            parts.append(ids)
            most -= len(ids)
            self.length -= len(ids)
        if not parts:
            return np.empty(0, np.int64)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    @property
    def since_us(self) -> int | None:
        """Return since when the first has waited, or None."""
        return self._portions[0][1] if self._portions else None


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """What a datagram held: connections [n] and the groups of each [n]."""

    ids: Ids
    masks: Masks
    bulk: bool


class Pending:
    """The difference between a table and what a shadow is known to hold of it."""

    def __init__(self, table: ConnectionTable) -> None:
        self._table = table
        self._dirty = np.zeros(table.slots, np.uint8)
        self._confirmed = np.zeros(table.slots, np.bool_)
        self._may_hold = np.zeros(table.slots, np.bool_)
        self._whole_at = np.zeros(table.slots, np.uint32)
        self.urgent = Queue()
        self.counters = Queue()
        self.bulk = Queue()
        self._cursor = self._end = 0

    def begin(self) -> None:
        """Forget what the shadow held: all of it is to be sent, as a snapshot."""
        table = self._table
        self._dirty[:] = 0
        self._confirmed[:] = False
        self._may_hold[:] = False
        self._whole_at[:] = 0
        self.urgent, self.counters, self.bulk = Queue(), Queue(), Queue()
        self._cursor, self._end = 0, table.top
        self._dirty[: self._end][table.live[: self._end]] = _BULK | WHOLE

    @property
    def scanned(self) -> bool:
        """Return whether the whole snapshot was sent once, and all of it that was lost again."""
        return self._cursor >= self._end and not self.bulk.length

    # what the table tells

    def added(self, ids: Ids, now_us: int) -> None:
        """New connections are in these slots."""
        self._confirmed[ids] = False
        self._whole_at[ids] = 0
        self._dirty[ids] = self._dirty[ids] & _FLAGS | WHOLE
        self._push_urgent(ids, now_us)

    def changed(self, ids: Ids, masks: Masks, now_us: int) -> None:
        """Groups of fields of these connections changed."""
        self._dirty[ids] |= masks
        urgent = (masks & URGENT) != 0
        self._push_urgent(ids[urgent], now_us)
        self._push_counters(ids[~urgent], now_us)

    def removed(self, ids: Ids, now_us: int) -> None:
        """The connections in these slots are no more."""
        flags = self._dirty[ids] & (_IN_URGENT | _IN_COUNTERS)
        told = self._may_hold[ids]
        self._confirmed[ids] = False
        self._dirty[ids] = np.where(told, flags | GONE, flags)
        self._push_urgent(ids[told], now_us)

    def _push_urgent(self, ids: Ids, now_us: int) -> None:
        waiting = self._dirty[ids] & _IN_URGENT != 0
        ids = ids[~waiting]
        self._dirty[ids] |= _IN_URGENT
        self.urgent.push(ids, now_us)

    def _push_counters(self, ids: Ids, now_us: int) -> None:
        waiting = self._dirty[ids] & (_IN_URGENT | _IN_COUNTERS | _BULK) != 0
        ids = ids[~waiting]
        self._dirty[ids] |= _IN_COUNTERS
        self.counters.push(ids, now_us)

    # what the sender takes

    def take_urgent(self, most: int) -> Ids:
        """Take connections that are new, gone, or changed in what matters."""
        ids = self.urgent.take(most)
        self._dirty[ids] &= 0xFF & ~_IN_URGENT
        return self._those(ids, _CHANGES)

    def take_counters(self, most: int, now_us: int) -> Ids:
        """Take connections of which only the activity changed."""
        ids = self.counters.take(most)
        self._dirty[ids] &= 0xFF & ~_IN_COUNTERS
        ids = self._those(ids, ACTIVITY)
        # of those that the shadow is only just being told of, activity can wait until it knows them
        early = ~self._confirmed[ids] & (self._whole_at[ids] > 0)
        if early.any():
            self._dirty[ids[early]] |= _IN_COUNTERS
            self.counters.push(ids[early], now_us)
            return np.asarray(ids[~early])
        return ids

    def _those(self, ids: Ids, bits: int) -> Ids:
        """Return the ones of which any of these bits is set."""
        return np.asarray(ids[self._dirty[ids] & bits != 0])

    def take_bulk(self, most: int) -> Ids:
        """Take connections of a repair, then of the snapshot, in the order of their numbers."""
        if self.bulk.length:
            return self._those(self.bulk.take(most), _BULK)
        while self._cursor < self._end:
            portion = self._dirty[self._cursor : min(self._cursor + _SCAN, self._end)]
            found = np.nonzero(portion & _BULK)[0][:most] + self._cursor
            if len(found):
                self._cursor = int(found[-1]) + 1
                return found
            self._cursor += len(portion)
        return np.empty(0, np.int64)

    def return_urgent(self, ids: Ids, since_us: int) -> None:
        """Take back what was taken and did not fit."""
        self._dirty[ids] |= _IN_URGENT
        self.urgent.put_back(ids, since_us)

    def return_counters(self, ids: Ids, since_us: int) -> None:
        """Take back what was taken and did not fit."""
        self._dirty[ids] |= _IN_COUNTERS
        self.counters.put_back(ids, since_us)

    def return_bulk(self, ids: Ids, since_us: int) -> None:
        """Take back what was taken and did not fit."""
        self.bulk.put_back(ids, since_us)

    def masks(self, ids: Ids) -> Masks:
        """Return the groups [n] to send of connections: all of them where it is not confirmed."""
        dirty = self._dirty[ids] & _CHANGES
        whole = np.where(self._confirmed[ids], dirty, WHOLE)
        return np.where(dirty & GONE != 0, GONE, whole).astype(np.uint8)

    # what became of it

    def sent(self, sent: Sent, sequence: int) -> None:
        """Note that a datagram went out."""
        ids = sent.ids
        self._dirty[ids] &= 0xFF & ~(_CHANGES | _BULK)
        whole = ids[sent.masks == WHOLE]
        self._whole_at[whole] = sequence
        self._may_hold[whole] = True

    def acknowledged(self, sent: Sent, sequence: int) -> None:
        """Note that the shadow has a datagram."""
        whole = sent.ids[sent.masks == WHOLE]
        self._confirmed[whole[(self._whole_at[whole] == sequence) & self._table.live[whole]]] = True
        gone = sent.ids[sent.masks == GONE]
        self._may_hold[gone[self._whole_at[gone] < sequence]] = False

    def lost(self, sent: Sent, sequence: int, now_us: int) -> None:
        """Have pending again what a lost datagram held and no later one did."""
        ids, masks = sent.ids, sent.masks
        live = self._table.live[ids]
        whole = (masks == WHOLE) & live & (self._whole_at[ids] == sequence)
        gone = (masks == GONE) & ~live & self._may_hold[ids]
        part = (masks != WHOLE) & (masks != GONE) & live
        again = whole | gone | part
        ids, masks = ids[again], masks[again]
        self._dirty[ids] |= masks
        if sent.bulk:
            self._push_bulk(ids, now_us)
            return
        urgent = (masks & URGENT) != 0
        self._push_urgent(ids[urgent], now_us)
        self._push_counters(ids[~urgent], now_us)

    def _push_bulk(self, ids: Ids, now_us: int) -> None:
        waiting = self._dirty[ids] & (_BULK | _IN_URGENT) != 0
        ids = ids[~waiting]
        self._dirty[ids] |= _BULK
        self.bulk.push(ids, now_us)

    # comparing

    def settled(self, first: int, end: int) -> bool:
        """Return whether nothing of slots ``first`` to ``end`` waits to be sent or known.

        Activity may: checksums do not cover it. Changes under way are the flight's to know.
        """
        part = slice(first, end)
        return (
            not (self._dirty[part] & (URGENT | _BULK)).any()
            and bool((self._confirmed[part] == self._table.live[part]).all())
            and bool((self._may_hold[part] == self._table.live[part]).all())
        )

    def repair(self, first: int, end: int, now_us: int) -> None:
        """Have slots ``first`` to ``end`` sent once more: what is there, and what is not."""
        ids = np.arange(first, min(end, self._table.slots))
        live = self._table.live[ids]
        self._confirmed[ids] = False
        self._whole_at[ids] = 0
        self._may_hold[ids] = True
        self._dirty[ids] = self._dirty[ids] & _FLAGS | np.where(live, WHOLE, GONE).astype(np.uint8)
        self._push_bulk(ids, now_us)

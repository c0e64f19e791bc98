"""Filling a datagram: which connections, in which sections, until there is no more room."""

from typing import Final

import numpy as np

from dataplane.shadow.pending import Pending, Sent
from dataplane.shadow.table import ConnectionTable
from headers.replication import GONE, SIX, WAITED, WHOLE, Data, Draft, Ids, Section
from headers.replication.envelope import pack_data
from headers.replication.frame import HEADER, MAX_DATAGRAM, TAG_BYTES
from headers.replication.record import FAMILY
from headers.replication.sections import MAX_COUNT, WAITED_MOST, WAITED_UNIT_S

ROOM: Final = MAX_DATAGRAM - HEADER.size - TAG_BYTES
_SMALLEST_ROOM = 96
"""With less room than this no further section is begun."""
_FIRST_GUESS: Final = {WHOLE: 16.0, WHOLE | SIX: 44.0, GONE: 3.0}
_OTHER_GUESS = 6.0
_WAITED_UNIT_US = round(WAITED_UNIT_S * 1e6)
_MARGIN = 0.97


class Batch:
    """One datagram's worth of changes, and what it holds."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.draft = Draft()
        self.parts: list[Sent] = []

    @property
    def full(self) -> bool:
        """Return whether there is no room for another section."""
        return self.room < _SMALLEST_ROOM


class Filler:
    """Fills datagrams of one stream; it learns how many bytes a connection takes."""

    def __init__(self, table: ConnectionTable, pending: Pending) -> None:
        self._table = table
        self._pending = pending
        self._bytes: dict[int, float] = {}

    def room(self, data: Data) -> int:
        """Return how many bytes are left for sections beside what a ``Data`` holds already."""
        return ROOM - len(pack_data(data)) - 4

    def guess(self, batch: Batch) -> int:
        """Return how many new connections may fit."""
        return max(1, int(batch.room / self._guess(WHOLE)))

    def fill_urgent(self, batch: Batch, now_us: int) -> None:
        """Put in what is new, gone, or changed in what matters."""
        pending = self._pending
        while not batch.full and pending.urgent.length:
            since = pending.urgent.since_us or now_us
            ids = pending.take_urgent(self.guess(batch))
            left = self._add(batch, ids, now_us, bulk=False)
            pending.return_urgent(left, since)
            if len(left):
                return

    def fill_counters(self, batch: Batch, now_us: int) -> None:
        """Put in activity."""
        pending = self._pending
        if batch.full or not pending.counters.length:
            return
        since = pending.counters.since_us or now_us
        most = max(1, int(batch.room / self._guess(0)))
        ids = pending.take_counters(most, now_us)
        pending.return_counters(self._add(batch, ids, now_us, bulk=False), since)

    def fill_bulk(self, batch: Batch, now_us: int) -> None:
        """Put in a part of the snapshot, or of a repair."""
        if batch.full:
            return
        ids = self._pending.take_bulk(self.guess(batch))
        self._pending.return_bulk(self._add(batch, ids, now_us, bulk=True), now_us)

    def _guess(self, key: int) -> float:
        return self._bytes.get(key) or _FIRST_GUESS.get(key, _OTHER_GUESS)

    def _add(self, batch: Batch, ids: Ids, now_us: int, *, bulk: bool) -> Ids:
        """Add connections as far as they fit; return the others."""
        ids = np.unique(ids)
        if not len(ids):
            return ids
        masks = self._pending.masks(ids)
        keys = masks.astype(np.int64)
        keys[(masks == WHOLE) & (self._table.rows[ids, FAMILY] == 6)] |= SIX
        left = []
        first = int(keys[0])
        kinds = [first] if (keys == first).all() else np.unique(keys).tolist()
        for key in kinds:
            chosen = keys == key
            done = self._add_section(batch, key, ids[chosen], now_us, bulk=bulk)
            left.append(ids[chosen][done:])
        return left[0] if len(left) == 1 else np.concatenate(left)

    def _add_section(self, batch: Batch, key: int, ids: Ids, now_us: int, *, bulk: bool) -> int:
        """Add a section of connections that change alike; return how many fitted."""
        timed = key & WHOLE == WHOLE and not bulk
        count = min(len(ids), MAX_COUNT, int(_MARGIN * batch.room / self._guess(key)))
        while count > 0 and not batch.full:
            taken = ids[:count]
            waited = None
            if timed:
                units = (now_us - self._table.since_us[taken]) // _WAITED_UNIT_US
                waited = np.clip(units, 0, WAITED_MOST).astype(np.uint32)
            section = Section(
                key | WAITED if timed else key, taken, self._table.rows[taken], waited
            )
            size = batch.draft.try_add(section, batch.room)
            if count >= 16:  # what a section has once is spread over many
                self._bytes[key] = size / count
            if size <= batch.room:
                batch.room -= size
                masks = np.full(count, key & (WHOLE | GONE), np.uint8)
                batch.parts.append(Sent(taken, masks, bulk))
                return count
            count = min(count - 1, int(_MARGIN * count * batch.room / size))
        return 0

"""A shadow's copy of a primary's connections, in the primary's slots.

For each group of fields of a slot the sequence number of the datagram that set it is kept. An older
one changes nothing, so duplicates and reordering are harmless. What was there before a session
began stays until the session's snapshot is complete: an old replica is better than none.
"""

from collections import Counter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataplane.shadow.digest import BUCKET, checksum
from dataplane.shadow.flows import keys_of_rows
from headers.replication import FIELDS, GONE, MAX_SLOTS, WHOLE, Ids, Rows, Section
from headers.replication.record import GROUP_FIELDS, GROUPS

_FIRST_SLOTS: Final = 4096
_FIELDS: Final = tuple(np.array(GROUP_FIELDS[group]) for group in GROUPS)


class Replica:
    """Connections of one primary, in slots below ``slots`` (a multiple of 256).

    Connections in higher slots are not held: ``unheld`` says how many there are.
    """

    def __init__(self, primary: int, slots: int) -> None:
        if not BUCKET <= slots <= MAX_SLOTS or slots % BUCKET:
            raise ValueError(
                f"a replica has a multiple of {BUCKET} slots, {MAX_SLOTS} at most, not {slots}"
            )
        self.primary = primary
        self.slots = slots
        self.counts: Counter[str] = Counter()
        self._rows: Rows = np.zeros((0, FIELDS), np.uint32)
        self._held = np.zeros(0, np.bool_)
        self._version = np.zeros((0, len(GROUPS)), np.uint32)
        self._beyond = np.zeros(0, np.bool_)
        self._grow(_FIRST_SLOTS)

    def _grow(self, least: int) -> None:
        """Have room for at least so many slots, in doublings."""
        size = min(self.slots, 1 << (least - 1).bit_length())
        more = size - len(self._rows)
        self._rows = np.concatenate((self._rows, np.zeros((more, FIELDS), np.uint32)))
        self._held = np.concatenate((self._held, np.zeros(more, np.bool_)))
        self._version = np.concatenate((self._version, np.zeros((more, len(GROUPS)), np.uint32)))

    def __len__(self) -> int:
        return int(np.count_nonzero(self._held))

    @property
    def unheld(self) -> int:
        """Return how many connections of the primary have no room here."""
        return int(np.count_nonzero(self._beyond))

    def begin(self) -> None:
        """Take a new session's word from now on; keep what is there until it is complete."""
        self._version[:] = 0
        self._beyond[:] = False

    def complete(self) -> None:
        """Drop what the session's snapshot did not hold."""
        stale = self._held & (self._version[:, 0] == 0)
        self.counts["stale"] += int(np.count_nonzero(stale))
        self._held &= ~stale

    def clear(self) -> None:
        """Drop everything."""
        self._held[:] = False
        self.begin()

    def apply(self, section: Section, sequence: int) -> None:
        """Take the changes of a datagram."""
        ids, rows = section.ids, section.rows
        if int(ids[-1]) >= self.slots:
            within = ids < self.slots
            self._note_beyond(ids[~within], section.groups)
            ids, rows = ids[within], rows[within]
            if not len(ids):
                return
        if int(ids[-1]) >= len(self._rows):
            self._grow(int(ids[-1]) + 1)
        if section.groups == GONE:
            self._end(ids, sequence)
        elif section.groups == WHOLE:
            self._set(ids, rows, sequence)
        else:
            self._change(ids, rows, section.groups, sequence)

    def _note_beyond(self, ids: Ids, groups: int) -> None:
        if groups not in {WHOLE, GONE}:
            return
        if int(ids[-1]) - self.slots >= len(self._beyond):
            beyond = np.zeros(1 << (int(ids[-1]) - self.slots).bit_length(), np.bool_)
            beyond[: len(self._beyond)] = self._beyond
            self._beyond = beyond
        self._beyond[ids - self.slots] = groups == WHOLE

    def _end(self, ids: Ids, sequence: int) -> None:
        newer = ids[self._version[ids, 0] < sequence]
        self._held[newer] = False
        self._version[newer] = np.maximum(self._version[newer], sequence)
        self.counts["old"] += len(ids) - len(newer)

    def _set(self, ids: Ids, rows: Rows, sequence: int) -> None:
        newer = self._version[ids] < sequence
        if newer.all():
            self._rows[ids] = rows
            self._version[ids] = sequence
            self._held[ids] = True
            return
        self._held[ids[newer[:, 0]]] = True
        for place in range(len(GROUPS)):
            self._write(ids, rows, place, newer[:, place], sequence)

    def _change(self, ids: Ids, rows: Rows, groups: int, sequence: int) -> None:
        known = self._held[ids] & (self._version[ids, 0] > 0)
        if not known.all():
            self.counts["unknown"] += int((~known).sum())
        for place, group in enumerate(GROUPS):
            if groups & group:
                newer = known & (self._version[ids, place] < sequence)
                self._write(ids, rows, place, newer, sequence)

    def _write(
        self, ids: Ids, rows: Rows, place: int, newer: NDArray[np.bool_], sequence: int
    ) -> None:
        if not newer.all():
            self.counts["old"] += int((~newer).sum())
            ids, rows = ids[newer], rows[newer]
        fields = _FIELDS[place]
        self._rows[ids[:, None], fields] = rows[:, fields]
        self._version[ids, place] = sequence

    def differs(self, bucket: int, theirs: int, sequence: int) -> bool:
        """Return whether a bucket differs from the primary's checksum in datagram ``sequence``.

        Of a bucket that a later datagram changed already, and of slots that are not held here,
        nothing can be said: False.
        """
        part = slice(bucket * BUCKET, (bucket + 1) * BUCKET)
        if part.start >= self.slots:
            return False
        if part.start >= len(self._rows):
            return theirs != 0
        if int(self._version[part].max()) > sequence:
            return False
        ids = np.nonzero(self._held[part] & (self._version[part, 0] > 0))[0] + part.start
        return checksum(ids, self._rows[ids]) != theirs

    def rows(self) -> Rows:
        """Return the connections held: rows [n, FIELDS]."""
        return self._rows[self._held]

    def keys(self, engine: int) -> NDArray[np.void]:
        """Return their keys [n] (FLOW_KEY), as they are in the tables of ``engine``."""
        return keys_of_rows(self.rows(), engine)

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

_PROMOTED: Final = 2
"""The first groups say who a connection is and where it goes: all that a takeover needs."""

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
        # the kernel gives memory of zeros when it is first written: slots not used cost nothing
        self._rows: Rows = np.zeros((slots, FIELDS), np.uint32)
        self._held = np.zeros(slots, np.bool_)
        self._version = np.zeros((slots, len(GROUPS)), np.uint32)
        self._beyond = np.zeros(0, np.bool_)
        self._touched = np.zeros(slots, np.bool_)
        self._top = 0

    def __len__(self) -> int:
        return int(np.count_nonzero(self._held[: self._top]))

    @property
    def unheld(self) -> int:
        """Return how many connections of the primary have no room here."""
        return int(np.count_nonzero(self._beyond))

    def begin(self) -> None:
        """Take a new session's word from now on; keep what is there until it is complete."""
        self._version[: self._top] = 0
        self._beyond[:] = False

    def complete(self) -> None:
        """Drop what the session's snapshot did not hold."""
        held = self._held[: self._top]
        stale = held & (self._version[: self._top, 0] == 0)
        self.counts["stale"] += int(np.count_nonzero(stale))
        held &= ~stale
        self._touched[: self._top] |= stale

    def apply(self, section: Section, sequence: int) -> None:
        """Take the changes of a datagram."""
        ids, rows = section.ids, section.rows
        if int(ids[-1]) >= self.slots:
            within = ids < self.slots
            self._note_beyond(ids[~within], section.groups)
            ids, rows = ids[within], rows[within]
            if not len(ids):
                return
        self._top = max(self._top, int(ids[-1]) + 1)
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
        self._touched[newer] = True
        self._version[newer] = np.maximum(self._version[newer], sequence)
        self.counts["old"] += len(ids) - len(newer)

    def _set(self, ids: Ids, rows: Rows, sequence: int) -> None:
        newer = self._version[ids] < sequence
        if newer.all():
            self._rows[ids] = rows
            self._version[ids] = sequence
            self._held[ids] = True
            self._touched[ids] = True
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
        self._touched[ids] |= place < _PROMOTED
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
        if int(self._version[part].max()) > sequence:
            return False
        ids = np.nonzero(self._held[part] & (self._version[part, 0] > 0))[0] + part.start
        return checksum(ids, self._rows[ids]) != theirs

    def touch(self) -> None:
        """Have everything that is held come with the next ``take_touched``."""
        self._touched[: self._top] |= self._held[: self._top]

    def take_touched(self) -> tuple[Ids, NDArray[np.bool_], Rows]:
        """Return what came or went since the last call: slots [n], whether held [n], rows [n].

        Also those whose identity or backend changed; activity is none of this.
        """
        ids = np.nonzero(self._touched[: self._top])[0]
        self._touched[ids] = False
        return ids, self._held[ids], self._rows[ids]

    def rows(self) -> Rows:
        """Return the connections held: rows [n, FIELDS]."""
        return self._rows[: self._top][self._held[: self._top]]

    def keys(self, engine: int) -> NDArray[np.void]:
        """Return their keys [n] (FLOW_KEY), as they are in the tables of ``engine``."""
        return keys_of_rows(self.rows(), engine)

"""The primary's connections, each in a numbered slot: what all its shadows are to hold.

The table is fed from the engine's events and sweeps (``feed.py``). Each shadow follows it: it is
told which slots changed, and reads the rows when it sends, so what waits is never stale.
"""

from collections import Counter
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dataplane.shadow.flows import keys_of_rows, rows_of_keys
from headers.replication import FIELDS, MAX_SLOTS, Ids, Rows
from headers.replication.record import (
    ACTIVITY,
    ASSIGNED,
    BACKEND,
    CIRCUIT,
    LAST_SEEN,
    STATE,
    STATUS,
    THROUGHPUT,
)

THROUGHPUT_STEP = 2
"""A throughput is sent anew when its code moved by so much: 19 %."""
LAST_SEEN_STEP_S = 5


class Follower(Protocol):
    """Whoever is told of changes: a stream to one shadow."""

    def added(self, ids: Ids, now_us: int) -> None:
        """New connections are in these slots."""

    def changed(self, ids: Ids, masks: NDArray[np.uint8], now_us: int) -> None:
        """Groups of fields of these connections changed."""

    def removed(self, ids: Ids, now_us: int) -> None:
        """The connections in these slots are no more."""


class ConnectionTable:
    """Connections of one engine, at most ``slots``; more are counted under ``table_full``."""

    def __init__(self, engine: int, slots: int) -> None:
        if not 0 < slots <= MAX_SLOTS:
            raise ValueError(f"a table holds 1 to {MAX_SLOTS} connections, not {slots}")
        self.engine = engine
        self.slots = slots
        self.rows: Rows = np.zeros((slots, FIELDS), np.uint32)
        self.live = np.zeros(slots, np.bool_)
        self.since_us = np.zeros(slots, np.int64)
        """When the change happened that made a slot's connection what it is."""
        self.counts: Counter[str] = Counter()
        self.top = 0
        """No slot from here on was ever used."""
        self._free: list[int] = []
        self._slot_of: dict[bytes, int] = {}
        self._followers: list[Follower] = []

    def __len__(self) -> int:
        return len(self._slot_of)

    def follow(self, follower: Follower) -> None:
        """Tell somebody of all changes from now on."""
        self._followers.append(follower)

    def unfollow(self, follower: Follower) -> None:
        """Tell them no longer."""
        self._followers.remove(follower)

    def slots_of(self, keys: NDArray[np.void]) -> Ids:
        """Return the slots [n] of connections by their keys [n], -1 where there is none."""
        get = self._slot_of.get
        return np.array([get(key, -1) for key in keys.tolist()], np.int64)

    def put(
        self, keys: NDArray[np.void], values: Rows, happened_us: NDArray[np.int64], now_us: int
    ) -> Ids:
        """Have connections in the table, as new ones or changed.

        ``keys``: [n]; ``values``: rows [n, FIELDS] of which all but the identity counts;
        ``happened_us``: [n], when; a key that comes twice is as it came last. Returns the slots
        [n], -1 where there was no room.
        """
        found = self._claim(keys.tolist())
        refused = int((found < 0).sum())
        if refused:
            self.counts["table_full"] += refused
        ids, backwards = np.unique(found[::-1], return_index=True)
        last = len(found) - 1 - backwards
        if refused:
            ids, last = ids[1:], last[1:]
        known = self.live[ids]
        if known.any():
            self._change(ids[known], values[last[known]], happened_us[last[known]], now_us)
        if not known.all():
            added, chosen = ids[~known], last[~known]
            rows = rows_of_keys(keys[chosen])
            rows[:, BACKEND:] = values[chosen, BACKEND:]
            self.rows[added] = rows
            self.live[added] = True
            self.since_us[added] = happened_us[chosen]
            for follower in self._followers:
                follower.added(added, now_us)
        return found

    def _claim(self, keys: list[bytes]) -> Ids:
        """Return the slots of keys, giving one to each that has none."""
        slot_of, free = self._slot_of, self._free
        get = slot_of.get
        found = [get(key, -1) for key in keys]
        for place, slot in enumerate(found):
            if slot >= 0:
                continue
            key = keys[place]
            known = get(key)  # the key may have come twice
            if known is None:
                if free:
                    known = free.pop()
                elif self.top < self.slots:
                    known = self.top
                    self.top += 1
                else:
                    continue
                slot_of[key] = known
            found[place] = known
        return np.array(found, np.int64)

    def _change(self, ids: Ids, values: Rows, happened_us: NDArray[np.int64], now_us: int) -> None:
        """Take over what differs from what is known."""
        rows = self.rows[ids]
        assigned = (rows[:, BACKEND] != values[:, BACKEND]) | (
            rows[:, CIRCUIT] != values[:, CIRCUIT]
        )
        status = rows[:, STATE] != values[:, STATE]
        codes = rows[:, THROUGHPUT].astype(np.int64) - values[:, THROUGHPUT]
        # an older sight of a connection takes nothing back
        seen = values[:, LAST_SEEN].astype(np.int64) - rows[:, LAST_SEEN]
        active = (abs(codes) >= THROUGHPUT_STEP) | (seen >= LAST_SEEN_STEP_S)
        masks = (assigned * ASSIGNED + status * STATUS + active * ACTIVITY).astype(np.uint8)
        touched = masks != 0
        if not touched.any():
            return
        ids, masks, values = ids[touched], masks[touched], values[touched]
        urgent = (masks & (ASSIGNED | STATUS)) != 0
        self.since_us[ids[urgent]] = happened_us[touched][urgent]
        self.rows[ids, BACKEND : STATE + 1] = values[:, BACKEND : STATE + 1]
        moved = (masks & ACTIVITY) != 0
        self.rows[ids[moved], THROUGHPUT:] = values[moved, THROUGHPUT:]
        for follower in self._followers:
            follower.changed(ids, masks, now_us)

    def remove(self, keys: NDArray[np.void], now_us: int) -> None:
        """Take connections out by their keys [n]; those that are not there do no harm."""
        pop = self._slot_of.pop
        gone = [slot for key in keys.tolist() if (slot := pop(key, -1)) >= 0]
        if not gone:
            return
        ids = np.array(gone, np.int64)
        self.live[ids] = False
        self._free += gone
        for follower in self._followers:
            follower.removed(ids, now_us)

    def remove_slots(self, ids: Ids, now_us: int) -> None:
        """Take out the connections in these slots [n]."""
        self.remove(keys_of_rows(self.rows[ids], self.engine), now_us)

    def keys(self) -> NDArray[np.void]:
        """Return the keys [n] of all connections."""
        return keys_of_rows(self.rows[np.nonzero(self.live)[0]], self.engine)

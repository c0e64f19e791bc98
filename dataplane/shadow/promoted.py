"""Replicas in the table of the programs: a shadow goes on with connections at once.

The programs of a shadow look here when a packet comes whose connection they do not know, so that
nothing has to be written when an engine fails: the edges go over to the shadow, and that is all.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from dataplane import syscall
from dataplane.errors import BpfError
from dataplane.maps import REPLICA, Map
from dataplane.shadow.flows import keys_of_rows
from dataplane.shadow.replica import Replica
from headers.replication import Rows
from headers.replication.record import BACKEND

VALUE_DTYPE = np.dtype([("backend", "<u4"), ("primary", "<u4")])
_SLOT_BITS = 22
"""An entry's owner is a primary, a shadow and a slot, in one number."""


class PromotedTable:
    """The replicas of one machine's engines in the kernel's table.

    ``counts``: ``replica_full``, connections for which the table had no room; ``lacking``: so many
    of them since that was last set to 0.
    """

    def __init__(self, table: Map) -> None:
        if REPLICA.size != VALUE_DTYPE.itemsize:
            raise ValueError("the replica's layout is another one")
        self._table = table
        self._owner: dict[bytes, int] = {}
        self._keys: dict[int, bytes] = {}
        self._left = set(syscall.keys(table.fd, table.key_size))
        self.counts: Counter[str] = Counter()
        self.lacking = 0

    def __len__(self) -> int:
        return len(self._owner)

    def drop_left(self) -> int:
        """Take out what an earlier agent left and no replica holds; return how much it was.

        Call it when all replicas are complete: until then what was left is better than none.
        """
        left, self._left = self._left - self._owner.keys(), set()
        self._delete(list(left))
        return len(left)

    def follow(
        self, replica: Replica, shadow: int, backends: Mapping[int, int]
    ) -> tuple[list[bytes], Rows]:
        """Bring what changed in a replica into the table.

        Returns the connections that came or changed, and have an instance: keys [n], rows [n].

        ``shadow``: the engine here that holds it; its programs find the entries. ``backends``: its
        numbers of instances. A connection with an instance that it has no number of is left out;
        ``Replica.touch`` when there is one.

        Raises:
            BpfError: the table cannot be written.
        """
        ids, held, rows = replica.take_touched()
        if not len(ids):
            return [], rows
        keys = keys_of_rows(rows, shadow).tolist()
        stream = _stream(replica.primary, shadow)
        gone: list[bytes] = []
        added: dict[bytes, tuple[int, int]] = {}
        numbers = [backends.get(instance, 0) for instance in rows[:, BACKEND].tolist()]
        there_all = (held & (np.array(numbers) != 0)).tolist()
        for number, key, there, backend in zip(ids.tolist(), keys, there_all, numbers, strict=True):
            owner = stream | number
            before = self._keys.get(owner)
            if before is not None and (not there or before != key):
                del self._keys[owner]
                # the same flow may have come by another slot or primary meanwhile
                if self._owner.get(before) == owner:
                    del self._owner[before]
                    gone.append(before)
            if there:
                other = self._owner.get(key)
                if other is not None and other != owner:
                    self._keys.pop(other, None)
                self._owner[key] = owner
                self._keys[owner] = key
                added[key] = backend, replica.primary
        kept = self._owner
        self._delete([key for key in gone if key not in kept])
        for key in self._update(list(added), np.array(list(added.values()), VALUE_DTYPE)):
            del self._keys[self._owner.pop(key)]
            self.lacking += 1
            self.counts["replica_full"] += 1
        there = np.array(there_all, np.bool_)
        return [key for key, is_there in zip(keys, there_all, strict=True) if is_there], rows[there]

    def forget(self, primary: int, shadow: int) -> None:
        """Take out all entries of a stream that is no more."""
        stream = _stream(primary, shadow)
        mine = [owner for owner in self._keys if owner >> _SLOT_BITS == stream >> _SLOT_BITS]
        keys = [self._keys.pop(owner) for owner in mine]
        for key in keys:
            self._owner.pop(key, None)
        self._delete(keys)

    def _delete(self, keys: list[bytes]) -> None:
        at = 0
        while at < len(keys):
            done = syscall.delete_batch(self._table.fd, b"".join(keys[at:]), len(keys) - at)
            # it stops at the first that is not there
            at += done + 1

    def _update(self, keys: list[bytes], values: NDArray[np.void]) -> list[bytes]:
        """Write entries; return the keys for which there was no room."""
        if not keys:
            return []
        try:
            syscall.update_batch(self._table.fd, b"".join(keys), values.tobytes(), len(keys))
        except BpfError as error:
            if error.errno not in syscall.FULL:
                raise
            return self._update_one_by_one(keys, values)
        return []

    def _update_one_by_one(self, keys: list[bytes], values: NDArray[np.void]) -> list[bytes]:
        refused = []
        for key, value in zip(keys, values, strict=True):
            try:
                syscall.update(self._table.fd, key, value.tobytes())
            except BpfError as error:
                if error.errno not in syscall.FULL:
                    raise
                refused.append(key)
        return refused


def _stream(primary: int, shadow: int) -> int:
    return (primary << 8 | shadow) << _SLOT_BITS

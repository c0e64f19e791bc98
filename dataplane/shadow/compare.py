"""Comparing in the background: the primary's side. The shadow's is ``Replica.differs``."""

from dataplane.shadow.digest import BUCKET, checksum
from dataplane.shadow.flight import Flight
from dataplane.shadow.pending import Pending
from dataplane.shadow.table import ConnectionTable


class Buckets:
    """Goes through the buckets of a table, for one session."""

    def __init__(self, table: ConnectionTable, pending: Pending, flight: Flight) -> None:
        self._table = table
        self._pending = pending
        self._flight = flight
        self._at = 0

    def next(self, most: int) -> tuple[tuple[int, int], ...]:
        """Return numbers and checksums of the next buckets, of those that are settled."""
        count = -(-self._table.top // BUCKET)
        busy = self._flight.busy_buckets()
        found = []
        for _ in range(min(most, count)):
            bucket = self._at % count
            self._at += 1
            if self._settled(bucket, busy):
                found.append((bucket, self._checksum(bucket)))
        return tuple(found)

    def repair(self, bucket: int, now_us: int) -> bool:
        """Have a bucket sent again that differs; return whether it was not under way already."""
        first = bucket * BUCKET
        wanted = first < self._table.top and self._settled(bucket, self._flight.busy_buckets())
        if wanted:
            self._pending.repair(first, first + BUCKET, now_us)
        return wanted

    def _settled(self, bucket: int, busy: set[int]) -> bool:
        """Return whether the shadow is known to have everything of a bucket."""
        first = bucket * BUCKET
        return bucket not in busy and self._pending.settled(first, first + BUCKET)

    def _checksum(self, bucket: int) -> int:
        part = slice(bucket * BUCKET, (bucket + 1) * BUCKET)
        ids = self._table.live[part].nonzero()[0] + part.start
        return checksum(ids, self._table.rows[ids])

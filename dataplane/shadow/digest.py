"""Checksums of buckets of connections: what primary and shadow compare in the background.

A bucket is 256 neighbouring connection numbers. A checksum covers what makes a connection
(identity, assignment, status), not its activity, which changes all the time and mends itself. It
guards against mistakes, not against forgery: that is what sealing is for.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from headers.replication import Ids, Rows
from headers.replication.record import THROUGHPUT

BUCKET: Final = 256
"""Connection numbers in a bucket."""

# odd multipliers: the golden ratio's and its successors, as in SplitMix64 (Steele, Lea, Flood 2014)
_GOLDEN = 0x9E3779B97F4A7C15
_MULTIPLIERS: Final = np.array(
    [(_GOLDEN * (2 * place + 1)) & 0xFFFFFFFFFFFFFFFF | 1 for place in range(THROUGHPUT + 1)],
    np.uint64,
)


def checksum(ids: Ids, rows: Rows) -> int:
    """Return the checksum of 64 bits of the live connections [n] of a bucket."""
    words = np.empty((len(ids), THROUGHPUT + 1), np.uint64)
    words[:, :THROUGHPUT] = rows[:, :THROUGHPUT]
    words[:, THROUGHPUT] = ids
    return int(_mixed((words * _MULTIPLIERS).sum(axis=1, dtype=np.uint64)).sum(dtype=np.uint64))


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return SplitMix64's finaliser of each value."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))

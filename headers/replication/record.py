"""A replicated connection: its fields, and the groups of fields that are sent together.

A record is a row of 32-bit words, so that a table of records is one matrix and whole batches are
encoded, decoded and written at once. Addresses are numbers in the order in which they are read
(the first word is the most significant), which keeps clients of one prefix close together.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.uint32]
Ids = NDArray[np.int64]

SOURCE: Final = 0
"""The first of the four words of the client's address; IPv4 uses the first only."""
DESTINATION: Final = 4
SOURCE_PORT: Final = 8
DESTINATION_PORT: Final = 9
PROTOCOL: Final = 10
FAMILY: Final = 11
"""4 or 6."""
BACKEND: Final = 12
CIRCUIT: Final = 13
STATE: Final = 14
"""1 while open, 2 when closing, as in the engine's table; further bits are flags."""
THROUGHPUT: Final = 15
"""Recent throughput as a code: see ``throughput_codes``."""
LAST_SEEN: Final = 16
"""Whole seconds of the primary's monotonic clock."""
FIELDS: Final = 17

IDENTITY: Final = 0x01
ASSIGNED: Final = 0x02
STATUS: Final = 0x04
ACTIVITY: Final = 0x08
WHOLE: Final = IDENTITY | ASSIGNED | STATUS | ACTIVITY
GONE: Final = 0x10
"""Stands alone: the connection is no more."""
GROUPS: Final = (IDENTITY, ASSIGNED, STATUS, ACTIVITY)

GROUP_FIELDS: Final[dict[int, tuple[int, ...]]] = {
    IDENTITY: tuple(range(FAMILY + 1)),
    ASSIGNED: (BACKEND, CIRCUIT),
    STATUS: (STATE,),
    ACTIVITY: (THROUGHPUT, LAST_SEEN),
}

MAX_SLOTS: Final = 1 << 22
"""Connection numbers lie below this."""
_BYTE, _SHORT = 0xFF, 0xFFFF
LIMITS: Final = np.full(FIELDS, 0xFFFFFFFF, np.uint32)
"""The largest value of each field."""
LIMITS[[SOURCE_PORT, DESTINATION_PORT]] = _SHORT
LIMITS[[PROTOCOL, STATE, THROUGHPUT]] = _BYTE
LIMITS[FAMILY] = 6

STEPS_PER_OCTAVE: Final = 8


def throughput_codes(bytes_per_s: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Return codes of 8 bits, in steps of 9 %: 0 for less than a byte per second.

    ``bytes_per_s``: [n], not negative. Codes end at 255, some 4 GB/s.
    """
    with np.errstate(divide="ignore"):
        codes = 1 + np.rint(STEPS_PER_OCTAVE * np.log2(bytes_per_s))
    return np.where(bytes_per_s < 1, 0, np.minimum(codes, _BYTE)).astype(np.uint32)


def throughput_rates(codes: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Return bytes per second [n] of throughput codes [n]."""
    rates: NDArray[np.float64] = 2.0 ** ((codes.astype(np.float64) - 1) / STEPS_PER_OCTAVE)
    return np.where(codes == 0, 0.0, rates)

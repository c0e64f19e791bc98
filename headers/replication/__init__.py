"""The replication datagram: what an engine's agent tells the agents of its shadows.

``docs/replication.md`` is the specification; the machine that speaks it is ``dataplane/shadow``.
"""

from headers.replication.envelope import (
    ACKNOWLEDGED,
    Ack,
    Data,
    Draft,
    Hello,
    Note,
    Refused,
    Reset,
    Welcome,
    pack,
    pack_data,
    unpack_ack,
    unpack_data,
    unpack_hello,
    unpack_refused,
    unpack_reset,
    unpack_welcome,
)
from headers.replication.frame import MAX_DATAGRAM, PORT, Header, Kind, split
from headers.replication.notes import (
    SHADOWS,
    Shadows,
    pack_shadows,
    unpack_shadows,
)
from headers.replication.record import FIELDS, GONE, MAX_SLOTS, WHOLE, Ids, Rows
from headers.replication.sections import SIX, WAITED, Section

__all__ = [
    "ACKNOWLEDGED",
    "FIELDS",
    "GONE",
    "MAX_DATAGRAM",
    "MAX_SLOTS",
    "PORT",
    "SHADOWS",
    "SIX",
    "WAITED",
    "WHOLE",
    "Ack",
    "Data",
    "Draft",
    "Header",
    "Hello",
    "Ids",
    "Kind",
    "Note",
    "Refused",
    "Reset",
    "Rows",
    "Section",
    "Shadows",
    "Welcome",
    "pack",
    "pack_data",
    "pack_shadows",
    "split",
    "unpack_ack",
    "unpack_data",
    "unpack_hello",
    "unpack_refused",
    "unpack_reset",
    "unpack_shadows",
    "unpack_welcome",
]

"""From the keys of the engine's tables (FLOW_KEY) to rows of records, and back."""

import numpy as np
from numpy.typing import NDArray

from dataplane.maps import FLOW_KEY
from headers.replication import FIELDS, Rows
from headers.replication.record import (
    DESTINATION_PORT,
    FAMILY,
    PROTOCOL,
    SOURCE,
    SOURCE_PORT,
)

KEY_DTYPE = np.dtype(f"V{FLOW_KEY.size}")
_ADDRESSES, _PORTS, _PROTOCOL, _FAMILY, _ENGINE = 32, 36, 36, 37, 38


def rows_of_keys(keys: NDArray[np.void]) -> Rows:
    """Return rows [n, FIELDS] whose identity is that of keys [n]; all else is 0."""
    rows = np.zeros((len(keys), FIELDS), np.uint32)
    if len(keys):
        octets = np.ascontiguousarray(keys).view(np.uint8).reshape(len(keys), FLOW_KEY.size)
        rows[:, SOURCE:SOURCE_PORT] = np.ascontiguousarray(octets[:, :_ADDRESSES]).view(">u4")
        ports = np.ascontiguousarray(octets[:, _ADDRESSES:_PORTS]).view(">u2")
        rows[:, SOURCE_PORT : DESTINATION_PORT + 1] = ports
        rows[:, PROTOCOL] = octets[:, _PROTOCOL]
        rows[:, FAMILY] = octets[:, _FAMILY]
    return rows


def engines_of_keys(keys: NDArray[np.void]) -> NDArray[np.uint16]:
    """Return the engines [n] that keys [n] belong to."""
    octets = np.ascontiguousarray(keys).view(np.uint8).reshape(len(keys), FLOW_KEY.size)
    return np.ascontiguousarray(octets[:, _ENGINE:]).view("<u2")[:, 0]


def keys_of_rows(rows: Rows, engine: int) -> NDArray[np.void]:
    """Return the keys [n] of rows [n, FIELDS] in the tables of an engine."""
    octets = np.zeros((len(rows), FLOW_KEY.size), np.uint8)
    if len(rows):
        octets[:, :_ADDRESSES] = rows[:, SOURCE:SOURCE_PORT].astype(">u4").view(np.uint8)
        ports = rows[:, SOURCE_PORT : DESTINATION_PORT + 1].astype(">u2")
        octets[:, _ADDRESSES:_PORTS] = ports.view(np.uint8)
        octets[:, _PROTOCOL] = rows[:, PROTOCOL]
        octets[:, _FAMILY] = rows[:, FAMILY]
        octets[:, _ENGINE] = engine & 0xFF
        octets[:, _ENGINE + 1] = engine >> 8
    return octets.view(KEY_DTYPE)[:, 0]

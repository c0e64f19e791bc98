"""Connections that the benchmark makes up: many clients of a few services."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataplane.maps import EVENT_DTYPE, EVENT_OPENED, FLOW_KEY
from dataplane.shadow.flows import KEY_DTYPE
from headers.replication import FIELDS, Rows
from headers.replication.record import BACKEND, LAST_SEEN, STATE, THROUGHPUT

ENGINE: Final = 1
BACKENDS: Final = 64
SERVICES: Final = 4
_GOLDEN = 2654435761


def keys(first: int, count: int, *, six: bool = False) -> NDArray[np.void]:
    """Return the keys [count] of connections number ``first`` and on, no two alike.

    Clients are spread over all addresses, as those of the Internet are; with ``six`` over the
    /48s of one /20.
    """
    numbers = np.arange(first, first + count, dtype=np.uint64)
    mixed = (numbers * _GOLDEN & 0xFFFFFFFF).astype(">u4")
    octets = np.zeros((count, FLOW_KEY.size), np.uint8)
    words = octets[:, :32].reshape(count, 2, 16)
    if six:
        words[:, 0, :2] = 0x20, 0x01
        words[:, 0, 2:6] = mixed.view(np.uint8).reshape(count, 4)
        words[:, 0, 8:16] = (
            (numbers * np.uint64(0x9E3779B97F4A7C15)).astype(">u8").view(np.uint8).reshape(count, 8)
        )
        words[:, 1, :4] = 0x20, 0x01, 0x0D, 0xB8
        words[:, 1, 15] = 1 + numbers % SERVICES
    else:
        words[:, 0, :4] = mixed.view(np.uint8).reshape(count, 4)
        words[:, 1, :3] = 10, 99, 0
        words[:, 1, 3] = 1 + numbers % SERVICES
    source_ports = (1024 + numbers * 40503 % 64000).astype(">u2")
    octets[:, 32:34] = source_ports.view(np.uint8).reshape(count, 2)
    octets[:, 34:36] = np.frombuffer((443).to_bytes(2, "big"), np.uint8)
    octets[:, 36] = 6
    octets[:, 37] = 6 if six else 4
    octets[:, 38] = ENGINE
    return octets.view(KEY_DTYPE)[:, 0]


def opened(
    first: int, count: int, begin_ns: int, end_ns: int, *, six: bool = False
) -> NDArray[np.void]:
    """Return events [count] of connections that opened evenly between two times."""
    events = np.zeros(count, EVENT_DTYPE)
    events["kind"] = EVENT_OPENED
    events["engine"] = ENGINE
    events["time_ns"] = np.linspace(begin_ns, end_ns, count, endpoint=False).astype(np.uint64)
    events["flow"] = keys(first, count, six=six)
    events["backend"] = 1 + np.arange(first, first + count) * 31 % BACKENDS
    return events


def values(first: int, count: int, now_s: int, *, moved: int = 0) -> Rows:
    """Return rows [count, FIELDS] of connections as a sweep finds them.

    ``moved``: another number means that their activity is another.
    """
    numbers = np.arange(first, first + count)
    rows = np.zeros((count, FIELDS), np.uint32)
    rows[:, BACKEND] = 1 + numbers * 31 % BACKENDS
    rows[:, STATE] = 1
    rows[:, THROUGHPUT] = (numbers * 7 + moved * 5) % 120
    rows[:, LAST_SEEN] = now_s - numbers * 13 % 60
    return rows

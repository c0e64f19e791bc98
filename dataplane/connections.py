"""What the agent knows of connections: from events as they happen, put right by sweeps.

Events may be lost when the ring is full: they are counted by the programs, and the sweep, which
reads the whole table in portions, replaces what was added up from events by what is there. The
sweep also takes out connections that ended or went silent.
"""

import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dataplane import syscall
from dataplane.errors import BpfError
from dataplane.maps import (
    CONNECTION,
    CONNECTION_CLOSING,
    EVENT,
    EVENT_CLOSED,
    EVENT_DTYPE,
    EVENT_ECHO,
    EVENT_OPENED,
    FLOW_KEY,
    Maps,
)
from dataplane.ringbuf import RingBuffer

PORTION = 8192
CONNECTION_DTYPE = np.dtype(
    [
        ("last_ns", "<u8"),
        ("opened_ns", "<u8"),
        ("packets", "<u8"),
        ("bytes", "<u8"),
        ("backend", "<u4"),
        ("state", "<u4"),
        ("revision", "<u4"),
        ("circuit", "<u4"),
        ("c2", "<u4"),
        ("c3", "<u4"),
        ("tag", "<u4"),
        ("unused", "<u4"),
    ]
)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a silent connection stays, in seconds: while open, and after it ended."""

    idle_s: float = 300.0
    closing_s: float = 10.0


@dataclass(slots=True)
class Known:
    """What is known of connections.

    ``opened``, ``closed``: events read; ``swept``: whole sweeps done; ``removed``: taken out by
    sweeps; ``held``: connections in the table at the last whole sweep, and events since added;
    ``by_backend``: the same per backend; ``corrected``: by how much the last whole sweep differed
    from what events had added up to.
    """

    opened: int = 0
    closed: int = 0
    swept: int = 0
    removed: int = 0
    held: int = 0
    corrected: int = 0
    by_backend: Counter[int] = field(default_factory=Counter)


class Follower(Protocol):
    """Whoever looks at the connection table along with the sweeps."""

    def take_portion(self, keys: NDArray[np.void], rows: NDArray[np.void]) -> None:
        """Take a portion of those that stay: keys [n] (FLOW_KEY), rows [n] (CONNECTION_DTYPE).

        They are views of memory that the next portion is read into.
        """

    def removed(self, keys: NDArray[np.void]) -> None:
        """Take those that ended or went silent, and were removed: keys [n]."""

    def end_sweep(self) -> None:
        """The whole table has been looked at."""


class Connections:
    """Reads the event ring and sweeps the connection table of one machine."""

    def __init__(self, maps: Maps, timeouts: Timeouts | None = None) -> None:
        self._table = maps.connections
        self._ring = RingBuffer(maps.events, EVENT.size)
        self.timeouts = timeouts or Timeouts()
        self.known = Known()
        self.followers: list[Follower] = []
        self._at: bytes | None = None
        self._counted: Counter[int] = Counter()
        self._keys = syscall.Buf(PORTION * FLOW_KEY.size)
        self._values = syscall.Buf(PORTION * CONNECTION.size)

    def read_events(self) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Take what the ring holds; return events of connections, and of echoes (EVENT_DTYPE)."""
        events: NDArray[np.void] = self._ring.read().view(EVENT_DTYPE).reshape(-1)
        kinds = events["kind"]
        opened = events[kinds == EVENT_OPENED]
        known = self.known
        known.opened += len(opened)
        known.closed += int((kinds == EVENT_CLOSED).sum())
        if len(opened):
            backends, counts = np.unique(opened["backend"], return_counts=True)
            added = Counter(dict(zip(backends.tolist(), counts.tolist(), strict=True)))
            known.by_backend += added
            known.held += len(opened)
        return events[kinds != EVENT_ECHO], events[kinds == EVENT_ECHO]

    def sweep(self, now_ns: int | None = None) -> bool:
        """Look at one portion of the table; return whether that ended a whole sweep.

        Raises:
            BpfError: the table cannot be read.
        """
        now = time.monotonic_ns() if now_ns is None else now_ns
        try:
            count, self._at = syscall.lookup_portion(
                self._table.fd, self._at, self._keys, self._values, PORTION
            )
        except BpfError:
            self._at = None
            self._counted.clear()
            raise
        rows = np.frombuffer(self._values.view(), CONNECTION_DTYPE, count)
        keys = np.frombuffer(self._keys.view(), f"V{FLOW_KEY.size}", count)
        silent = now - rows["last_ns"].astype(np.int64)
        ended = rows["state"] == CONNECTION_CLOSING
        gone = np.where(
            ended, silent > self.timeouts.closing_s * 1e9, silent > self.timeouts.idle_s * 1e9
        )
        taken = np.ascontiguousarray(keys[gone])
        for key in taken:
            self.known.removed += syscall.delete(self._table.fd, key.tobytes())
        staying = rows[~gone]
        for follower in self.followers:
            follower.take_portion(keys[~gone], staying)
            follower.removed(taken)
        if len(staying):
            backends, counts = np.unique(staying["backend"], return_counts=True)
            self._counted.update(dict(zip(backends.tolist(), counts.tolist(), strict=True)))
        if self._at is not None:
            return False
        known = self.known
        total = sum(self._counted.values())
        known.corrected = abs(known.held - total)
        known.held, known.by_backend = total, self._counted
        known.swept += 1
        self._counted = Counter()
        for follower in self.followers:
            follower.end_sweep()
        return True


def memory_bytes() -> int:
    """Return this process's resident memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

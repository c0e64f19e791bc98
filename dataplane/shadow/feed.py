"""Fills an engine's table from what its programs tell: events as they happen, sweeps to be sure.

An event that was lost is made good by the next sweep, as ``connections.py`` does for the counts.
"""

import numpy as np
from numpy.typing import NDArray

from dataplane.maps import CONNECTION_CLOSING, CONNECTION_OPEN, EVENT_CLOSED, EVENT_OPENED
from dataplane.shadow.flows import KEY_DTYPE, engines_of_keys
from dataplane.shadow.table import ConnectionTable
from headers.replication import FIELDS
from headers.replication.record import BACKEND, LAST_SEEN, STATE, THROUGHPUT, throughput_codes

_S = 1_000_000_000
_LEAST_S = 0.25
"""A throughput is measured over at least so long."""


class Feed:
    """Brings what is known of one engine's connections into its table.

    ``instances``: [numbers], what each of the engine's backend numbers stands for (0: unknown): the
    numbers mean nothing elsewhere. It may change; the next sweep tells.
    """

    def __init__(self, table: ConnectionTable, instances: NDArray[np.uint32]) -> None:
        self.table = table
        self._instances = instances
        self._bytes = np.zeros(table.slots, np.uint64)
        self._measured_ns = np.zeros(table.slots, np.int64)
        self._opened_ns = np.zeros(table.slots, np.uint64)
        self._swept = np.zeros(table.slots, np.uint32)
        self._sweep = 1

    def take_events(self, events: NDArray[np.void], now_us: int) -> int:
        """Take events [n] (EVENT_DTYPE) of connections of this engine; return how many it were.

        Those of other engines, and echoes, are left alone.
        """
        kinds = events["kind"]
        ours = (events["engine"] == self.table.engine) & (
            (kinds == EVENT_OPENED) | (kinds == EVENT_CLOSED)
        )
        events = events[ours]
        if not len(events):
            return 0
        times = events["time_ns"].astype(np.int64)
        values = np.zeros((len(events), FIELDS), np.uint32)
        values[:, BACKEND] = self._instances_of(events["backend"])
        values[:, STATE] = np.where(
            events["kind"] == EVENT_CLOSED, CONNECTION_CLOSING, CONNECTION_OPEN
        )
        values[:, LAST_SEEN] = times // _S
        ids = self.table.put(events["flow"].astype(KEY_DTYPE), values, times // 1000, now_us)
        self._swept[ids[ids >= 0]] = self._sweep
        return len(events)

    def take_portion(self, keys: NDArray[np.void], rows: NDArray[np.void], now_us: int) -> None:
        """Take a portion of a sweep: keys [n] (FLOW_KEY) and rows [n] (CONNECTION_DTYPE).

        Those of other engines are left alone.
        """
        ours = engines_of_keys(keys) == self.table.engine
        keys, rows = keys[ours], rows[ours]
        if not len(keys):
            return
        now_ns = now_us * 1000
        last_ns = rows["last_ns"].astype(np.int64)
        known = self.table.slots_of(keys)
        values = np.zeros((len(keys), FIELDS), np.uint32)
        values[:, BACKEND] = self._instances_of(rows["backend"])
        values[:, STATE] = rows["state"]
        values[:, LAST_SEEN] = last_ns // _S
        values[:, THROUGHPUT] = self._throughputs(known, rows, now_ns)
        ids = self.table.put(keys, values, last_ns // 1000, now_us)
        there = ids >= 0
        ids, rows = ids[there], rows[there]
        self._swept[ids] = self._sweep
        due = (now_ns - self._measured_ns[ids] >= _LEAST_S * _S) | (
            self._opened_ns[ids] != rows["opened_ns"]
        )
        self._bytes[ids[due]] = rows["bytes"][due]
        self._measured_ns[ids[due]] = now_ns
        self._opened_ns[ids[due]] = rows["opened_ns"][due]

    def _instances_of(self, backends: NDArray[np.uint32]) -> NDArray[np.uint32]:
        known = backends < len(self._instances)
        return np.where(known, self._instances[np.where(known, backends, 0)], 0)

    def _throughputs(
        self, slots: NDArray[np.int64], rows: NDArray[np.void], now_ns: int
    ) -> NDArray[np.uint32]:
        """Return throughput codes [n]: since the last sweep, or since the connection's beginning.

        Of one that was measured a moment ago, the code that the table has.
        """
        same = (slots >= 0) & (self._opened_ns[slots] == rows["opened_ns"])
        begin_ns = np.where(same, self._measured_ns[slots], rows["opened_ns"].astype(np.int64))
        carried = rows["bytes"].astype(np.float64) - np.where(same, self._bytes[slots], 0)
        took_s = (now_ns - begin_ns) / _S
        codes = throughput_codes(np.maximum(carried, 0) / np.maximum(took_s, _LEAST_S))
        early = same & (took_s < _LEAST_S)
        return np.where(early, self.table.rows[slots, THROUGHPUT], codes)

    def removed(self, keys: NDArray[np.void], now_us: int) -> None:
        """Take out connections that the agent removed from the engine's table: keys [n]."""
        self.table.remove(keys, now_us)

    def end_sweep(self, now_us: int) -> int:
        """End a whole sweep: what neither it nor events since have shown is gone; return how many.

        Only what the sweep before did not show either: entries may move while a table is read.
        """
        gone = self.table.live & (self._swept + 1 < self._sweep)
        count = int(np.count_nonzero(gone))
        if count:
            self.table.remove_slots(np.nonzero(gone)[0], now_us)
        self._sweep += 1
        return count

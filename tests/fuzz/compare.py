"""What the programs and their twin counted, keep and told: all of it must be the same."""

import time

import numpy as np

from dataplane.connections import CONNECTION_DTYPE
from dataplane.maps import EVENT_DTYPE, EVENT_OPENED
from dataplane.twin.balance import FRESH_SHIFT, SEEN_SYN
from tests.fuzz.world import World

UNIT_NS = 1 << FRESH_SHIFT


class MismatchError(AssertionError):
    """Program and twin differ; the words say where."""


class Comparer:
    """Compares a world's two sides.

    ``gap_ns``: the longest that a packet took: a time that the programs noted lies so far behind
    the one that the twin was given at most.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.gap_ns = 0

    def compare(self) -> None:
        """Compare counters, connections and first packets.

        Raises:
            MismatchError: they differ.
        """
        self._counters()
        self._connections()
        self._fresh()

    def events(self) -> None:
        """Take what the ring holds and compare it with what the twin told.

        Raises:
            MismatchError: they differ.
        """
        world = self._world
        rows = world.ring.read().view(EVENT_DTYPE).reshape(-1)
        told, world.machine.events = world.machine.events, []
        if len(rows) != len(told):
            raise MismatchError(f"{len(rows)} events, and the twin told {len(told)}")
        for row, event in zip(rows, told, strict=True):
            flow = row["flow"].tobytes()
            names = ("kind", "engine", "backend", "packets", "bytes")
            # of an opened connection it is a time that was measured, between two late readings
            apart = abs(int(row["sequence"]) - event.sequence)
            measured = 1000 * apart <= self.gap_ns + 2 * UNIT_NS
            if not (measured if event.kind == EVENT_OPENED else apart == 0):
                raise MismatchError(f"number of {row} is not that of {event}")
            same = all(int(row[name]) == getattr(event, name) for name in names)
            late = int(row["time_ns"]) - event.time_ns
            if not same or flow != event.flow or not 0 <= late <= self.gap_ns:
                raise MismatchError(f"event {row} is not {event}, {late} ns later")

    def _counters(self) -> None:
        world, machine = self._world, self._world.machine
        mine = {key: (count, machine.reason_bytes[key]) for key, count in machine.reasons.items()}
        theirs = world.reasons()
        if theirs != mine:
            odd = {
                key: (theirs.get(key), mine.get(key))
                for key in theirs | mine
                if theirs.get(key) != mine.get(key)
            }
            raise MismatchError(f"reasons (program, twin): {odd}")
        for name, packets, size in (
            ("demand", machine.demands, machine.demand_bytes),
            ("circuit", machine.circuits, machine.circuit_bytes),
            ("class", machine.applications, machine.application_bytes),
        ):
            table = world.counted(name)
            used = np.nonzero(table.any(axis=1))[0]
            counted = {int(n): (int(table[n, 0]), int(table[n, 1])) for n in used}
            if counted != {n: (count, size[n]) for n, count in packets.items()}:
                raise MismatchError(f"{name} counters differ")

    def _connections(self) -> None:
        world, machine = self._world, self._world.machine
        held = world.maps.connections.items()
        if held.keys() != machine.connections.keys():
            odd = len(held.keys() ^ machine.connections.keys())
            raise MismatchError(f"{odd} connections are held on one side only")
        waiting, now = world.waiting(), time.monotonic_ns()
        for key, value in held.items():
            row, mine = np.frombuffer(value, CONNECTION_DTYPE)[0], machine.connections[key]
            packets, size = waiting.get(key, (0, 0))
            theirs = (
                int(row["backend"]),
                int(row["state"]),
                int(row["packets"]) + packets,
                int(row["bytes"]) + size,
            )
            if theirs != (mine.backend, mine.state, mine.packets, mine.bytes):
                raise MismatchError(f"connection {key.hex()}: {theirs} is not {mine}")
            opened, last = int(row["opened_ns"]), int(row["last_ns"])
            late = opened - mine.opened_ns
            # IPv6 is not cached: the last packet's time is known
            never_cached = key[37] == 6
            if (
                not 0 <= late <= self.gap_ns
                or not opened <= last <= now
                or (never_cached and not 0 <= last - mine.last_ns <= self.gap_ns)
            ):
                raise MismatchError(
                    f"connection {key.hex()}: opened {late} ns late, last {last}, {mine}"
                )

    def _fresh(self) -> None:
        world = self._world
        mine = world.machine.fresh
        places = np.nonzero(world.fresh["hash"])[0]
        if len(places) != len(mine):
            raise MismatchError(f"{len(places)} first packets are kept, {len(mine)} by the twin")
        for place in places:
            h, backend, seen = (int(word) for word in world.fresh[place])
            known = mine.get(int(place))
            if (
                known is None
                or (h, backend, seen & SEEN_SYN) != (*known[:2], known[2] & SEEN_SYN)
                or not 0 <= seen - (known[2] & 0xFFFFFFFF) <= self.gap_ns // UNIT_NS + 2
            ):
                raise MismatchError(f"first packet {place}: {h, backend, seen} is not {known}")

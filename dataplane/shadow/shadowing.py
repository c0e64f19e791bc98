"""An agent's part in replication: its engines' connections to shadows, others' to its engines.

Who is whose shadow is said by notes (``headers/replication/notes.py``). They come over the bus from
the brain, or over the streams from other agents, and the newest one holds, also when its time is
over and nobody can be asked: state that is sent to an old shadow is better than none.
"""

import ipaddress
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataplane.errors import BpfError
from dataplane.maps import CONNECTION, MAX_BACKENDS, Maps
from dataplane.shadow.feed import Feed
from dataplane.shadow.flows import KEY_DTYPE
from dataplane.shadow.promoted import PromotedTable
from dataplane.shadow.receiver import Receiver
from dataplane.shadow.replicator import Replicator
from dataplane.shadow.udp import ShadowEndpoint
from headers.errors import PacketError
from headers.messages import StreamReport
from headers.replication import MAX_SLOTS, SHADOWS, Note, Rows, Shadows, unpack_shadows
from headers.replication.record import BACKEND, LAST_SEEN

LOG = logging.getLogger("foresteer.shadow")
BUCKET = 256
AGAIN_S = 5.0
SURE_S = 2.0
"""Seconds of another engine's clock are whole ones, and its last look was a moment ago."""
Stream = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Where:
    """Where an agent takes datagrams: an address of this machine, and a UDP port (0: any)."""

    host: str
    port: int


def _now_us() -> int:
    return time.monotonic_ns() // 1000


class Shadowing:
    """Replicates one agent's engines as the notes say; call it from one asyncio loop.

    ``use_replicas``: told whether any engine here is a shadow, so that its programs look;
    ``renew``: has the programs forget what they cached.
    """

    def __init__(
        self,
        engines: Collection[int],
        secret: bytes,
        maps: Maps,
        where: Where,
        use_replicas: Callable[[bool], None],
        renew: Callable[[], None],
    ) -> None:
        self.engines = frozenset(engines)
        self.replicator = Replicator(secret)
        self.counts: Counter[str] = Counter()
        self.promoted = PromotedTable(maps.replicas)
        self._connections = maps.connections
        self._slots = min(MAX_SLOTS, -(-maps.connections.entries // BUCKET) * BUCKET)
        self._where = where
        self._use_replicas = use_replicas
        self._renew = renew
        self._feeds: dict[int, Feed] = {}
        self._instances = np.zeros(MAX_BACKENDS, np.uint32)
        self._backends: dict[int, dict[int, int]] = {engine: {} for engine in self.engines}
        self._told: dict[int, Shadows] = {}
        self._revision = 0
        self._endpoint: ShadowEndpoint | None = None
        self._next_try_s = 0.0
        self.problem = ""
        """Why nothing can be sent or taken, in words; empty while it can."""

    # what is to be done

    def take(self, notes: Collection[Note]) -> int:
        """Take notes that came over the bus; return how many were news.

        Raises:
            ValueError: one cannot be passed on as it is, or does not say what its kind should; then
                none is taken.
        """
        for note in notes:
            if note.kind == SHADOWS:
                unpack_shadows(note.payload)
        news = sum(self.replicator.board.put(note, _now_us()) for note in notes)
        self.follow_notes()
        return news

    def follow_notes(self) -> None:
        """Do what the notes say, when there are new ones."""
        board = self.replicator.board
        if self._revision == board.revision:
            return
        self._revision = board.revision
        for note in board.of_kind(SHADOWS):
            try:
                wanted = unpack_shadows(note.payload)
            except PacketError:
                self.counts["notes_malformed"] += 1
                continue
            if self._told.get(note.subject) != wanted:
                self._told[note.subject] = wanted
                self._assign(note.subject, wanted)

    def _assign(self, primary: int, wanted: Shadows) -> None:
        replicator = self.replicator
        LOG.info("engine %d: ownership %d, shadows %s", primary, wanted.ownership, wanted.shadows)
        if primary in self.engines:
            if primary not in self._feeds:
                table = replicator.serve(primary, self._slots)
                self._feeds[primary] = Feed(table, self._instances)
            addresses = {one.engine: _address(one.host, one.port) for one in wanted.shadows}
            replicator.send_to(primary, addresses, wanted.ownership)
        here = {one.engine for one in wanted.shadows} & self.engines
        for stream in [s for s in replicator.receivers if s[0] == primary and s[1] not in here]:
            replicator.release(*stream)
            self.promoted.forget(*stream)
        for shadow in here - {primary}:
            replicator.hold(primary, shadow, self._slots)
        self._use_replicas(bool(replicator.receivers))
        self._drop_left()
        if self._endpoint is not None:
            self._endpoint.changed()

    def use_ways(self, ways: NDArray[np.void]) -> None:
        """Take what backend numbers stand for here (``State.ways``), when that may have changed."""
        backends: dict[int, dict[int, int]] = {engine: {} for engine in self.engines}
        for backend, engine, instance in ways.tolist():
            if engine in backends:
                backends[engine].setdefault(instance, backend)
        self._instances[:] = 0
        self._instances[ways["backend"]] = ways["instance"]
        if backends != self._backends:
            self._backends = backends
            for receiver in self.replicator.receivers.values():
                receiver.replica.touch()
            self._arrived()

    # what the engine says

    @property
    def active(self) -> bool:
        """Whether anything is replicated from or to here."""
        return bool(self._feeds or self.replicator.receivers)

    def take_events(self, events: NDArray[np.void]) -> None:
        """Take events [n] (EVENT_DTYPE) of all engines here, as they happen."""
        if len(events) and self._feeds:
            now = _now_us()
            for feed in self._feeds.values():
                feed.take_events(events, now)
            self._changed()

    def take_portion(self, keys: NDArray[np.void], rows: NDArray[np.void]) -> None:
        """Take a portion of the connection table: keys [n], rows [n] (CONNECTION_DTYPE)."""
        if len(keys) and self._feeds:
            now = _now_us()
            for feed in self._feeds.values():
                feed.take_portion(keys, rows, now)
            self._changed()

    def removed(self, keys: NDArray[np.void]) -> None:
        """Take out connections [n] that were removed from the table."""
        if len(keys) and self._feeds:
            now = _now_us()
            for feed in self._feeds.values():
                feed.removed(keys, now)
            self._changed()

    def end_sweep(self) -> None:
        """Say that the whole table has been looked at."""
        for feed in self._feeds.values():
            feed.end_sweep(_now_us())
        self._changed()

    def _changed(self) -> None:
        if self._endpoint is not None:
            self._endpoint.changed()

    # what comes and goes

    def look_after(self, now_s: float) -> None:
        """Try again what failed: open the socket, enter what found no room. Call it often.

        What hinders is in ``problem``.
        """
        if now_s < self._next_try_s:
            return
        self._next_try_s = now_s + AGAIN_S
        if self.promoted.lacking:
            self.promoted.lacking = 0
            for receiver in self.replicator.receivers.values():
                receiver.replica.touch()
            self._arrived()
        if self._endpoint is None:
            self._open()

    def _open(self) -> None:
        try:
            self._endpoint = ShadowEndpoint(
                self.replicator, self._where.host, self._where.port, self._arrived
            )
        except OSError as error:
            self.counts["unbound"] += 1
            self.problem = f"replication at {self._where.host}:{self._where.port}: {error.strerror}"
            return
        self.problem = ""
        self._endpoint.changed()

    @property
    def address(self) -> Where | None:
        """Where datagrams are taken; None while they are not."""
        return Where(*self._endpoint.address) if self._endpoint else None

    def _arrived(self) -> None:
        """Have what came in the tables of the programs, and in force."""
        self.follow_notes()
        for (_, shadow), receiver in self.replicator.receivers.items():
            try:
                keys, rows = self.promoted.follow(receiver.replica, shadow, self._backends[shadow])
            except BpfError as error:
                self.counts["table_failed"] += 1
                LOG.error("the table of replicas: %s", error)
                self.promoted.lacking += 1
                continue
            if keys and shadow in self._feeds:
                self._give_way(self._feeds[shadow], receiver, keys, rows)
        self._drop_left()

    def _give_way(self, feed: Feed, receiver: Receiver, keys: list[bytes], rows: Rows) -> None:
        """Forget own connections that began anew at another engine meanwhile, elsewhere.

        They would stand before the newer ones if the edges brought those here. Which one is newer
        is told by when packets were last seen, each by its own clock.
        """
        slots = feed.table.slots_of(np.array(keys, KEY_DTYPE))
        mine = feed.table.rows[slots, BACKEND]
        differs = np.nonzero((slots >= 0) & (mine != rows[:, BACKEND]) & (mine != 0))[0]
        if not len(differs):
            return
        now = _now_us()
        ages_s = receiver.primary_now_s(now) - rows[:, LAST_SEEN].astype(np.float64)
        gone = []
        for place in differs.tolist():
            held = self._connections.get(keys[place])
            if held is None:
                continue
            silent_s = now / 1e6 - CONNECTION.unpack(held)[0] / 1e9
            if silent_s > ages_s[place] + SURE_S and self._connections.remove(keys[place]):
                gone.append(keys[place])
        if gone:
            self.counts["gave_way"] += len(gone)
            self._renew()
            feed.removed(np.array(gone, KEY_DTYPE), now)
            self._changed()

    def _drop_left(self) -> None:
        """Once all replicas are complete, nothing of an earlier agent's is needed any more."""
        receivers = self.replicator.receivers.values()
        if receivers and all(receiver.complete for receiver in receivers):
            self.promoted.drop_left()

    def status(self) -> tuple[StreamReport, ...]:
        """Return what is known of every stream from and to here."""
        return self.replicator.status(_now_us())

    def refused(self) -> Mapping[str, int]:
        """Return what was refused or failed, by reason, over all streams."""
        counts = self.counts + self.replicator.counts + self.promoted.counts
        counts += Counter(
            {name: n for name, n in self.replicator.board.counts.items() if name == "notes_full"}
        )
        if self._endpoint is not None:
            counts += self._endpoint.counts
        return counts

    def close(self) -> None:
        """Close the socket."""
        if self._endpoint is not None:
            self._endpoint.close()
            self._endpoint = None


def _address(host: str, port: int) -> tuple[str, int]:
    # in the form in which the kernel gives it back
    return str(ipaddress.ip_address(host)), port

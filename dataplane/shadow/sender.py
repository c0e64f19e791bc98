"""The primary's end of a stream: brings one shadow to what the table holds, and keeps it there.

No input, no output, no clock: datagrams and times come in, datagrams go out. Times are in
microseconds of the machine's monotonic clock.
"""

import enum
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from dataplane.shadow.batch import Batch, Filler
from dataplane.shadow.board import Board, NoteSender
from dataplane.shadow.compare import Buckets
from dataplane.shadow.flight import Flight, Outcome, UnderWay
from dataplane.shadow.pending import Pending, Sent
from dataplane.shadow.seal import HandshakeSeal, SessionSeal
from dataplane.shadow.table import ConnectionTable
from dataplane.shadow.window import ReplayWindow
from headers.errors import PacketError
from headers.replication import (
    Ack,
    Data,
    Header,
    Hello,
    Kind,
    Note,
    pack,
    pack_data,
    split,
    unpack_ack,
    unpack_refused,
    unpack_reset,
    unpack_welcome,
)
from headers.replication.envelope import NONCE_BYTES
from headers.replication.frame import MAX_SEQUENCE

_NOTES_ROOM = 1200
_BURST = 16
"""Datagrams of a snapshot in one turn at most: the agent has other things to do."""


@dataclass(frozen=True, slots=True)
class SenderTimes:
    """When a sender does what, in microseconds.

    ``flush_us``: a change waits so long for company; ``counters_us``: activity does;
    ``heartbeat_us``: something is sent at least so often; ``hello_us``: a handshake is tried again
    after so long; ``digests``: buckets compared with each heartbeat.
    """

    flush_us: int = 4_000
    counters_us: int = 1_000_000
    heartbeat_us: int = 100_000
    hello_us: int = 200_000
    digests: int = 32


class Phase(enum.Enum):
    """Where a stream is."""

    CONNECTING = "connecting"
    SNAPSHOT = "snapshot"
    FOLLOWING = "following"
    FENCED = "fenced"


class Sender:
    """A stream from an engine's table to one shadow.

    ``generation``: of the engine's ownership of its flows; a shadow that has taken over refuses it,
    and the phase is then FENCED until ``renew``. ``counts``: refused datagrams by reason, and what
    happened; ``bytes_sent``, ``bytes_received``: UDP payload.
    """

    def __init__(
        self,
        table: ConnectionTable,
        shadow: int,
        secret: bytes,
        generation: int,
        board: Board,
        times: SenderTimes | None = None,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.table = table
        self.shadow = shadow
        self.generation = generation
        self.times = times or SenderTimes()
        self.phase = Phase.CONNECTING
        self.counts: Counter[str] = Counter()
        self.bytes_sent = 0
        self.bytes_received = 0
        self.last_ack_us: int | None = None
        self.last_ack: Ack | None = None
        self.fenced_by = 0
        self.shadow_slots = 0
        self._secret = secret
        self._random = random
        self._board = board
        self._notes = NoteSender(board)
        self._handshake = HandshakeSeal(secret, table.engine, shadow)
        self._pending = Pending(table)
        self._filler = Filler(table, self._pending)
        self._seal: SessionSeal | None = None
        self._flight = Flight()
        self._buckets = Buckets(table, self._pending, self._flight)
        self._window = ReplayWindow()
        self._session = 0
        self._nonce = b""
        self._sequence = 0
        self._next_hello_us = 0
        self._next_heartbeat_us = 0
        self._turn = False
        table.follow(self._pending)
        self._start()

    def close(self) -> None:
        """Follow the table no longer."""
        self.table.unfollow(self._pending)

    def renew(self, generation: int) -> None:
        """Begin anew with a newer generation of ownership."""
        self.generation = generation
        self._start()

    def _start(self) -> None:
        """Ask for a new session."""
        self.phase = Phase.CONNECTING
        self._seal = None
        self._session = int.from_bytes(self._random(4), "big")
        self._nonce = self._random(NONCE_BYTES)
        self._next_hello_us = 0

    # what is known of the shadow

    @property
    def rtt_us(self) -> int:
        """Return the smoothed round trip in microseconds, 0 while unknown."""
        return self._flight.rtt_us

    @property
    def waiting(self) -> int:
        """Return how many new, changed and ended connections wait to be sent."""
        return self._pending.urgent.length

    @property
    def unsettled(self) -> bool:
        """Return whether anything waits to be sent or acknowledged."""
        pending = self._pending
        waits = pending.urgent.length or pending.counters.length or not pending.scanned
        return bool(waits) or self._flight.carries_changes

    def behind_us(self, now_us: int) -> int:
        """Return how long the oldest of them has waited."""
        since = self._pending.urgent.since_us
        return max(0, now_us - since) if since is not None else 0

    # what comes in

    def receive(self, datagram: bytes, now_us: int) -> None:
        """Take a datagram from the shadow; what is wrong with it is counted by reason."""
        self.bytes_received += len(datagram)
        self.counts["answers"] += 1
        try:
            header, _ = split(datagram)
            if header.kind is Kind.ACK:
                self._receive_ack(header, datagram, now_us)
            else:
                self._receive_handshake(header, datagram)
        except PacketError as error:
            self.counts[error.reason] += 1

    def _receive_handshake(self, header: Header, datagram: bytes) -> None:
        if header.session != self._session:
            raise PacketError("unknown_session", "an answer to a session that is over")
        packed = self._handshake.open(datagram)
        if header.kind is Kind.WELCOME:
            welcome = unpack_welcome(packed)
            if welcome.hello != self._nonce or self.phase is not Phase.CONNECTING:
                raise PacketError("replayed", "a welcome to another hello")
            self._begin(welcome.nonce, welcome.slots)
        elif header.kind is Kind.RESET:
            unpack_reset(packed)
            if self._seal is not None:
                self.counts["resets"] += 1
                self._start()
        elif header.kind is Kind.REFUSED:
            refused = unpack_refused(packed)
            if refused.generation > self.generation:
                self.fenced_by = refused.generation
                self.phase = Phase.FENCED
                self._seal = None
                self.counts["fenced"] += 1
        else:
            raise PacketError("malformed", f"a {header.kind.name} from a shadow")

    def _begin(self, nonce: bytes, slots: int) -> None:
        self._seal = SessionSeal.of_primary(
            self._secret, self.table.engine, self.shadow, self._nonce + nonce
        )
        self.phase = Phase.SNAPSHOT
        self.shadow_slots = slots
        self._flight = Flight()
        self._buckets = Buckets(self.table, self._pending, self._flight)
        self._window = ReplayWindow()
        self._sequence = 0
        self._next_heartbeat_us = 0
        self._pending.begin()
        self.counts["sessions"] += 1

    def _receive_ack(self, header: Header, datagram: bytes, now_us: int) -> None:
        if header.session != self._session or self._seal is None:
            raise PacketError("unknown_session", "an acknowledgement of a session that is over")
        self._window.check(header.sequence)
        ack = unpack_ack(self._seal.open(header, datagram))
        if ack.highest > self._sequence:
            raise PacketError("malformed", f"{ack.highest} was never sent")
        self._window.take(header.sequence)
        self._settle(self._flight.acknowledge(ack, now_us), now_us)
        for bucket in ack.diverged:
            self.counts["repairs"] += self._buckets.repair(bucket, now_us)
        self._notes.theirs = ack.board
        for note in ack.notes:
            self._board.put(note, now_us)
        if self.last_ack is None or header.sequence == self._window.highest:
            self.last_ack, self.last_ack_us = ack, now_us

    def _settle(self, outcome: Outcome, now_us: int) -> None:
        for sequence, held in outcome.acknowledged:
            for part in held.parts:
                self._pending.acknowledged(part, sequence)
        for sequence, held in outcome.lost:
            self.counts["lost"] += 1
            for part in held.parts:
                self._pending.lost(part, sequence, now_us)
        if self.phase is Phase.SNAPSHOT and self._snapshot_over():
            self.phase = Phase.FOLLOWING
            self._next_heartbeat_us = now_us
            self.counts["snapshots"] += 1

    def _snapshot_over(self) -> bool:
        return self._pending.scanned and not self._flight.carries_bulk

    # what goes out

    def poll(self, now_us: int) -> list[bytes]:
        """Return the datagrams to send now. Call it when ``due_us`` says, and after changes."""
        if self.phase is Phase.FENCED:
            return []
        if self._seal is None:
            return self._hello(now_us)
        self._settle(self._flight.expire(now_us), now_us)
        if self._sequence >= MAX_SEQUENCE - _BURST:
            self._start()
            return self._hello(now_us)
        out = self._urgent(now_us)
        out += self._bulk(now_us)
        out += self._counters(now_us)
        if now_us >= self._next_heartbeat_us or self._notes.news:
            self._next_heartbeat_us = now_us + self.times.heartbeat_us
            out.append(self._heartbeat(now_us))
        return out

    def due_us(self, now_us: int) -> int:
        """Return when ``poll`` has something to do next, if nothing changes until then."""
        if self.phase is Phase.FENCED:
            return now_us + self.times.heartbeat_us
        if self._seal is None:
            return self._next_hello_us
        if self._notes.news or (self._flight.room_for_bulk and not self._pending.scanned):
            return now_us
        due = self._next_heartbeat_us
        since = self._pending.urgent.since_us
        if since is not None and self._flight.room:
            due = min(due, since + self.times.flush_us)
        return due

    def _hello(self, now_us: int) -> list[bytes]:
        if now_us < self._next_hello_us:
            return []
        self._next_hello_us = now_us + self.times.hello_us
        self.counts["hellos"] += 1
        hello = Hello(self._nonce, self.generation, self.table.slots)
        header = Header(Kind.HELLO, self.table.engine, self.shadow, self._session)
        return [self._counted(self._handshake.seal(header, pack(hello)))]

    def _counted(self, datagram: bytes) -> bytes:
        self.bytes_sent += len(datagram)
        self.counts["datagrams"] += 1
        return datagram

    def _data(self, now_us: int, **fields: object) -> Data:
        return Data(
            now_us,
            self.behind_us(now_us),
            self._flight.shortest_us // 2,
            self.phase is Phase.FOLLOWING,
            self._board.digest(now_us),
            **fields,  # type: ignore[arg-type]
        )

    def _batch(self, data: Data) -> Batch:
        return Batch(self._filler.room(data))

    def _seal_data(self, data: Data, batch: Batch | None, now_us: int) -> bytes:
        if self._seal is None:
            raise AssertionError("no session")
        self._sequence += 1
        header = Header(Kind.DATA, self.table.engine, self.shadow, self._session, self._sequence)
        parts: tuple[Sent, ...] = tuple(batch.parts) if batch else ()
        self._flight.sent(self._sequence, UnderWay(now_us, parts))
        for part in parts:
            self._pending.sent(part, self._sequence)
            self.counts["records"] += len(part.ids)
        return self._counted(
            self._seal.seal(header, pack_data(data, batch.draft if batch else None))
        )

    def _urgent(self, now_us: int) -> list[bytes]:
        """Send what is new, gone or changed: full datagrams at once, the rest after a while."""
        out: list[bytes] = []
        pending = self._pending
        while pending.urgent.length and self._flight.room:
            data = self._data(now_us)
            batch = self._batch(data)
            early = self.behind_us(now_us) < self.times.flush_us
            if early and pending.urgent.length < self._filler.guess(batch):
                break
            self._filler.fill_urgent(batch, now_us)
            if not batch.parts:
                break
            self._filler.fill_counters(batch, now_us)
            out.append(self._seal_data(data, batch, now_us))
        return out

    def _bulk(self, now_us: int) -> list[bytes]:
        """Send a part of the snapshot: half of the window at most, changes have the rest."""
        out: list[bytes] = []
        while not self._pending.scanned and len(out) < _BURST and self._flight.room_for_bulk:
            data = self._data(now_us)
            batch = self._batch(data)
            self._filler.fill_bulk(batch, now_us)
            if not batch.parts:
                break
            out.append(self._seal_data(data, batch, now_us))
        return out

    def _counters(self, now_us: int) -> list[bytes]:
        """Send activity: whole datagrams, or what has waited long enough."""
        out: list[bytes] = []
        counters = self._pending.counters
        while (
            counters.since_us is not None
            and len(out) < _BURST
            and self._flight.room > self._flight.window / 4
        ):
            data = self._data(now_us)
            batch = self._batch(data)
            old = now_us - counters.since_us >= self.times.counters_us
            if not old and counters.length * 4 < batch.room:
                break
            self._filler.fill_counters(batch, now_us)
            if not batch.parts:
                break
            out.append(self._seal_data(data, batch, now_us))
        return out

    def _heartbeat(self, now_us: int) -> bytes:
        """Say that we are there, with notes where they are wanted, else with checksums."""
        notes: tuple[Note, ...] = ()
        self._turn = not self._turn
        # in turn with checksums, so that a difference that cannot be mended does not stop those
        if self._notes.news or (self._turn and self._notes.wanted(now_us)):
            notes = self._notes.take(_NOTES_ROOM, now_us)
        following = self.phase is Phase.FOLLOWING
        digests = self._buckets.next(self.times.digests) if following and not notes else ()
        self.counts["compared"] += len(digests)
        return self._seal_data(self._data(now_us, notes=notes, digests=digests), None, now_us)

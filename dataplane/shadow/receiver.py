"""The shadow's end of a stream: keeps a primary's connections, says what has come and how late.

No input, no output, no clock, as in ``sender.py``.
"""

import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dataplane.shadow.board import Board, NoteSender
from dataplane.shadow.lag import LagMeter
from dataplane.shadow.replica import Replica
from dataplane.shadow.seal import HandshakeSeal, SessionSeal
from dataplane.shadow.window import ReplayWindow
from headers.errors import PacketError
from headers.replication import (
    WAITED,
    Ack,
    Data,
    Header,
    Hello,
    Kind,
    Note,
    Refused,
    Reset,
    Welcome,
    pack,
    split,
    unpack_data,
    unpack_hello,
)
from headers.replication.envelope import MAX_DIGESTS, NONCE_BYTES

_NOTES_ROOM = 1000
_PENDING_MOST = 8
_RESET_US = 50_000
_DECAY_US = 10_000_000
_DIVERGED_MOST: Final = MAX_DIGESTS // 4


@dataclass(frozen=True, slots=True)
class ReceiverTimes:
    """When a receiver acknowledges: after so many datagrams, or so many microseconds."""

    ack_every: int = 16
    ack_us: int = 5_000


@dataclass(slots=True)
class _Session:
    """A session, or one that may begin: its keys, and what came under them."""

    label: int
    nonce: bytes
    generation: int
    seal: SessionSeal
    window: ReplayWindow
    sequence: int = 0


class Receiver:
    """A stream from a primary to this shadow.

    ``generation``: the lowest that is taken; ``counts``: refused datagrams by reason, and what
    happened.
    """

    def __init__(
        self,
        replica: Replica,
        shadow: int,
        secret: bytes,
        board: Board,
        times: ReceiverTimes | None = None,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.replica = replica
        self.shadow = shadow
        self.times = times or ReceiverTimes()
        self.generation = 0
        self.counts: Counter[str] = Counter()
        self.lag = LagMeter()
        self.complete = False
        self.last_data_us: int | None = None
        self.bytes_received = 0
        self._behind_us = 0
        self._secret = secret
        self._random = random
        self._board = board
        self._notes = NoteSender(board)
        self._handshake = HandshakeSeal(secret, replica.primary, shadow)
        self._challenge = random(NONCE_BYTES)
        self._offered: dict[int, _Session] = {}
        self._session: _Session | None = None
        self._answers: list[bytes] = []
        self._unacknowledged = 0
        self._ack_due_us: int | None = None
        self._echo_us = self._echo_at_us = 0
        self._diverged: list[int] = []
        self._next_reset_us = 0
        self._next_decay_us = 0

    def fence(self, generation: int) -> None:
        """Take nothing of generations below this one from now on: somebody else owns the flows."""
        self.generation = max(self.generation, generation)
        self._offered.clear()
        if self._session is not None and self._session.generation < self.generation:
            self._session = None
            self._ack_due_us = None

    @property
    def phase(self) -> str:
        """Return where the stream is: ``connecting``, ``snapshot`` or ``following``."""
        if self._session is None:
            return "connecting"
        return "following" if self.complete else "snapshot"

    def behind_us(self, now_us: int) -> int | None:
        """Return how much later than the primary this replica may be; None without a session.

        What the primary said when it was last heard, and the time since.
        """
        if self._session is None or self.last_data_us is None:
            return None
        return self._behind_us + now_us - self.last_data_us

    def primary_now_s(self, now_us: int) -> float:
        """Return what the primary's monotonic clock shows, less the way here, in seconds."""
        return (self._echo_us + now_us - self._echo_at_us) / 1e6

    # what comes in

    def receive(self, datagram: bytes, now_us: int) -> bool:
        """Take a datagram from the primary; what is wrong with it is counted by reason.

        Returns whether it was genuine and fresh: its source is then where the primary is.
        """
        self.bytes_received += len(datagram)
        try:
            header, _ = split(datagram)
            if header.kind is Kind.HELLO:
                self._receive_hello(header, datagram)
            elif header.kind is Kind.DATA:
                self._receive_data(header, datagram, now_us)
                return True
            else:
                raise PacketError("malformed", f"a {header.kind.name} from a primary")
        except PacketError as error:
            self.counts[error.reason] += 1
        return False

    def _receive_hello(self, header: Header, datagram: bytes) -> None:
        hello = unpack_hello(self._handshake.open(datagram))
        if hello.generation < self.generation:
            self.counts["stale_generation"] += 1
            self._refuse(header.session)
            return
        session = self._session
        if session is not None and session.nonce == hello.nonce:
            raise PacketError("replayed", "the hello of a session that is under way")
        self._offer(header.session, hello)
        welcome = Welcome(hello.nonce, self._challenge, self.replica.slots)
        self._answer(Kind.WELCOME, header.session, pack(welcome))

    def _offer(self, label: int, hello: Hello) -> None:
        """Be ready for a session; what was offered longest ago is forgotten."""
        self._offered.pop(label, None)
        while len(self._offered) >= _PENDING_MOST:
            del self._offered[next(iter(self._offered))]
        seal = SessionSeal.of_shadow(
            self._secret, self.replica.primary, self.shadow, hello.nonce + self._challenge
        )
        self._offered[label] = _Session(label, hello.nonce, hello.generation, seal, ReplayWindow())

    def _refuse(self, label: int) -> None:
        self._answer(Kind.REFUSED, label, pack(Refused(self.generation)))

    def _answer(self, kind: Kind, label: int, packed: bytes) -> None:
        header = Header(kind, self.replica.primary, self.shadow, label)
        self._answers.append(self._handshake.seal(header, packed))

    def _receive_data(self, header: Header, datagram: bytes, now_us: int) -> None:
        session = self._session
        if session is None or session.label != header.session:
            session = self._offered.get(header.session)
        if session is None:
            self._reset(header.session, now_us)
            raise PacketError("unknown_session", "a session that is not known here")
        session.window.check(header.sequence)
        try:
            packed = session.seal.open(header, datagram)
        except PacketError:
            # an old hello may have come again: its primary goes on with keys that were forgotten
            if session is not self._session:
                self._reset(header.session, now_us)
            raise
        # genuine from here on
        data = unpack_data(packed)
        session.window.take(header.sequence)
        if session is not self._session:
            self._begin(session)
        self._take(data, header.sequence, now_us)

    def _reset(self, label: int, now_us: int) -> None:
        """Say that a session is unknown; seldom, as whoever sent it need not be the primary."""
        if now_us >= self._next_reset_us:
            self._next_reset_us = now_us + _RESET_US
            self._answer(Kind.RESET, label, pack(Reset()))

    def _begin(self, session: _Session) -> None:
        """A genuine datagram came under keys made from our challenge: the session is fresh."""
        self._session = session
        self._offered.clear()
        self._challenge = self._random(NONCE_BYTES)
        self.generation = max(self.generation, session.generation)
        self.complete = False
        self._diverged.clear()
        self.replica.begin()
        self.counts["sessions"] += 1

    def _take(self, data: Data, sequence: int, now_us: int) -> None:
        under_way = self.lag.arrived(data.sent_us, data.delay_us, now_us)
        for section in data.sections:
            self.replica.apply(section, sequence)
            self.counts["records"] += len(section.ids)
            if section.waited is not None and section.mask & WAITED:
                self.lag.add(section.waited, under_way)
        if data.complete and not self.complete:
            self.complete = True
            self.replica.complete()
            self.counts["snapshots"] += 1
        for bucket, theirs in data.digests:
            self.counts["compared"] += 1
            if self.replica.differs(bucket, theirs, sequence):
                self.counts["diverged"] += 1
                if len(self._diverged) < _DIVERGED_MOST:
                    self._diverged.append(bucket)
        self._notes.theirs = data.board
        for note in data.notes:
            self._board.put(note, now_us)
        self.last_data_us, self._behind_us = now_us, data.behind_us + under_way
        self._echo_us, self._echo_at_us = data.sent_us, now_us
        self._unacknowledged += 1
        if self._ack_due_us is None:
            self._ack_due_us = now_us + self.times.ack_us

    # what goes out

    def answers(self) -> list[bytes]:
        """Take the answers to what was just received: they go to where that came from."""
        answers, self._answers = self._answers, []
        return answers

    def poll(self, now_us: int) -> list[bytes]:
        """Return the datagrams to send to the primary now, when ``due_us`` says, or later."""
        out: list[bytes] = []
        if now_us >= self._next_decay_us:
            self._next_decay_us = now_us + _DECAY_US
            self.lag.decay()
        due = self._ack_due_us is not None and (
            now_us >= self._ack_due_us or self._unacknowledged >= self.times.ack_every
        )
        if self._session is not None and (due or self._notes.news):
            out.append(self._ack(self._session, now_us))
        return out

    def due_us(self) -> int | None:
        """Return when ``poll`` has something to do, if nothing comes until then; None: never."""
        if self._session is None:
            return None
        if self._unacknowledged >= self.times.ack_every or self._notes.news:
            return self.last_data_us
        return self._ack_due_us

    def _ack(self, session: _Session, now_us: int) -> bytes:
        session.sequence += 1
        self._unacknowledged = 0
        self._ack_due_us = None
        notes: tuple[Note, ...] = ()
        if self._notes.news or self._notes.wanted(now_us):
            notes = self._notes.take(_NOTES_ROOM, now_us)
        diverged, self._diverged = tuple(self._diverged), []
        ack = Ack(
            session.window.highest,
            session.window.bitmap,
            self._echo_us,
            now_us - self._echo_at_us,
            len(self.replica),
            self.replica.unheld,
            self.lag.percentile_us(0.99),
            diverged,
            self._board.digest(now_us),
            notes,
        )
        header = Header(
            Kind.ACK, self.replica.primary, self.shadow, session.label, session.sequence
        )
        return session.seal.seal(header, pack(ack))

"""The sealed part of replication datagrams: msgpack arrays, the changes as one binary body.

Every field is checked when it is read. What is wrong raises ``PacketError("malformed", …)``.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import msgpack

from headers.errors import PacketError
from headers.replication.record import MAX_SLOTS
from headers.replication.sections import Section, decode_section, encode_section

NONCE_BYTES: Final = 16
BITMAP_BYTES: Final = 64
ACKNOWLEDGED: Final = 8 * BITMAP_BYTES
"""An acknowledgement speaks of so many sequence numbers, the highest and those below it."""
MAX_PAYLOAD: Final = 900
"""Bytes of a note's payload at most, so that a note fits into a datagram."""
MAX_NOTES: Final = 64
MAX_DIGESTS: Final = 256
MAX_NAME: Final = 32
_U8, _U32, _U64 = 0xFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF
_NOTE_LIMITS: Final = {"subject": _U32, "term": _U64, "generation": _U64, "remaining_ms": _U32}


@dataclass(frozen=True, slots=True)
class Hello:
    """Primary to shadow: begin a session. ``generation``: of the engine's ownership of its flows.

    ``slots``: how many connections the primary's table holds at most.
    """

    nonce: bytes
    generation: int
    slots: int


@dataclass(frozen=True, slots=True)
class Welcome:
    """Shadow to primary: the session may begin. ``hello``: the nonce answered; ``slots``: held."""

    hello: bytes
    nonce: bytes
    slots: int


@dataclass(frozen=True, slots=True)
class Reset:
    """Shadow to primary: the session that the header names is unknown here."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Shadow to primary: fenced. Only generations from ``generation`` on are taken."""

    generation: int


@dataclass(frozen=True, slots=True)
class Note:
    """An instruction that agents pass on: of each kind and subject the newest is kept.

    ``term`` (of the brain that made it), then ``generation``, say which is newer. ``remaining_ms``:
    how long it is still meant to hold; 0 for ever.
    """

    kind: str
    subject: int
    term: int
    generation: int
    remaining_ms: int
    payload: bytes

    @property
    def age(self) -> tuple[int, int]:
        """Return what orders the notes of a kind and subject."""
        return self.term, self.generation


@dataclass(frozen=True, slots=True)
class Data:
    """Primary to shadow: changes.

    ``sent_us``: the primary's monotonic clock; ``behind_us``: how long the oldest new, ended or
    changed connection has waited to be sent; ``delay_us``: half of the shortest round trip seen,
    0 for unknown; ``complete``: all that was there when the session began is acknowledged;
    ``board``: digest of the primary's notes; ``digests``: pairs of a bucket and its checksum.
    """

    sent_us: int
    behind_us: int = 0
    delay_us: int = 0
    complete: bool = False
    board: int = 0
    digests: tuple[tuple[int, int], ...] = ()
    notes: tuple[Note, ...] = ()
    sections: tuple[Section, ...] = ()


@dataclass(frozen=True, slots=True)
class Ack:
    """Shadow to primary: what has arrived.

    ``highest``: the highest sequence number taken; ``bitmap``: an integer whose bit i says that
    ``highest - i`` was taken; ``echo_us``: the ``sent_us`` of the datagram taken last; ``hold_us``:
    how long ago that was; ``held``: connections in the replica; ``unheld``: connections for which
    there was no room; ``lag_us``: 99th percentile of the lag lately; ``diverged``: buckets whose
    checksum differs; ``board`` and ``notes`` as in ``Data``.
    """

    highest: int
    bitmap: int
    echo_us: int
    hold_us: int
    held: int
    unheld: int
    lag_us: int = 0
    diverged: tuple[int, ...] = ()
    board: int = 0
    notes: tuple[Note, ...] = ()


Message = Hello | Welcome | Reset | Refused | Data | Ack
_Sections = list[tuple[list[int], bytes]]


@dataclass(slots=True)
class Draft:
    """A ``Data`` while it is filled: its sections are encoded one by one."""

    sections: _Sections = field(default_factory=list)
    size: int = 0

    def try_add(self, section: Section, room: int) -> int:
        """Add a section if its encoding has at most ``room`` bytes; return its size either way."""
        described, body = encode_section(section)
        size = len(body) + len(msgpack.packb(described))
        if size <= room:
            self.sections.append((described, body))
            self.size += size
        return size


def pack_data(data: Data, draft: Draft | None = None) -> bytes:
    """Return a ``Data`` as bytes, with the sections of a draft instead of its own."""
    sections = draft.sections if draft else [encode_section(part) for part in data.sections]
    packed: bytes = msgpack.packb(
        (
            data.sent_us,
            data.behind_us,
            data.delay_us,
            data.complete,
            data.board,
            [number for pair in data.digests for number in pair],
            [_note_fields(note) for note in data.notes],
            [described for described, _ in sections],
            b"".join(body for _, body in sections),
        )
    )
    return packed


def pack(message: Message) -> bytes:
    """Return any message as bytes."""
    if isinstance(message, Data):
        return pack_data(message)
    fields: tuple[Any, ...]
    if isinstance(message, Hello):
        fields = (message.nonce, message.generation, message.slots)
    elif isinstance(message, Welcome):
        fields = (message.hello, message.nonce, message.slots)
    elif isinstance(message, Reset):
        fields = ()
    elif isinstance(message, Refused):
        fields = (message.generation,)
    else:
        fields = (
            message.highest,
            message.bitmap.to_bytes(BITMAP_BYTES, "little").rstrip(b"\0"),
            message.echo_us,
            message.hold_us,
            message.held,
            message.unheld,
            message.lag_us,
            message.diverged,
            message.board,
            [_note_fields(note) for note in message.notes],
        )
    packed: bytes = msgpack.packb(fields)
    return packed


def _note_fields(note: Note) -> tuple[object, ...]:
    return (
        note.kind, note.subject, note.term, note.generation, note.remaining_ms, note.payload,
    )  # fmt: skip


def check_note(note: Note) -> None:
    """Refuse a note that the other end would not read.

    Raises:
        ValueError: a field is too long or too large, in words.
    """
    if not 0 < len(note.kind.encode()) <= MAX_NAME:
        raise ValueError(f"a note's kind has 1 to {MAX_NAME} bytes, not {note.kind!r:.80}")
    if len(note.payload) > MAX_PAYLOAD:
        raise ValueError(f"a note's payload has {MAX_PAYLOAD} bytes at most: {len(note.payload)}")
    for name, most in _NOTE_LIMITS.items():
        if not 0 <= getattr(note, name) <= most:
            raise ValueError(f"a note's {name} is 0 to {most}, not {getattr(note, name)}")


def note_size(note: Note) -> int:
    """Return about how many bytes a note takes in a datagram, not less than it does."""
    return len(note.kind.encode()) + len(note.payload) + 48


def _fields(packed: bytes, count: int) -> list[Any]:
    try:
        fields = msgpack.unpackb(packed, strict_map_key=True, max_map_len=0, max_ext_len=0)
    except Exception as error:  # msgpack raises a wide family of errors
        raise PacketError("malformed", f"not msgpack: {error}") from error
    return _list(fields, count, exactly=True)


def _list(value: object, most: int, *, exactly: bool = False) -> list[Any]:
    if not isinstance(value, list) or len(value) > most or (exactly and len(value) != most):
        raise PacketError("malformed", f"not a list of {most}")
    return value


def _number(value: object, most: int = _U64) -> int:
    # a bool is an int in Python, but no number here
    if type(value) is not int or not 0 <= value <= most:
        raise PacketError("malformed", f"{value!r:.40} is not a number up to {most}")
    return value


def _bytes(value: object, most: int, least: int = 0) -> bytes:
    if not isinstance(value, bytes) or not least <= len(value) <= most:
        raise PacketError("malformed", f"not {least} to {most} bytes")
    return value


def _notes(value: object) -> tuple[Note, ...]:
    notes = []
    for item in _list(value, MAX_NOTES):
        kind, subject, term, generation, remaining, payload = _list(item, 6, exactly=True)
        if not isinstance(kind, str) or not 0 < len(kind.encode()) <= MAX_NAME:
            raise PacketError("malformed", "a note without a kind")
        notes.append(
            Note(
                kind,
                _number(subject, _U32),
                _number(term),
                _number(generation),
                _number(remaining, _U32),
                _bytes(payload, MAX_PAYLOAD),
            )
        )
    return tuple(notes)


def unpack_hello(packed: bytes) -> Hello:
    """Read a ``Hello``; raises PacketError (``malformed``)."""
    nonce, generation, slots = _fields(packed, 3)
    return Hello(
        _bytes(nonce, NONCE_BYTES, NONCE_BYTES), _number(generation), _number(slots, MAX_SLOTS)
    )


def unpack_welcome(packed: bytes) -> Welcome:
    """Read a ``Welcome``; raises PacketError (``malformed``)."""
    hello, nonce, slots = _fields(packed, 3)
    return Welcome(
        _bytes(hello, NONCE_BYTES, NONCE_BYTES),
        _bytes(nonce, NONCE_BYTES, NONCE_BYTES),
        _number(slots, MAX_SLOTS),
    )


def unpack_reset(packed: bytes) -> Reset:
    """Read a ``Reset``; raises PacketError (``malformed``)."""
    _fields(packed, 0)
    return Reset()


def unpack_refused(packed: bytes) -> Refused:
    """Read a ``Refused``; raises PacketError (``malformed``)."""
    (generation,) = _fields(packed, 1)
    return Refused(_number(generation))


def unpack_data(packed: bytes) -> Data:
    """Read a ``Data``; raises PacketError (``malformed``)."""
    sent, behind, delay, complete, board, digests, notes, described, body = _fields(packed, 9)
    if not isinstance(complete, bool):
        raise PacketError("malformed", "completeness that is no truth value")
    numbers = [_number(number) for number in _list(digests, 2 * MAX_DIGESTS)]
    if len(numbers) % 2 or any(bucket >= MAX_SLOTS for bucket in numbers[::2]):
        raise PacketError("malformed", "checksums without their buckets")
    raw = _bytes(body, _U32)
    sections = []
    at = 0
    for item in _list(described, MAX_NOTES):
        # a mask with a wait has the most columns; the section checks that the number is right
        section, at = decode_section(_section_numbers(item), raw, at)
        sections.append(section)
    if at != len(raw):
        raise PacketError("malformed", f"{len(raw) - at} bytes behind the last section")
    return Data(
        _number(sent),
        _number(behind),
        _number(delay, _U32),
        complete,
        _number(board, _U32),
        tuple(zip(numbers[::2], numbers[1::2], strict=True)),
        _notes(notes),
        tuple(sections),
    )


def _section_numbers(value: object) -> list[int]:
    numbers = _list(value, _U8)
    if len(numbers) < 3:
        raise PacketError("malformed", "a section without mask, count and first number")
    for number in numbers:
        _number(number, _U32)
    return numbers


def unpack_ack(packed: bytes) -> Ack:
    """Read an ``Ack``; raises PacketError (``malformed``)."""
    highest, bitmap, echo, hold, held, unheld, lag, diverged, board, notes = _fields(packed, 10)
    return Ack(
        _number(highest, _U32),
        int.from_bytes(_bytes(bitmap, BITMAP_BYTES), "little"),
        _number(echo),
        _number(hold),
        _number(held, MAX_SLOTS),
        _number(unheld, MAX_SLOTS),
        _number(lag),
        tuple(_number(bucket, MAX_SLOTS) for bucket in _list(diverged, MAX_DIGESTS)),
        _number(board, _U32),
        _notes(notes),
    )

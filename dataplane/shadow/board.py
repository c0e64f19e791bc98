"""Instructions that agents pass on to each other: of each kind and subject the newest wins.

Every datagram of a stream carries a digest of what its sender knows. Where two digests differ, both
send what they have; taking is idempotent, so both end with the union. No acknowledgement is needed,
and it does not matter who told whom (epidemic dissemination, Demers and others 1987).
"""

import zlib
from collections import Counter
from dataclasses import replace
from typing import Final

from headers.replication import Note
from headers.replication.envelope import check_note, note_size

MAX_KNOWN: Final = 1024


class Board:
    """The notes that this agent knows. Bounded: what does not fit is counted (``notes_full``)."""

    def __init__(self) -> None:
        self._notes: dict[tuple[str, int], tuple[Note, int]] = {}
        self.revision = 0
        """Grows with each note that is taken."""
        self.counts: Counter[str] = Counter()
        self._digest = 0
        self._digest_of = -1
        self._digest_until = 0

    def put(self, note: Note, now_us: int) -> bool:
        """Take a note unless the one known is as new; return whether it was taken.

        Raises:
            ValueError: it cannot be passed on as it is, in words.
        """
        check_note(note)
        key = note.kind, note.subject
        known = self._notes.get(key)
        if known is not None and known[0].age >= note.age:
            self.counts["notes_old"] += known[0].age > note.age
            return False
        if known is None and len(self._notes) >= MAX_KNOWN and not self._forget(now_us):
            self.counts["notes_full"] += 1
            return False
        until = now_us + note.remaining_ms * 1000 if note.remaining_ms else 0
        self._notes[key] = note, until
        self.revision += 1
        self.counts["notes_taken"] += 1
        return True

    def _forget(self, now_us: int) -> bool:
        """Forget one note that holds no longer; return whether there was one."""
        for key, (_, until) in self._notes.items():
            if until and until <= now_us:
                del self._notes[key]
                return True
        return False

    def get(self, kind: str, subject: int) -> Note | None:
        """Return the newest note of a kind and subject, also if its time is over; or None.

        Whoever acts on it decides what an instruction is worth whose time is over while nobody can
        be asked for a new one.
        """
        known = self._notes.get((kind, subject))
        return known[0] if known else None

    def of_kind(self, kind: str) -> list[Note]:
        """Return the newest notes of a kind, also those whose time is over."""
        return [note for (known, _), (note, _) in self._notes.items() if known == kind]

    def current(self, now_us: int) -> list[Note]:
        """Return all notes that hold still, with the time that remains to them."""
        notes = []
        for note, until in self._notes.values():
            if not until:
                notes.append(note)
            elif until > now_us:
                notes.append(replace(note, remaining_ms=max(1, (until - now_us) // 1000)))
        return notes

    def digest(self, now_us: int) -> int:
        """Return 32 bits that are equal where the same notes are known and hold."""
        if self._digest_of != self.revision or 0 < self._digest_until <= now_us:
            holding = [
                (kind, subject, note.term, note.generation)
                for (kind, subject), (note, until) in self._notes.items()
                if not until or until > now_us
            ]
            ends = [until for _, until in self._notes.values() if until > now_us]
            self._digest = zlib.crc32(repr(sorted(holding)).encode())
            self._digest_of, self._digest_until = self.revision, min(ends, default=0)
        return self._digest


class NoteSender:
    """What one peer is told: everything in turn, while its digest differs from ours."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._at = 0
        self._told = 0
        self.theirs = 0

    def wanted(self, now_us: int) -> bool:
        """Return whether the peer knows something else than we do, as far as we know."""
        return self.theirs != self._board.digest(now_us)

    @property
    def news(self) -> bool:
        """Return whether something was taken since the peer was told anything."""
        return self._told != self._board.revision

    def take(self, room: int, now_us: int) -> tuple[Note, ...]:
        """Return notes to send, in at most ``room`` bytes; the next call goes on behind them."""
        self._told = self._board.revision
        notes = self._board.current(now_us)
        # newest last in the table, first to be told
        ordered = notes[::-1]
        chosen: list[Note] = []
        for step in range(len(ordered)):
            note = ordered[(self._at + step) % len(ordered)]
            room -= note_size(note)
            if room < 0:
                self._at = (self._at + step) % len(ordered)
                return tuple(chosen)
            chosen.append(note)
        self._at = 0
        return tuple(chosen)

"""The clear part of a replication datagram: what is needed to find the key.

Twelve bytes, all of them authenticated, before the sealed part. What follows is sealed with
AES-256-GCM: of sessions under a nonce made of the sequence number, of handshakes under a random
nonce that stands before it.
"""

import enum
import struct
from dataclasses import dataclass
from typing import Final

from headers.errors import PacketError

VERSION: Final = 1
READS: Final = (1,)
PORT: Final = 6610
"""The UDP port that agents replicate on, unless told otherwise."""
HEADER: Final = struct.Struct("!BBBBII")
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
MAX_DATAGRAM: Final = 1400
"""Bytes of UDP payload at most: below the MTU of tunnels."""
MAX_SEQUENCE: Final = 0xFFFFFFFF
MAX_ENGINE: Final = 255


class Kind(enum.IntEnum):
    """What a datagram is."""

    HELLO = 1
    WELCOME = 2
    DATA = 3
    ACK = 4
    RESET = 5
    REFUSED = 6


SESSION_KINDS: Final = frozenset((Kind.DATA, Kind.ACK))
"""Kinds that are sealed under a session's keys, with their sequence number as nonce."""
FROM_SHADOW: Final = frozenset((Kind.WELCOME, Kind.ACK, Kind.RESET, Kind.REFUSED))


@dataclass(frozen=True, slots=True)
class Header:
    """The clear part: kind, engines, session label and sequence number (0 in handshakes)."""

    kind: Kind
    primary: int
    shadow: int
    session: int
    sequence: int = 0

    def encode(self) -> bytes:
        """Return the 12 bytes."""
        return HEADER.pack(
            VERSION << 4 | self.kind, self.primary, self.shadow, 0, self.session, self.sequence
        )


def split(datagram: bytes) -> tuple[Header, bytes]:
    """Return the clear header and the rest of a datagram.

    Raises:
        PacketError: ``truncated``, ``too_long``, ``version``, or ``malformed``.
    """
    if len(datagram) < HEADER.size + TAG_BYTES:
        raise PacketError("truncated", f"a datagram of {len(datagram)} bytes")
    if len(datagram) > MAX_DATAGRAM:
        raise PacketError("too_long", f"a datagram of {len(datagram)} bytes")
    first, primary, shadow, unused, session, sequence = HEADER.unpack_from(datagram)
    if first >> 4 not in READS:
        raise PacketError("version", f"format version {first >> 4}; this program reads {READS}")
    try:
        kind = Kind(first & 0xF)
    except ValueError:
        raise PacketError("malformed", f"a datagram of kind {first & 0xF}") from None
    if unused or not primary or not shadow or primary == shadow:
        raise PacketError("malformed", f"a datagram between engines {primary} and {shadow}")
    return Header(kind, primary, shadow, session, sequence), datagram[HEADER.size :]

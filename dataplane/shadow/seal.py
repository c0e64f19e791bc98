"""Sealing datagrams: AES-256-GCM (RFC 5116) under keys derived for replication alone."""

import secrets
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bus.keys import replication_handshake_key, replication_session_keys
from headers.errors import PacketError
from headers.replication import Header
from headers.replication.frame import HEADER, NONCE_BYTES


class HandshakeSeal:
    """Seals what begins and refuses sessions of one stream, under random nonces."""

    def __init__(self, secret: bytes, primary: int, shadow: int) -> None:
        self._cipher = AESGCM(replication_handshake_key(secret, primary, shadow))

    def seal(self, header: Header, packed: bytes) -> bytes:
        """Return the datagram."""
        clear = header.encode()
        nonce = secrets.token_bytes(NONCE_BYTES)
        return clear + nonce + self._cipher.encrypt(nonce, packed, clear)

    def open(self, datagram: bytes) -> bytes:
        """Return what a datagram holds.

        Raises:
            PacketError: ``forged``: not sealed with our key, or changed.
        """
        at = HEADER.size + NONCE_BYTES
        try:
            return self._cipher.decrypt(
                datagram[HEADER.size : at], datagram[at:], datagram[: HEADER.size]
            )
        except (InvalidTag, ValueError) as error:
            raise PacketError("forged", "a handshake that is not sealed with our key") from error


class SessionSeal:
    """Seals one direction of a session and opens the other; nonces are sequence numbers."""

    _PADDING: Final = bytes(NONCE_BYTES - 4)

    def __init__(self, ours: bytes, theirs: bytes) -> None:
        self._ours = AESGCM(ours)
        self._theirs = AESGCM(theirs)

    @classmethod
    def of_primary(cls, secret: bytes, primary: int, shadow: int, nonces: bytes) -> Self:
        """Return the primary's end of a session."""
        return cls(*replication_session_keys(secret, primary, shadow, nonces))

    @classmethod
    def of_shadow(cls, secret: bytes, primary: int, shadow: int, nonces: bytes) -> Self:
        """Return the shadow's end of a session."""
        theirs, ours = replication_session_keys(secret, primary, shadow, nonces)
        return cls(ours, theirs)

    def seal(self, header: Header, packed: bytes) -> bytes:
        """Return the datagram; a sequence number is used once."""
        clear = header.encode()
        nonce = self._PADDING + header.sequence.to_bytes(4, "big")
        return clear + self._ours.encrypt(nonce, packed, clear)

    def open(self, header: Header, datagram: bytes) -> bytes:
        """Return what a datagram holds.

        Raises:
            PacketError: ``forged``: not sealed with the session's key, or changed.
        """
        nonce = self._PADDING + header.sequence.to_bytes(4, "big")
        try:
            return self._theirs.decrypt(nonce, datagram[HEADER.size :], datagram[: HEADER.size])
        except InvalidTag as error:
            raise PacketError("forged", "a datagram that the session's key did not seal") from error

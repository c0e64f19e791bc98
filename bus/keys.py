"""One secret per domain, and the keys derived from it for each purpose and epoch."""

import hashlib
import hmac

EPOCHS = 256
CUSTOMER_SECRET_BYTES = 32
_HASH = hashlib.sha256
_DIGEST_BYTES = 32
_MOST_BYTES = 255 * _DIGEST_BYTES


def hkdf(secret: bytes, info: bytes, length: int, salt: bytes = b"") -> bytes:
    """Return ``length`` bytes by HKDF-SHA256 (RFC 5869), extract and expand.

    The standard library's HMAC serves: an engine's agent is to stay small.

    Raises:
        ValueError: more bytes than HKDF can give.
    """
    if not 0 < length <= _MOST_BYTES:
        raise ValueError(f"HKDF gives 1 to {_MOST_BYTES} bytes, not {length}")
    key = hmac.digest(salt or bytes(_DIGEST_BYTES), secret, _HASH)
    out, block = b"", b""
    for number in range(1, -(-length // _DIGEST_BYTES) + 1):
        block = hmac.digest(key, block + info + bytes([number]), _HASH)
        out += block
    return out[:length]


def derive_key(secret: bytes, purpose: str, epoch: int = 0, length: int = 16) -> bytes:
    """Return a key of ``length`` bytes by HKDF-SHA256 (RFC 5869).

    ``purpose`` keeps keys apart (``tag``, ``discovery``); ``epoch`` is the key epoch.
    """
    return hkdf(secret, f"foresteer {purpose} {epoch}".encode(), length)


def tag_key(secret: bytes, epoch: int) -> bytes:
    """Return the 16-byte key of an epoch's tags, from a domain's or a customer's secret."""
    return derive_key(secret, "tag", epoch)


def customer_secret(secret: bytes, customer: int) -> bytes:
    """Return the 32-byte secret to hand to a customer: nothing else can be derived from it."""
    return derive_key(secret, f"customer {customer}", 0, CUSTOMER_SECRET_BYTES)


def replication_handshake_key(secret: bytes, primary: int, shadow: int) -> bytes:
    """Return the 32-byte key that a stream of connection state is begun under.

    ``primary``, ``shadow``: engine numbers. Everything sealed under it has a random nonce.
    """
    return derive_key(secret, f"replication handshake {primary} {shadow}", 0, 32)


def replication_session_keys(
    secret: bytes, primary: int, shadow: int, nonces: bytes
) -> tuple[bytes, bytes]:
    """Return the 32-byte keys of one session: primary to shadow, and back.

    ``nonces``: what primary and shadow chose at random for this session, one after the other. It is
    HKDF's salt, so no session has the keys of another.
    """
    info = f"foresteer replication session {primary} {shadow}".encode()
    both = hkdf(secret, info, 64, nonces)
    return both[:32], both[32:]

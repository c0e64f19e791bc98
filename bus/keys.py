"""One secret per domain, and the keys derived from it for each purpose and epoch."""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def derive_key(secret: bytes, purpose: str, epoch: int = 0, length: int = 16) -> bytes:
    """Return a key of ``length`` bytes by HKDF-SHA256 (RFC 5869).

    ``purpose`` keeps keys apart (``tag``, ``discovery``); ``epoch`` is the key epoch.
    """
    info = f"foresteer {purpose} {epoch}".encode()
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(secret)

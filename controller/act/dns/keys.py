"""Secrets of name servers: read from files, never from the configuration itself."""

import base64
import re
from dataclasses import dataclass, field
from pathlib import Path

import dns.exception
import dns.name
import dns.tsig

from controller.errors import ConfigError

_KEY = re.compile(r'key\s+"?(?P<name>[^"\s{]+)"?\s*\{(?P<body>[^}]*)\}', re.IGNORECASE | re.DOTALL)
_FIELD = re.compile(r'(algorithm|secret)\s+"?([^";\s]+)"?\s*;', re.IGNORECASE)
LEAST_BYTES = 16
ALGORITHMS = ("hmac-sha256", "hmac-sha384", "hmac-sha512")


@dataclass(frozen=True, slots=True)
class TsigKey:
    """A key for transaction signatures (RFC 8945)."""

    name: str
    algorithm: str
    secret: str = field(repr=False)

    def ring(self) -> dict[dns.name.Name, dns.tsig.Key]:
        """Return it as dnspython wants it."""
        name = dns.name.from_text(self.name)
        return {name: dns.tsig.Key(name, self.secret, self.algorithm)}


def read_secret(path: Path) -> str:
    """Return a file's content without the blanks around it.

    Raises:
        ConfigError: it cannot be read, is empty, or others may read it.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"{path} can be read by others: chmod 600 {path}")
        content = path.read_text().strip()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} holds no text") from error
    if not content:
        raise ConfigError(f"{path} is empty: it must hold a secret")
    return content


def read_tsig_key(path: Path) -> TsigKey:
    """Return the key of a file as ``tsig-keygen`` writes it.

    Raises:
        ConfigError: it is no such file, or of an algorithm that is too weak.
    """
    content = read_secret(path)
    found = _KEY.search(content)
    fields = {name.lower(): text for name, text in _FIELD.findall(found["body"])} if found else {}
    if found is None or fields.keys() != {"algorithm", "secret"}:
        raise ConfigError(f"{path} is no key file: make one with tsig-keygen NAME")
    if fields["algorithm"].lower() not in ALGORITHMS:
        raise ConfigError(f"{path}: {fields['algorithm']} is not one of {', '.join(ALGORITHMS)}")
    key = TsigKey(found["name"], fields["algorithm"].lower(), fields["secret"])
    try:
        if len(base64.b64decode(key.secret, validate=True)) < LEAST_BYTES:
            raise ValueError(f"a secret has at least {LEAST_BYTES} bytes")
        key.ring()
    except (dns.exception.DNSException, ValueError) as error:
        raise ConfigError(f"{path} holds no usable key: {error}") from error
    return key

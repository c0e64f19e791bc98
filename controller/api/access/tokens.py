"""Bearer tokens: who has one, with which role, until when. Only hashes are kept.

A token is 256 random bits, so that one round of SHA-256 hides it: there is nothing to guess. The
file is written anew beside and moved into place, readable by its owner only.
"""

import hashlib
import hmac
import json
import logging
import os
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from controller.api.access.roles import Role

VERSION = 1
MARK = "fst"
"""What every token begins with, so that scanners find leaked ones."""

NAME_MOST = 64
LOG = logging.getLogger("foresteer.api")

MOST = 1000
"""Tokens that are kept; those that have expired go first."""


class TokenError(ValueError):
    """A token cannot be made, or the file of tokens cannot be read."""


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token: ``digest`` is the SHA-256 of its secret in hexadecimal.

    Times in seconds since the epoch; ``expires_s`` None: never.
    """

    id: str
    name: str
    role: str
    digest: str
    created_s: float
    expires_s: float | None = None

    def public(self) -> dict[str, object]:
        """Return everything but the digest."""
        return {key: value for key, value in asdict(self).items() if key != "digest"}


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class TokenBook:
    """The tokens of an instance, in a file that this and the command line both may change."""

    def __init__(self, path: Path, wall: Callable[[], float]) -> None:
        """Read the file where there is one.

        Raises:
            TokenError: it cannot be read: nobody is let in by guess.
        """
        self._path = path
        self._wall = wall
        self._seen: tuple[int, int] | None = None
        self._tokens: dict[str, Token] = {}
        self.damaged = 0
        """Times that the file could not be read since it last could."""
        self._read()

    def _read(self) -> None:
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            self._tokens, self._seen = {}, None
            return
        seen = stat.st_mtime_ns, stat.st_size
        if seen == self._seen:
            return
        try:
            body = json.loads(self._path.read_text())
            if body["version"] != VERSION:
                raise TokenError(f"{self._path}: version {body['version']}, not {VERSION}")
            found = [Token(**one) for one in body["tokens"]]
            for one in found:
                Role.named(one.role)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TokenError(f"{self._path}: {error}") from error
        self._tokens, self._seen = {one.id: one for one in found}, seen

    def _write(self) -> None:
        body = {"version": VERSION, "tokens": [asdict(one) for one in self._tokens.values()]}
        draft = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(body, file, indent=1)
            draft.replace(self._path)
        except OSError as error:
            raise TokenError(f"{self._path}: {error.strerror}") from error
        self._seen = None
        self._read()

    def all(self) -> tuple[Token, ...]:
        """Return what is kept of all tokens, the oldest first."""
        self._read()
        return tuple(self._tokens.values())

    def create(self, name: str, role: Role, lifetime_s: float | None = None) -> tuple[Token, str]:
        """Make a token; return what is kept, and the token itself, which is never seen again.

        Raises:
            TokenError: a name that is empty, too long or taken; a lifetime that is not above 0.
        """
        self._read()
        now = self._wall()
        if not 0 < len(name) <= NAME_MOST or not name.isprintable():
            raise TokenError(f"a token's name has 1 to {NAME_MOST} printable characters")
        if lifetime_s is not None and not 0 < lifetime_s < float("inf"):
            raise TokenError("a token's lifetime is above 0 s")
        alive = {k: t for k, t in self._tokens.items() if t.expires_s is None or t.expires_s > now}
        if any(one.name == name for one in alive.values()):
            raise TokenError(f"there is a token {name!r} already: revoke it first")
        if len(alive) >= MOST:
            raise TokenError(f"there are {MOST} tokens already")
        number, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        expires = None if lifetime_s is None else now + lifetime_s
        made = Token(number, name, role.word, _digest(secret), now, expires)
        self._tokens = {**alive, number: made}
        self._write()
        return made, f"{MARK}_{number}_{secret}"

    def revoke(self, number: str) -> bool:
        """Forget a token by its id; return whether there was one."""
        self._read()
        if number not in self._tokens:
            return False
        del self._tokens[number]
        self._write()
        return True

    def _look(self) -> None:
        """Read the file if it has changed; one that is damaged meanwhile changes nothing."""
        try:
            self._read()
        except TokenError as error:
            if not self.damaged:
                LOG.error("the tokens from before count: %s", error)
            self.damaged += 1
        else:
            self.damaged = 0

    def find(self, token: str) -> Token | None:
        """Return the token that someone shows, if it is one of ours and has not expired."""
        self._look()
        parts = token.split("_", 2)
        if len(parts) != 3 or parts[0] != MARK:
            return None
        kept = self._tokens.get(parts[1])
        # an unknown one takes as long as a wrong one
        right = hmac.compare_digest(kept.digest if kept else "0" * 64, _digest(parts[2]))
        if kept is None or not right:
            return None
        if kept.expires_s is not None and kept.expires_s <= self._wall():
            return None
        return kept

    def known(self, number: str) -> Token | None:
        """Return a token by its id, if it has not expired or been revoked."""
        self._look()
        kept = self._tokens.get(number)
        if kept is None or (kept.expires_s is not None and kept.expires_s <= self._wall()):
            return None
        return kept

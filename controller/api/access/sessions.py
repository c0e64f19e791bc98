"""Sessions of the page: a cookie that stands for a token, and a secret against forged requests.

Event streams and pages cannot send tokens, so a token is exchanged for a cookie once. Sessions are
kept in memory only: after a restart one logs in again.
"""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from controller.api.access.tokens import Token, TokenBook

LIFETIME_S = 12 * 3600.0
MOST = 1000


@dataclass(frozen=True, slots=True)
class Session:
    """Whose session it is (a token's id), the secret of its forms, and when it ends."""

    token: str
    csrf: str
    expires_s: float


def _key(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()


class Sessions:
    """All sessions; what a session may do is what its token may do now."""

    def __init__(self, tokens: TokenBook, wall: Callable[[], float]) -> None:
        self._tokens = tokens
        self._wall = wall
        self._held: dict[str, Session] = {}

    def begin(self, token: Token) -> tuple[str, Session]:
        """Begin a session; return the cookie's value and the session. The oldest may have to go."""
        now = self._wall()
        self._held = {key: one for key, one in self._held.items() if one.expires_s > now}
        while len(self._held) >= MOST:
            del self._held[next(iter(self._held))]
        cookie = secrets.token_urlsafe(32)
        session = Session(token.id, secrets.token_urlsafe(24), now + LIFETIME_S)
        self._held[_key(cookie)] = session
        return cookie, session

    def find(self, cookie: str) -> tuple[Session, Token] | None:
        """Return the session of a cookie, and the token that it stands for."""
        session = self._held.get(_key(cookie))
        if session is None or session.expires_s <= self._wall():
            return None
        token = self._tokens.known(session.token)
        return None if token is None else (session, token)

    def end(self, cookie: str) -> None:
        """End a session, if there is one."""
        self._held.pop(_key(cookie), None)

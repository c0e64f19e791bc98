"""The gate that every request passes: who is it, may they, how often, and is it written down."""

import hmac
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from controller.api.access.audit import Audit
from controller.api.access.limits import Limits
from controller.api.access.roles import CHANGES, PREFIX, Role, needed
from controller.api.access.sessions import Sessions
from controller.api.access.tokens import TokenBook
from controller.api.problems import problem

COOKIE = "foresteer_session"
CSRF_HEADER = "x-csrf-token"
REALM = 'Bearer realm="foresteer"'
LOOPBACK_CLIENTS = frozenset({"127.0.0.1", "::1"})

READ, CHANGE, LOGIN = "read", "change", "login"
"""Kinds of requests that have limits of their own."""


@dataclass(frozen=True, slots=True)
class Who:
    """Someone who asks: a name for the audit log, a role (None: none at all), how they showed it.

    ``csrf``: the secret of a session, which changes must show.
    """

    name: str
    role: Role | None
    by: str
    csrf: str = ""


class Gate:
    """ASGI middleware in front of the application; the Guard of hosts and origins comes before."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        tokens: TokenBook,
        sessions: Sessions,
        limits: Limits,
        audit: Audit,
        anonymous: Role | None,
        methods: Callable[[str], frozenset[str]],
    ) -> None:
        """``anonymous``: the role of who shows nothing and comes from this machine itself.

        ``methods``: those that a path has; others need no role, they are answered by 405.
        """
        self._app = app
        self._tokens = tokens
        self._sessions = sessions
        self._limits = limits
        self._audit = audit
        self._anonymous = anonymous
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or refuse it: 401, 403 or 429."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        headers = Headers(scope=scope)
        client = (scope.get("client") or ("",))[0]
        who, why = self._who(headers, client)
        refusal = self._refusal(who, why, method, path, headers, client)
        if refusal is not None:
            status, detail, more = refusal
            self._write(who, method, path, client, status, detail)
            await problem(status, detail, path, more)(scope, receive, send)
            return
        scope["foresteer.who"] = who
        if method not in CHANGES:
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, self._noting(who, method, path, client, send))

    def _who(self, headers: Headers, client: str) -> tuple[Who, str]:
        """Return who asks, and why that is nobody where something was shown in vain."""
        shown = headers.get("authorization")
        if shown is not None:
            kind, _, value = shown.partition(" ")
            token = self._tokens.find(value.strip()) if kind.lower() == "bearer" else None
            if token is None:
                return Who("", None, "token"), "The token is not known, was revoked or has expired."
            return Who(token.name, Role.named(token.role), "token"), ""
        cookie = cookie_of(headers)
        if cookie:
            found = self._sessions.find(cookie)
            if found is not None:
                session, token = found
                return Who(token.name, Role.named(token.role), "session", session.csrf), ""
        local = client in LOOPBACK_CLIENTS
        return Who("anonymous", self._anonymous if local else None, "nothing"), ""

    def _refusal(
        self, who: Who, why: str, method: str, path: str, headers: Headers, client: str
    ) -> tuple[int, str, dict[str, str]] | None:
        role = needed(method, path)
        has = self._methods(path)
        if has and method not in has:
            role = None
        login = path == f"{PREFIX}session" and method == "POST"
        kind = LOGIN if login else CHANGE if method in CHANGES else READ
        # one who guesses tokens is held up by address, whatever is guessed
        person = f"{who.by}:{who.name}" if who.role is not None and who.by != "nothing" else client
        wait_s = self._limits.wait_s(person, LOGIN if why else kind)
        if wait_s:
            return (
                429,
                f"Too many requests to {kind}; ask again in {wait_s:.2f} s.",
                {"Retry-After": str(max(1, round(wait_s + 0.5)))},
            )
        if role is None:
            return None
        if who.role is None:
            detail = why or "This needs a token: Authorization: Bearer TOKEN."
            return 401, detail, {"WWW-Authenticate": REALM}
        if who.role < role:
            if who.by == "nothing":
                detail = f"This needs a token with the role {role.word}."
                return 401, detail, {"WWW-Authenticate": REALM}
            return 403, f"This needs the role {role.word}; {who.name} is {who.role.word}.", {}
        if who.csrf and method in CHANGES and not _shows(who.csrf, headers):
            return 403, f"A change by cookie must show the session's {CSRF_HEADER}.", {}
        return None

    def _noting(self, who: Who, method: str, path: str, client: str, send: Send) -> Send:
        async def noting(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self._write(who, method, path, client, message["status"], "")
            await send(message)

        return noting

    def _write(
        self, who: Who, method: str, path: str, client: str, status: int, detail: str
    ) -> None:
        line = {
            "who": who.name,
            "role": who.role.word if who.role else None,
            "by": who.by,
            "client": client,
            "method": method,
            "path": path,
            "status": status,
        }
        self._audit.write({**line, "detail": detail} if detail else line)


def cookie_of(headers: Headers) -> str:
    """Return the session's cookie of a request, empty where there is none that makes sense."""
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    found = cookies.get(COOKIE)
    return found.value if found is not None else ""


def _shows(csrf: str, headers: Headers) -> bool:
    shown = headers.get(CSRF_HEADER, "")
    return hmac.compare_digest(csrf.encode(), shown.encode())

"""Who may ask: only pages that this server served itself, under names that are its own.

A page from elsewhere that makes a browser ask a loopback address (DNS rebinding, cross-site
requests) is refused: the Host header must be one of ours, and an Origin header the same host.
"""

from collections.abc import Collection, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from controller.api.problems import problem

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
ANY = "*"
BODY_BYTES = 1_000_000
"""Longer bodies are refused unread."""

HEADERS = {
    b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self';"
    b" img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none';"
    b" frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-cache",
}

STRICT = (b"strict-transport-security", b"max-age=31536000")


def _name(host: str) -> str | None:
    """Return the name in a Host header, lower case and without its port; None if malformed."""
    try:
        split = urlsplit(f"//{host}")
        _ = split.port
    except ValueError:
        return None
    return split.hostname if split.netloc == host and "@" not in host else None


def _short(headers: Headers) -> bool:
    """Whether a request's body is short enough to be read into memory."""
    length = headers.get("content-length", "0")
    chunked = "transfer-encoding" in headers
    return not chunked and length.isdecimal() and int(length) <= BODY_BYTES


class Guard:
    """ASGI middleware that refuses foreign hosts and origins and adds the security headers."""

    def __init__(
        self, app: ASGIApp, hosts: Collection[str] = LOOPBACK, *, secure: bool = False
    ) -> None:
        """Let in requests to these names; ``*`` lets in all. ``secure``: the page is under TLS."""
        self._app = app
        self._more = [*HEADERS.items(), *([STRICT] if secure else [])]
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self._more]
            await send(message)

        headers = Headers(scope=scope)
        host = headers.get("host", "")
        origin = headers.get("origin")
        if ANY not in self._hosts and _name(host) not in self._hosts:
            refusal = problem(400, f"This server does not answer to the name {host!r}.")
            await refusal(scope, receive, with_headers)
        elif origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            refusal = problem(403, f"Requests from {origin!r} are not answered.")
            await refusal(scope, receive, with_headers)
        elif not _short(headers):
            refusal = problem(413, f"A body says its length, of at most {BODY_BYTES} bytes.")
            await refusal(scope, receive, with_headers)
        else:
            await self._app(scope, receive, with_headers)

"""Edits that do not overwrite each other, and are not made twice.

Every answer to a GET carries an ETag. A change with If-Match is made only while the resource is
still what that ETag was of; changes go one after the other, so that nothing comes in between. A
change with an Idempotency-Key is made once: the same request with the same key gets the same
answer again.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controller.api.access.roles import CHANGES, PREFIX
from controller.api.problems import problem

KEYS_MOST = 1000
KEYS_S = 24 * 3600.0
KEY_CHARACTERS = 200
ANSWERS_MOST = 256
STEADY = frozenset(
    {
        "topology",
        "locations",
        "engines",
        "exits",
        "quality",
        "demands",
        "splits",
        "forecast",
        "circuits",
        "decisions",
        "history",
    }
)
"""First parts of paths whose answers are about the last picture and plan, and nothing else."""

UNTAGGED = (f"{PREFIX}stream",)
"""What goes on without end has no ETag."""


@dataclass(slots=True)
class Answer:
    """A whole response."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    tag: str = ""

    async def send(self, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


@dataclass(slots=True)
class _Made:
    fingerprint: bytes
    at_s: float
    answer: Answer | None = None


class Edits:
    """ASGI middleware behind the gate."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        clock: Callable[[], float],
        methods: Callable[[str], frozenset[str]],
        version: Callable[[], Hashable],
    ) -> None:
        """Pass on what is not a read or change of ours.

        ``methods``: those that a path has; others are passed on to be refused. ``version``: changes
        with every picture and plan; answers to STEADY questions are kept until it does.
        """
        self._app = app
        self._methods = methods
        self._clock = clock
        self._version = version
        self._answers: dict[tuple[str, bytes], Answer] = {}
        self._answered: Hashable = None
        self._turn = asyncio.Lock()
        self._made: OrderedDict[tuple[str, str], _Made] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, with an ETag; make a change at most once, and on what it was meant for."""
        ours = scope["type"] == "http" and scope["path"].startswith(PREFIX)
        if not ours or scope["method"] not in self._methods(scope["path"]):
            await self._app(scope, receive, send)
        elif scope["method"] in CHANGES:
            await self._change(scope, receive, send)
        elif scope["path"] in UNTAGGED:
            await self._app(scope, receive, send)
        else:
            answer = await self._read(scope, receive)
            if answer.tag:
                tag = answer.tag
                if tag in _tags(Headers(scope=scope).get("if-none-match", "")):
                    kept = [pair for pair in answer.headers if not pair[0].startswith(b"content-")]
                    answer = Answer(304, kept)
            if scope["method"] == "HEAD":
                answer = Answer(answer.status, answer.headers)
            await answer.send(send)

    async def _read(self, scope: Scope, receive: Receive) -> Answer:
        """Return the answer to a GET: the one that was given before, while nothing changed."""
        steady = scope["path"].removeprefix(PREFIX).partition("/")[0] in STEADY
        key = scope["path"], scope.get("query_string", b"")
        version = self._version() if steady else None
        if steady and version == self._answered and key in self._answers:
            return self._answers[key]
        answer = await self._ask({**scope, "method": "GET"}, receive)
        if answer.status == 200:
            answer.tag = _tag(answer.body)
            answer.headers.append((b"etag", answer.tag.encode()))
            if steady and version == self._version():
                if version != self._answered or len(self._answers) >= ANSWERS_MOST:
                    self._answers.clear()
                self._answered = version
                self._answers[key] = answer
        return answer

    async def _ask(self, scope: Scope, receive: Receive) -> Answer:
        answer, parts = Answer(), []

        async def take(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.status, answer.headers = message["status"], list(message["headers"])
            elif message["type"] == "http.response.body":
                parts.append(message.get("body", b""))

        await self._app(scope, receive, take)
        answer.body = b"".join(parts)
        return answer

    async def _change(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, path = Headers(scope=scope), scope["path"]
        body = await _body(receive)
        if body is None:
            return  # whoever asked has gone
        key = headers.get("idempotency-key")
        if key is not None and not 0 < len(key) <= KEY_CHARACTERS:
            await problem(400, f"An Idempotency-Key has 1 to {KEY_CHARACTERS} characters.", path)(
                scope, receive, send
            )
            return
        async with self._turn:
            answer = await self._made_once(scope, headers, body, key)
        # outside the turn: one who reads slowly holds up nobody
        await answer.send(send)

    async def _made_once(
        self, scope: Scope, headers: Headers, body: bytes, key: str | None
    ) -> Answer:
        """Return the answer to a change; it is made only if it was not yet, and still may be."""
        path, made = scope["path"], None
        if key is not None:
            asked = f"{scope['method']} {path}?".encode() + scope.get("query_string", b"")
            fingerprint = hashlib.sha256(asked + b"\n" + body).digest()
            made = self._known((_name(scope), key), fingerprint)
            if made.fingerprint != fingerprint:
                return _whole(
                    problem(422, "This Idempotency-Key was used for another request.", path)
                )
            if made.answer is not None:
                replayed = (b"idempotency-replayed", b"true")
                return Answer(
                    made.answer.status, [*made.answer.headers, replayed], made.answer.body
                )
        wanted = headers.get("if-match")
        if wanted is not None and not await self._still(scope, wanted):
            why = "It is not what it was when you looked (If-Match): look again."
            return _whole(problem(412, why, path))
        answer = await self._ask(scope, _given(body))
        if made is not None and answer.status < 500:
            made.answer = answer
        return answer

    def _known(self, name: tuple[str, str], fingerprint: bytes) -> _Made:
        """Return what is known under a key, a new entry where nothing is; the oldest may go."""
        now = self._clock()
        while self._made and next(iter(self._made.values())).at_s < now - KEYS_S:
            self._made.popitem(last=False)
        found = self._made.get(name)
        if found is None:
            if len(self._made) >= KEYS_MOST:
                self._made.popitem(last=False)
            found = self._made[name] = _Made(fingerprint, now)
        return found

    async def _still(self, scope: Scope, wanted: str) -> bool:
        """Whether the resource of a request is what one of the wanted ETags was of."""
        drop = (b"if-match", b"content-length", b"content-type", b"idempotency-key")
        plain = [pair for pair in scope["headers"] if pair[0] not in drop]
        asked = {**scope, "method": "GET", "headers": plain, "query_string": b""}
        answer = await self._ask(asked, _given(b""))
        if answer.status != 200:
            return False
        return "*" in _tags(wanted) or _tag(answer.body) in _tags(wanted)


def _whole(response: Response) -> Answer:
    return Answer(response.status_code, list(response.raw_headers), bytes(response.body))


def _name(scope: Scope) -> str:
    who = scope.get("foresteer.who")
    return f"{who.by}:{who.name}" if who is not None else ""


def _tag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def _tags(header: str) -> set[str]:
    return {one.strip().removeprefix("W/") for one in header.split(",")}


def _given(body: bytes) -> Receive:
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _body(receive: Receive) -> bytes | None:
    parts = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)

"""Server-sent events: every tick to every client, none of whom can hold up the brain.

One task reads the ticks while there are clients and makes each event once. A client has a short
queue; one that lets it fill up, or takes too long over one event, is dropped and may come back.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Receive, Scope, Send

from controller.api import wire
from controller.api.view import View

QUEUE = 8
CLIENTS = 1000
HEARTBEAT_S = 10.0
SEND_S = 5.0
RETRY_MS = 1000

Queue = asyncio.Queue[bytes]
LOG = logging.getLogger("foresteer.api")


def event(name: str, number: int, body: Any) -> bytes:
    """Return one event as it goes over the wire."""
    data = json.dumps(body, separators=(",", ":"), allow_nan=False)
    return f"event: {name}\nid: {number}\ndata: {data}\n\n".encode()


@dataclass(slots=True, eq=False)
class Client:
    """Someone who listens; ``late`` when the connection is to be closed."""

    queue: Queue = field(default_factory=lambda: asyncio.Queue(QUEUE))
    late: bool = False

    def end(self) -> None:
        """Have the connection closed after what it is doing now."""
        self.late = True
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(b"")


class Feed:
    """Hands every tick to all clients."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._clients: set[Client] = set()
        self._pump: asyncio.Task[None] | None = None
        self.dropped = 0

    @property
    def full(self) -> bool:
        """Whether there are as many clients as are let in."""
        return len(self._clients) >= CLIENTS

    def join(self) -> Client:
        """Add a client; the first one starts the reading of ticks."""
        client = Client()
        self._clients.add(client)
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._run())
        return client

    def leave(self, client: Client) -> None:
        """Remove a client; the last one ends the reading of ticks."""
        client.late = True
        self._clients.discard(client)
        if not self._clients and self._pump is not None:
            self._pump.cancel()
            self._pump = None

    async def _run(self) -> None:
        try:
            async for tick in self._view.subscribe():
                self.publish(event("tick", tick.number, wire.update(self._view, tick)))
        except Exception:
            LOG.exception("the stream of ticks broke; its clients are sent away to come back")
        for client in self._clients:
            client.end()

    def publish(self, message: bytes) -> None:
        """Queue an event for everyone; whoever has no room is dropped."""
        for client in list(self._clients):
            try:
                client.queue.put_nowait(message)
            except asyncio.QueueFull:
                client.end()
                self.dropped += 1
                self._clients.discard(client)


class EventStream:
    """The response to one client: an ASGI application that sends until either side ends it."""

    def __init__(
        self, feed: Feed, heartbeat_s: float = HEARTBEAT_S, send_s: float = SEND_S
    ) -> None:
        self._feed = feed
        self._heartbeat_s = heartbeat_s
        self._send_s = send_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send events until the client goes away or falls behind."""
        client = self._feed.join()
        gone = asyncio.create_task(_until_gone(receive))
        sending = asyncio.create_task(self._send_all(client, send))
        try:
            await asyncio.wait({gone, sending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._feed.leave(client)
            for task in (gone, sending):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, OSError):
                    await task

    async def _send_all(self, client: Client, send: Send) -> None:
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"x-accel-buffering", b"no"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        message = f"retry: {RETRY_MS}\n\n".encode()
        while not client.late:
            try:
                await self._timed(send({"type": "http.response.body", "body": message,
                                        "more_body": True}))  # fmt: skip
            except TimeoutError:
                return
            message = await self._next(client.queue.get)
        await self._timed(send({"type": "http.response.body", "body": b"", "more_body": False}))

    async def _timed(self, sent: Awaitable[None]) -> None:
        async with asyncio.timeout(self._send_s):
            await sent

    async def _next(self, get: Callable[[], Awaitable[bytes]]) -> bytes:
        # not wait_for, which in Python 3.11 forgets a cancellation that meets an event
        try:
            async with asyncio.timeout(self._heartbeat_s):
                return await get()
        except TimeoutError:
            return b": still here\n\n"


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

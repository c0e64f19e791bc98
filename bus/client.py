"""The NATS client: our messages over subjects, and the durable key-value store."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import nats
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js.errors import Error as JetStreamError
from nats.js.errors import KeyNotFoundError

from bus.errors import BusError, NobodyError
from bus.instance import BusAddress
from headers.messages import MessageError, decode, encode

BUCKET = "foresteer"
ARRIVAL_S = 0.1
SETTLE = 3
"""Rounds to the server after which nothing comes any more that was on its way."""


class Bus:
    """A connection to the bus that mends itself: it reconnects until it is closed."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._store: Any = None
        self._answering: set[asyncio.Task[None]] = set()
        self._subscriptions: list[Any] = []
        self.refused = 0

    @classmethod
    async def connect(cls, address: BusAddress, name: str, *, timeout_s: float = 10.0) -> "Bus":
        """Connect, trying until ``timeout_s`` has passed.

        Raises:
            BusError: nothing answers, or the credentials are refused.
        """

        async def quiet(_error: Exception) -> None:
            """Errors of the connection end in reconnecting; requests report their own."""

        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            try:
                # the client itself would try for ever
                async with asyncio.timeout_at(max(deadline, asyncio.get_running_loop().time())):
                    client = await nats.connect(
                        address.url,
                        user=address.user,
                        password=address.password,
                        name=name,
                        connect_timeout=1,
                        reconnect_time_wait=0.1,
                        max_reconnect_attempts=-1,
                        allow_reconnect=True,
                        ping_interval=2,
                        max_outstanding_pings=2,
                        error_cb=quiet,
                    )
                return cls(client)
            except (NatsError, OSError, TimeoutError) as error:
                if asyncio.get_running_loop().time() >= deadline:
                    raise BusError(f"the bus at {address.url} does not answer: {error}") from error
                await asyncio.sleep(0.05)

    @property
    def connected(self) -> bool:
        """Whether the server is there at the moment."""
        return bool(self._client.is_connected)

    async def publish(self, subject: str, body: Any) -> None:
        """Send a message to whoever listens; it is dropped while the bus is away."""
        if not self._client.is_connected:
            return
        with contextlib.suppress(NatsError):
            await self._client.publish(subject, encode(body))

    async def subscribe(
        self,
        subject: str,
        handler: Callable[[Any], Awaitable[Any]],
        *,
        queue: str = "",
        at_once: bool = False,
        refuse: Callable[[MessageError], Any] | None = None,
    ) -> None:
        """Call ``handler`` with each message; what it returns, if anything, is the reply.

        ``queue``: the group of which one member gets each message. ``at_once``: do not wait for
        one message's handler before the next is handled. ``refuse``: what to answer to bytes that
        are no message; without it there is no answer.
        """

        async def receive(raw: Any) -> None:
            try:
                body = decode(raw.data)
            except MessageError as error:
                self.refused += 1
                answer = refuse(error) if refuse else None
            else:
                answer = await handler(body)
            if answer is not None and raw.reply:
                # whoever asked may be gone, and so may the server: the asker's problem
                with contextlib.suppress(NatsError):
                    await raw.respond(encode(answer))

        async def receive_at_once(raw: Any) -> None:
            task = asyncio.create_task(receive(raw))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

        callback = receive_at_once if at_once else receive
        self._subscriptions.append(await self._client.subscribe(subject, queue, cb=callback))
        await self._client.flush()

    async def request(
        self, subject: str, body: Any, *, timeout_s: float = 2.0, arrival_s: float = ARRIVAL_S
    ) -> Any:
        """Send a message and return the answer.

        ``arrival_s``: how long to wait for somebody who subscribed a moment ago and is not known
        yet.

        Raises:
            BusError: nobody answers in time.
            MessageError: the answer is no good message.
        """
        data = encode(body)
        patience = asyncio.get_running_loop().time() + min(timeout_s, arrival_s)
        while True:
            try:
                reply = await self._client.request(subject, data, timeout=timeout_s)
            except NoRespondersError as error:
                # who subscribed a moment ago may not be known to the server yet
                if asyncio.get_running_loop().time() >= patience:
                    raise NobodyError(f"{subject}: nobody is there to answer") from error
                await asyncio.sleep(ARRIVAL_S / 5)
            except (NatsError, TimeoutError, OSError) as error:
                raise BusError(f"{subject}: no answer ({type(error).__name__})") from error
            else:
                return decode(reply.data)

    async def _bucket(self) -> Any:
        if not self._client.is_connected:
            # the client would keep the request and send it later, when nobody wants it any more
            raise BusError("the bus is away")
        if self._store is None:
            stream = self._client.jetstream(timeout=2)
            try:
                self._store = await stream.key_value(BUCKET)
            except (NatsError, JetStreamError):
                self._store = await stream.create_key_value(bucket=BUCKET, history=1)
        return self._store

    async def put(self, key: str, value: bytes) -> None:
        """Keep a value under a key, durably.

        Raises:
            BusError: the store does not answer.
        """
        try:
            await (await self._bucket()).put(key, value)
        except (NatsError, JetStreamError, TimeoutError, OSError) as error:
            self._store = None
            raise BusError(f"the store did not take {key}: {error}") from error

    async def get(self, key: str) -> bytes | None:
        """Return what was kept under a key, or None.

        Raises:
            BusError: the store does not answer.
        """
        try:
            entry = await (await self._bucket()).get(key)
        except KeyNotFoundError:
            return None
        except (NatsError, JetStreamError, TimeoutError, OSError) as error:
            self._store = None
            raise BusError(f"the store did not give {key}: {error}") from error
        value: bytes | None = entry.value
        return value

    async def drain(self) -> None:
        """Take no more messages, answer those that are here, and close the connection."""
        if self.connected:
            with contextlib.suppress(NatsError, TimeoutError, OSError):
                for subscription in self._subscriptions:
                    # the client's own drain forgets the subscription with the server's first
                    # answer, and a message that the server had in its hands then is lost
                    await self._client._send_unsubscribe(subscription._id)
                for _ in range(SETTLE):
                    await self._client.flush(timeout=2)
                    await asyncio.sleep(ARRIVAL_S / 10)
                for subscription in self._subscriptions:
                    await subscription.drain()
        while self._answering:
            await asyncio.gather(*self._answering, return_exceptions=True)
        with contextlib.suppress(NatsError, TimeoutError, OSError):
            await self._client.flush(timeout=2)
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(NatsError, TimeoutError, OSError):
            await self._client.close()

"""A replicator on a UDP socket, within an asyncio loop.

The socket is read and written directly: many datagrams per turn of the loop, and nothing is kept
when the kernel's buffer is full. What is not sent counts as lost on the way, and is recovered so.
"""

import asyncio
import contextlib
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, cast

from dataplane.shadow.replicator import Replicator
from headers.replication import MAX_DATAGRAM

BUFFER_BYTES: Final = 4 << 20
# not in Python's socket module; the same on all of Linux's architectures but PA-RISC and SPARC
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33
_READ_MOST = 64
_LEAST_WAIT_S = 0.0005


def _now_us() -> int:
    return time.monotonic_ns() // 1000


class ShadowEndpoint:
    """Carries a replicator's datagrams until it is closed.

    ``counts``: ``send_failed`` and ``receive_failed``, datagrams that the kernel did not take or
    give.
    """

    def __init__(
        self,
        replicator: Replicator,
        host: str,
        port: int,
        arrived: Callable[[], None] | None = None,
    ) -> None:
        """Bind the socket; port 0: any. ``arrived`` is called when datagrams were taken.

        Raises:
            OSError: the address is not this machine's, or is taken.
        """
        self.replicator = replicator
        self.counts: Counter[str] = Counter()
        self._arrived = arrived
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((host, port))
        for option, forced in (
            (socket.SO_RCVBUF, _SO_RCVBUFFORCE),
            (socket.SO_SNDBUF, _SO_SNDBUFFORCE),
        ):
            self._socket.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
            # beyond the system's limit, where we may
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, forced, BUFFER_BYTES)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._read)
        self._timer: asyncio.Handle | None = None
        self._due_us = 0

    @property
    def address(self) -> tuple[str, int]:
        """Return the host and port that the socket is bound to."""
        host, port = self._socket.getsockname()[:2]
        return host, port

    def changed(self) -> None:
        """Look soon whether there is something to send: call it after tables changed."""
        self._schedule(_now_us())

    def close(self) -> None:
        """Stop, and close the socket."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        for _ in range(_READ_MOST):
            try:
                datagram, address = self._socket.recvfrom(MAX_DATAGRAM + 1)
            except BlockingIOError:
                break
            except OSError:
                # an ICMP error of something that was sent: its loss is seen by itself
                self.counts["receive_failed"] += 1
                continue
            self.replicator.receive(datagram, address, _now_us())
        if self._arrived is not None:
            self._arrived()
        self._poll()

    def _poll(self) -> None:
        now = _now_us()
        for address, datagram in self.replicator.poll(now):
            try:
                self._socket.sendto(datagram, cast("tuple[str, int]", address))
            except OSError:
                self.counts["send_failed"] += 1
        due = self.replicator.due_us(now)
        if due is not None:
            self._schedule(due)

    def _schedule(self, due_us: int) -> None:
        """Have ``_poll`` called at a time, or before."""
        if self._timer is not None:
            if self._due_us <= due_us:
                return
            self._timer.cancel()
        self._due_us = due_us
        wait_s = (due_us - _now_us()) / 1e6
        self._timer = (
            self._loop.call_later(max(wait_s, _LEAST_WAIT_S), self._on_time)
            if wait_s > 0
            else self._loop.call_soon(self._on_time)
        )

    def _on_time(self) -> None:
        self._timer = None
        self._poll()

"""Talking with one switch: requests and their answers by transaction number, and its errors."""

import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any

import eventlet
from eventlet.event import Event

LOG = logging.getLogger("foresteer.southbound")
REPLY_TIMEOUT_S = 3.0
LOGGED, LOGGED_PER_S = 5, 10.0
"""A switch that floods errors has so many of them written down per period; all are counted."""

SEND_BYTES = 1 << 18
LARGEST_XID = 0xFFFFFFFF


class SwitchGoneError(Exception):
    """The switch disconnected or did not answer in time."""


class Session:
    """One connection to a switch."""

    def __init__(self, datapath: Any) -> None:
        self.datapath = datapath
        self.errors = 0
        self._waiting: dict[int, Event] = {}
        self._parts: dict[int, list[Any]] = {}
        self._watched: dict[int, Any] = {}
        self._logged = 0
        self._period_s = 0.0

    # out

    def reserve(self, count: int) -> range:
        """Take transaction numbers, one after the other."""
        if self.datapath.xid + count >= LARGEST_XID:
            self.datapath.xid = 0
        first: int = self.datapath.xid + 1
        self.datapath.xid += count
        return range(first, first + count)

    def send(self, messages: Iterable[bytes]) -> None:
        """Send packed messages, many at a time.

        Raises:
            SwitchGoneError: not connected.
        """
        pending, size = [], 0
        for message in messages:
            pending.append(message)
            size += len(message)
            if size >= SEND_BYTES:
                self._put(b"".join(pending))
                pending, size = [], 0
        if pending:
            self._put(b"".join(pending))

    def _put(self, data: bytes) -> None:
        if not self.datapath.send(data):
            raise SwitchGoneError("not connected")

    def ask(self, *messages: Any) -> list[list[Any]]:
        """Send Ryu's requests and return the parts of each one's answer.

        Raises:
            SwitchGoneError: not connected, or no answer in time.
        """
        for message in messages:
            self.datapath.set_xid(message)
        xids = [message.xid for message in messages]
        with self.expecting(*xids):
            for message in messages:
                if not self.datapath.send_msg(message):
                    raise SwitchGoneError("not connected")
            return [self.wait(xid) for xid in xids]

    def expecting(self, *xids: int) -> "_Expecting":
        """Return a context in which answers to these requests are kept for wait()."""
        return _Expecting(self._waiting, self._parts, xids)

    def wait(self, xid: int, timeout_s: float | None = None) -> list[Any]:
        """Return the parts of an answer that is expected; an error is an answer too.

        Raises:
            SwitchGoneError: nothing came for so long, or the connection ended.
        """
        event, parts = self._waiting[xid], self._parts[xid]
        while True:
            arrived = len(parts)
            with eventlet.Timeout(timeout_s or REPLY_TIMEOUT_S, False):
                event.wait()
            if event.ready():
                found: list[Any] = event.wait()
                return found
            # a long answer takes its time: only silence is none
            if len(parts) == arrived:
                raise SwitchGoneError("no answer")

    def barrier(self, timeout_s: float | None = None) -> None:
        """Wait until the switch has done all that it was sent."""
        message = self.datapath.ofproto_parser.OFPBarrierRequest(self.datapath)
        self.datapath.set_xid(message)
        with self.expecting(message.xid):
            if not self.datapath.send_msg(message):
                raise SwitchGoneError("not connected")
            self.wait(message.xid, timeout_s)

    def watch(self, xids: Sequence[int]) -> dict[int, Any]:
        """Note errors about these messages from now on: returns where, by number."""
        self._watched = dict.fromkeys(xids)
        return self._watched

    # in

    def answer(self, message: Any, *, more: bool = False) -> None:
        """Give an arrived reply to whoever waits for it."""
        parts = self._parts.get(message.xid)
        if parts is None:
            return
        parts.append(message)
        event = self._waiting[message.xid]
        if not more and not event.ready():
            event.send(parts)

    def error(self, message: Any, words: str) -> None:
        """Take an error: count it, keep it for who watches, write down the first few."""
        self.errors += 1
        # one message is refused once: what comes later of its number is a consequence
        if self._watched.get(message.xid, message) is None:
            self._watched[message.xid] = message
        self.answer(message)
        now = time.monotonic()
        if now - self._period_s > LOGGED_PER_S:
            if self._logged > LOGGED:
                LOG.error("switch %s: %d more errors", self.datapath.id, self._logged - LOGGED)
            self._period_s, self._logged = now, 0
        self._logged += 1
        if self._logged <= LOGGED:
            LOG.error("switch %s refused a message: %s", self.datapath.id, words)

    def gone(self) -> None:
        """Tell whoever waits for an answer that none will come."""
        for event in self._waiting.values():
            if not event.ready():
                event.send_exception(SwitchGoneError("disconnected"))


class _Expecting:
    def __init__(
        self, waiting: dict[int, Event], parts: dict[int, list[Any]], xids: Sequence[int]
    ) -> None:
        self._waiting, self._parts, self._xids = waiting, parts, xids

    def __enter__(self) -> None:
        for xid in self._xids:
            self._waiting[xid] = Event()
            self._parts[xid] = []

    def __exit__(self, *_: object) -> None:
        for xid in self._xids:
            self._waiting.pop(xid, None)
            self._parts.pop(xid, None)

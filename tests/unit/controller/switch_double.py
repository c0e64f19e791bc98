"""A switch in memory that speaks OpenFlow bytes, for what a real one cannot be made to do."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from controller.southbound import openflow, refusals
from controller.southbound.session import Session

HEADER = struct.Struct("!BBHI")
ERROR, ECHO, EXPERIMENTER, FLOW_MOD, GROUP_MOD = 1, 2, 4, 14, 15
MULTIPART, MULTIPART_REPLY, BARRIER, BARRIER_REPLY = 18, 19, 20, 21
FLOWS, AGGREGATE, GROUPS = 1, 2, 7
BUNDLE_ERROR = 0x4F4E4600
PART_BYTES = 30_000


def ryu() -> Any:
    """Return Ryu's description of OpenFlow 1.3."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ryu.base.app_manager  # noqa: F401  (Ryu's modules import each other in a circle)
        from ryu.ofproto import ofproto_v1_3
        from ryu.ofproto.ofproto_protocol import ProtocolDesc

    return ProtocolDesc(ofproto_v1_3.OFP_VERSION)


@dataclass
class FakeSwitch:
    """What Ryu calls a datapath, and the switch behind it.

    ``refuses``: asked of each flow-mod (cookie, table, priority), answers an error's type and code;
    ``lies``: of which it says yes and does nothing; ``bundles``: whether it has them; ``dies_at``:
    the message at which its connection ends; ``noise``: errors that it sends with every answer.
    """

    refuses: Callable[[int, int, int], tuple[int, int] | None] = lambda *_: None
    lies: Callable[[int, int, int], bool] = lambda *_: False
    bundles: bool = True
    dies_at: int = -1
    noise: int = 0
    id: int = 1
    xid: int = 0
    flows: dict[tuple[int, int, bytes], tuple[int, bytes]] = field(default_factory=dict)
    groups: dict[int, bytes] = field(default_factory=dict)
    written: int = 0
    received: int = 0

    def __post_init__(self) -> None:
        described = ryu()
        self.ofproto, self.ofproto_parser = described.ofproto, described.ofproto_parser
        self.session = Session(self)
        self._open: dict[int, list[bytes]] = {}

    # what the southbound calls

    def set_xid(self, message: Any) -> None:
        self.xid += 1
        message.set_xid(self.xid)

    def send_msg(self, message: Any) -> bool:
        message.serialize()
        return self.send(bytes(message.buf))

    def send(self, data: bytes) -> bool:
        while data:
            (_, kind, size, xid) = HEADER.unpack_from(data)
            self.received += 1
            if self.received == self.dies_at:
                self.session.gone()
                self._open.clear()
            if 0 <= self.dies_at <= self.received:
                return False
            self._take(kind, xid, data[:size])
            data = data[size:]
        return True

    # the switch

    def _take(self, kind: int, xid: int, message: bytes) -> None:
        if kind == EXPERIMENTER:
            self._bundle(xid, message)
        elif kind in (FLOW_MOD, GROUP_MOD):
            error = self._change(message, self.flows, self.groups)
            if error:
                self._error(xid, *error)
        elif kind == BARRIER:
            self._reply(BARRIER_REPLY, xid, b"")
        elif kind == MULTIPART:
            self._tell(xid, message)

    def _bundle(self, xid: int, message: bytes) -> None:
        _, kind, bundle, what = struct.unpack_from("!IIIH", message, 8)
        if not self.bundles:
            self._error(xid, 1, 3)
        elif kind == 2301:
            self._open[bundle].append(message[24:])
        elif what == 0:
            self._open[bundle] = []
            self._control(xid, bundle, 1)
        elif what == 4:
            flows, groups = dict(self.flows), dict(self.groups)
            for member in self._open.pop(bundle):
                error = self._change(member, flows, groups)
                if error:
                    self._error(HEADER.unpack_from(member)[3], *error)
                    body = struct.pack("!HHI", 0xFFFF, 2304, BUNDLE_ERROR)
                    self._reply(ERROR, xid, body)
                    return
            self.flows, self.groups = flows, groups
            self._control(xid, bundle, 5)

    def _control(self, xid: int, bundle: int, what: int) -> None:
        self._reply(EXPERIMENTER, xid, struct.pack("!IIIHH", BUNDLE_ERROR, 2300, bundle, what, 3))

    def _change(
        self, message: bytes, flows: dict[Any, Any], groups: dict[int, bytes]
    ) -> tuple[int, int] | None:
        self.written += 1
        if message[1] == GROUP_MOD:
            command, _, number = struct.unpack_from("!HBxI", message, 8)
            groups[number] = message[8:]
            if command == 2:
                del groups[number]
            return None
        cookie, mask, table, command = struct.unpack_from("!QQBB", message, 8)
        (priority,) = struct.unpack_from("!H", message, 30)
        (length,) = struct.unpack_from("!H", message, 50)
        match = message[48 : 48 + length + -length % 8]
        key = (table, priority, match)
        if command == 0:
            error = self.refuses(cookie, table, priority)
            if error:
                return error
            if not self.lies(cookie, table, priority):
                flows[key] = (cookie, message[48:])
        elif command == 4:
            flows.pop(key, None)
        else:
            for one in [k for k, (c, _) in flows.items() if c & mask == cookie & mask]:
                del flows[one]
        return None

    def _tell(self, xid: int, message: bytes) -> None:
        (what,) = struct.unpack_from("!H", message, 8)
        body = b""
        if what == GROUPS:
            for number, group in self.groups.items():
                row = struct.pack("!HBxI", len(group), 3, number) + group[8:]
                body += row
        else:
            cookie, mask = struct.unpack_from("!QQ", message, 32)
            found = [(k, v) for k, v in self.flows.items() if v[0] & mask == cookie & mask]
            if what == AGGREGATE:
                body = struct.pack("!QQI4x", 0, 0, len(found))
            for (table, priority, _), (its, rest) in found if what == FLOWS else ():
                fixed = struct.Struct("!HBxIIHHHH4xQQQ")
                size = fixed.size + len(rest)
                body += fixed.pack(size, table, 1, 0, priority, 0, 0, 0, its, 0, 0) + rest
                if len(body) > PART_BYTES:
                    self._reply(MULTIPART_REPLY, xid, struct.pack("!HH4x", what, 1) + body, True)
                    body = b""
        self._reply(MULTIPART_REPLY, xid, struct.pack("!HH4x", what, 0) + body)

    def _error(self, xid: int, kind: int, code: int) -> None:
        self._reply(ERROR, xid, struct.pack("!HH", kind, code))

    def _reply(self, kind: int, xid: int, body: bytes, more: bool = False) -> None:
        for _ in range(self.noise if kind != ERROR else 0):
            self._error(0xFFFFFFF0, 4, 1)
        data = HEADER.pack(4, kind, 8 + len(body), xid) + body
        from ryu.ofproto import ofproto_parser

        openflow.teach(self)
        message = ofproto_parser.msg(self, 4, kind, len(data), xid, data)
        if kind == ERROR:
            self.session.error(message, refusals.reason(message))
        else:
            self.session.answer(message, more=more)

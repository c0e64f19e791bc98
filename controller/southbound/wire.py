"""Flows, groups and bundles as OpenFlow 1.3 bytes, without an object per message.

Fields and actions are packed once and remembered: what differs from flow to flow is a few numbers
in a fixed frame. Ryu's own serialiser and ``ovs-ofctl ofp-print`` check it in the tests. Bundles
are ONF extension 230 (experimenter 0x4F4E4600).
"""

import functools
import ipaddress
import struct

from controller.southbound.flows import COOKIE_MASK, Action, Flow, Match
from controller.southbound.labels import Group

VERSION = 4
FLOW_MOD, GROUP_MOD, EXPERIMENTER = 14, 15, 4
ADD, DELETE, DELETE_STRICT = 0, 3, 4
GROUP_ADD, GROUP_MODIFY, GROUP_DELETE = 0, 1, 2
FAST_FAILOVER = 3
ONF = 0x4F4E4600
BUNDLE_CONTROL, BUNDLE_ADD = 2300, 2301
OPEN, OPENED, COMMIT, COMMITTED, DISCARD = 0, 1, 4, 5, 6
ATOMIC_ORDERED = 3

_ANY, _NO_BUFFER, _ALL_TABLES = 0xFFFFFFFF, 0xFFFFFFFF, 0xFF
_IN_PORT, _CONTROLLER = 0xFFFFFFF8, 0xFFFFFFFD
_NICIRA = 0x2320
_NSH = 0x005AD650
_ALL_BITS = 0xFFFFFFFFFFFFFFFF

_HEADER = struct.Struct("!BBHI")
_FLOW = struct.Struct("!BBHIQQBBHHHIIIH2x")
_FLOW_BODY = struct.Struct("!QQBBHHHIIIH2x")
_GROUP = struct.Struct("!BBHIHBxI")
_BUCKET = struct.Struct("!HHII4x")
_CONTROL = struct.Struct("!BBHIIIIHH")
_MEMBER = struct.Struct("!BBHIIII2xH")
_INSTRUCTION = struct.Struct("!HH4x")

# name: (OXM header without mask and length, bytes); in the order in which fields may stand
_BASIC, _NXM0, _NXM1, _EXPERIMENTER = 0x8000 << 16, 0, 1 << 16, 0xFFFF << 16
_FIELDS: dict[str, tuple[int, int]] = {
    "in_port": (_BASIC | 0 << 9, 4),
    "packet_type": (_BASIC | 44 << 9, 4),
    "eth_dst": (_BASIC | 3 << 9, 6),
    "eth_src": (_BASIC | 4 << 9, 6),
    "eth_type": (_BASIC | 5 << 9, 2),
    "ip_proto": (_BASIC | 10 << 9, 1),
    "ipv4_src": (_BASIC | 11 << 9, 4),
    "ipv4_dst": (_BASIC | 12 << 9, 4),
    "tcp_src": (_BASIC | 13 << 9, 2),
    "tcp_dst": (_BASIC | 14 << 9, 2),
    "udp_src": (_BASIC | 15 << 9, 2),
    "udp_dst": (_BASIC | 16 << 9, 2),
    "sctp_src": (_BASIC | 17 << 9, 2),
    "sctp_dst": (_BASIC | 18 << 9, 2),
    "arp_op": (_BASIC | 21 << 9, 2),
    "arp_spa": (_BASIC | 22 << 9, 4),
    "arp_tpa": (_BASIC | 23 << 9, 4),
    "arp_sha": (_BASIC | 24 << 9, 6),
    "arp_tha": (_BASIC | 25 << 9, 6),
    "eth_dst_nxm": (_NXM0 | 1 << 9, 6),
    "eth_src_nxm": (_NXM0 | 2 << 9, 6),
    "arp_spa_nxm": (_NXM0 | 16 << 9, 4),
    "arp_tpa_nxm": (_NXM0 | 17 << 9, 4),
    **{f"reg{n}": (_NXM1 | n << 9, 4) for n in range(16)},
    "arp_sha_nxm": (_NXM1 | 17 << 9, 6),
    "arp_tha_nxm": (_NXM1 | 18 << 9, 6),
    "xxreg2": (_NXM1 | 113 << 9, 16),
    "nsh_flags": (_EXPERIMENTER | 1 << 9, 1),
    "nsh_spi": (_EXPERIMENTER | 4 << 9, 4),
    "nsh_si": (_EXPERIMENTER | 5 << 9, 1),
    "nsh_c1": (_EXPERIMENTER | 6 << 9, 4),
    "nsh_c2": (_EXPERIMENTER | 7 << 9, 4),
    "nsh_c3": (_EXPERIMENTER | 8 << 9, 4),
    "nsh_c4": (_EXPERIMENTER | 9 << 9, 4),
    "nsh_ttl": (_EXPERIMENTER | 10 << 9, 1),
}
_RANK = {name: rank for rank, name in enumerate(_FIELDS)}


def _name(field: str, masked: bool = False) -> bytes:
    header, size = _FIELDS[field]
    extra = 4 if header >> 16 == 0xFFFF else 0
    word = header | (0x100 if masked else 0) | size * (2 if masked else 1) + extra
    return struct.pack("!II", word, _NSH) if extra else struct.pack("!I", word)


def _number(field: str, value: int | str) -> bytes:
    if isinstance(value, int):
        return value.to_bytes(_FIELDS[field][1], "big")
    if ":" in value:
        return bytes.fromhex(value.replace(":", ""))
    if "." in value:
        return ipaddress.IPv4Address(value).packed
    return int(value).to_bytes(_FIELDS[field][1], "big")


@functools.lru_cache(1 << 14)
def _field(field: str, value: int | str) -> bytes:
    if isinstance(value, str) and "/" in value:
        number, mask = value.split("/")
        return _name(field, masked=True) + _number(field, number) + _number(field, mask)
    return _name(field) + _number(field, value)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def packable(fields: Match) -> bool:
    """Whether all fields of a match are known here."""
    return all(name in _FIELDS for name, _ in fields)


def pack_match(fields: Match) -> bytes:
    """Return a match with its padding."""
    ordered = sorted(fields, key=lambda one: _RANK[one[0]])
    body = b"".join([_field(*one) for one in ordered])
    return _padded(struct.pack("!HH", 1, len(body) + 4) + body)


def _nicira(subtype: int, body: bytes) -> bytes:
    size = 10 + len(body)
    size += -size % 8
    return _padded(struct.pack("!HHIH", 0xFFFF, size, _NICIRA, subtype) + body)


@functools.lru_cache(1 << 14)
def _action(action: Action) -> bytes:
    kind, *values = action
    if kind == "output":
        return struct.pack("!HHIH6x", 0, 16, values[0], 0xFFE5)
    if kind == "in_port":
        return struct.pack("!HHIH6x", 0, 16, _IN_PORT, 0xFFE5)
    if kind == "controller":
        return struct.pack("!HHIH6x", 0, 16, _CONTROLLER, 0xFFFF)
    if kind == "group":
        return struct.pack("!HHI", 22, 8, values[0])
    if kind == "dec_ttl":
        return struct.pack("!HH4x", 24, 8)
    if kind == "set":
        packed = _field(str(values[0]), values[1])
        size = 4 + len(packed)
        return _padded(struct.pack("!HH", 25, size + -size % 8) + packed)
    if kind == "move":
        source, target, bits, *ends = values
        first, second = ends or (0, 0)
        names = _name(str(source)) + _name(str(target))
        return _nicira(6, struct.pack("!HHH", bits, first, second) + names)
    if kind == "load":
        field, first, bits, value = values
        place = struct.pack("!H", int(first) << 6 | int(bits) - 1)
        return _nicira(7, place + _name(str(field)) + struct.pack("!Q", value))
    if kind == "resubmit":
        return _nicira(14, struct.pack("!HB3x", 0xFFF8, values[0]))
    if kind == "dec_nsh_ttl":
        return _nicira(48, bytes(6))
    if kind == "decap":
        return _nicira(47, struct.pack("!2xI", 0xFFFE))
    if action == ("encap", "ethernet"):
        return _nicira(46, struct.pack("!HI", 0, 0))
    if action == ("encap", "nsh"):
        # one property: class NSH, type MD type, 8 bytes, MD type 1
        return _nicira(46, struct.pack("!HIHBBB3x", 0, 0x1894F, 4, 1, 8, 1))
    raise AssertionError(f"no such action: {kind}")


@functools.lru_cache(1 << 12)
def pack_actions(actions: tuple[Action, ...]) -> bytes:
    """Return an action list."""
    return b"".join(_action(action) for action in actions)


@functools.lru_cache(1 << 12)
def _apply(actions: tuple[Action, ...]) -> bytes:
    body = pack_actions(actions)
    return _INSTRUCTION.pack(4, len(body) + 8) + body


def flow_add(flow: Flow, xid: int) -> bytes:
    """Return the message that adds a flow, or puts it in the place of one with the same match."""
    rest = pack_match(flow.match) + _apply(flow.actions)
    return _flow(xid, flow.cookie, 0, flow.table, ADD, flow.priority, rest)


def flow_remove(flow: Flow, xid: int) -> bytes:
    """Return the message that removes exactly this flow, if it is ours."""
    rest = pack_match(flow.match)
    mask = COOKIE_MASK
    return _flow(xid, flow.cookie & mask, mask, flow.table, DELETE_STRICT, flow.priority, rest)


def cookie_remove(cookie: int, xid: int) -> bytes:
    """Return the message that removes all flows with this cookie."""
    return _flow(xid, cookie, _ALL_BITS, _ALL_TABLES, DELETE, 0, pack_match(()))


def _flow(
    xid: int, cookie: int, mask: int, table: int, command: int, priority: int, rest: bytes
) -> bytes:
    return (
        _FLOW.pack(
            VERSION, FLOW_MOD, _FLOW.size + len(rest), xid, cookie, mask, table, command,
            0, 0, priority, _NO_BUFFER, _ANY, _ANY, 0,
        )
        + rest
    )  # fmt: skip


def group_mod(group: Group, command: int, xid: int) -> bytes:
    """Return the message that adds, changes or deletes a group."""
    buckets = b""
    if command != GROUP_DELETE:
        for bucket in group.buckets:
            actions = pack_actions(bucket.actions)
            buckets += _BUCKET.pack(_BUCKET.size + len(actions), 0, bucket.watch, _ANY) + actions
    size = _GROUP.size + len(buckets)
    frame = _GROUP.pack(VERSION, GROUP_MOD, size, xid, command, FAST_FAILOVER, group.number)
    return frame + buckets


def bundle_control(bundle: int, kind: int, xid: int) -> bytes:
    """Return a message that opens, commits or discards a bundle."""
    return _CONTROL.pack(
        VERSION, EXPERIMENTER, _CONTROL.size, xid, ONF, BUNDLE_CONTROL, bundle, kind, ATOMIC_ORDERED
    )


def bundle_add(bundle: int, message: bytes) -> bytes:
    """Return a message as a member of a bundle; both carry the same transaction number."""
    (xid,) = struct.unpack_from("!I", message, 4)
    size = _MEMBER.size + len(message)
    frame = _MEMBER.pack(VERSION, EXPERIMENTER, size, xid, ONF, BUNDLE_ADD, bundle, ATOMIC_ORDERED)
    return frame + message

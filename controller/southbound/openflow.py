"""Ryu's side of flows: requests, statistics read back as flows, and a flow as Ryu's own object.

What is sent in numbers is packed by ``wire``; Ryu's serialiser is what that is held to.
"""

import base64
from typing import Any

from controller.southbound.flows import COOKIE_BASE, COOKIE_MASK, Action, Flow
from controller.southbound.labels import Bucket, Group

_KINDS = {
    "OFPActionDecNwTtl": "dec_ttl",
    "NXActionDecNshTtl": "dec_nsh_ttl",
}
_ENCAP, _DECAP = 46, 47
_NEW_TYPES = {0: "ethernet", 0x1894F: "nsh"}
_PACKET_TYPE = "field_4194348"
"""What Ryu makes of a field that OpenFlow 1.3 does not have; its value is then in base64."""


def teach(datapath: Any) -> None:
    """Have Ryu keep what an encap puts around a packet: it takes them all for Ethernet."""
    datapath.ofproto_parser.NXAction._subtypes.pop(_ENCAP, None)


def _action(parser: Any, protocol: Any, action: Action) -> Any:
    kind = action[0]
    if kind == "output":
        return parser.OFPActionOutput(action[1])
    if kind == "in_port":
        return parser.OFPActionOutput(protocol.OFPP_IN_PORT)
    if kind == "controller":
        return parser.OFPActionOutput(protocol.OFPP_CONTROLLER, protocol.OFPCML_NO_BUFFER)
    if kind == "group":
        return parser.OFPActionGroup(action[1])
    if kind == "set":
        return parser.OFPActionSetField(**{str(action[1]): action[2]})
    if kind == "move":
        names = ("src_field", "dst_field", "n_bits", "src_ofs", "dst_ofs")
        return parser.NXActionRegMove(**dict(zip(names, action[1:], strict=False)))
    if kind == "load":
        _, field, first, bits, value = action
        return parser.NXActionRegLoad(int(first) << 6 | int(bits) - 1, field, value)
    if kind == "resubmit":
        return parser.NXActionResubmitTable(table_id=action[1])
    if kind == "dec_ttl":
        return parser.OFPActionDecNwTtl()
    if kind == "dec_nsh_ttl":
        return parser.NXActionDecNshTtl()
    raise AssertionError(f"no such action: {kind}")


def _value(value: int | str) -> Any:
    if isinstance(value, str) and "/" in value and "." not in value:
        return tuple(int(part) for part in value.split("/"))
    return value


def flow_mod(datapath: Any, flow: Flow, *, remove: bool = False) -> Any:
    """Return Ryu's message that adds a flow, or strictly removes it.

    Ryu has no words for packet types and for taking packets out of their headers.
    """
    parser, protocol = datapath.ofproto_parser, datapath.ofproto
    actions = [_action(parser, protocol, action) for action in flow.actions]
    return parser.OFPFlowMod(
        datapath,
        cookie=flow.cookie & COOKIE_MASK if remove else flow.cookie,
        cookie_mask=COOKIE_MASK if remove else 0,
        table_id=flow.table,
        command=protocol.OFPFC_DELETE_STRICT if remove else protocol.OFPFC_ADD,
        priority=flow.priority,
        match=parser.OFPMatch(**{name: _value(value) for name, value in flow.match}),
        out_port=protocol.OFPP_ANY,
        out_group=protocol.OFPG_ANY,
        instructions=[]
        if remove
        else [parser.OFPInstructionActions(protocol.OFPIT_APPLY_ACTIONS, actions)],
    )


def group_mod(datapath: Any, group: Group, command: int) -> Any:
    """Return Ryu's message that adds or changes a group."""
    parser, protocol = datapath.ofproto_parser, datapath.ofproto
    buckets = [
        parser.OFPBucket(
            watch_port=bucket.watch,
            watch_group=protocol.OFPG_ANY,
            actions=[_action(parser, protocol, action) for action in bucket.actions],
        )
        for bucket in group.buckets
    ]
    return parser.OFPGroupMod(datapath, command, protocol.OFPGT_FF, group.number, buckets)


def stats_request(datapath: Any, cookie: int = COOKIE_BASE, mask: int = COOKIE_MASK) -> Any:
    """Ask for our flows, or for those of certain cookies only."""
    parser, protocol = datapath.ofproto_parser, datapath.ofproto
    return parser.OFPFlowStatsRequest(
        datapath,
        0,
        protocol.OFPTT_ALL,
        protocol.OFPP_ANY,
        protocol.OFPG_ANY,
        cookie,
        mask,
        parser.OFPMatch(),
    )


def count_request(datapath: Any, cookie: int = COOKIE_BASE, mask: int = COOKIE_MASK) -> Any:
    """Ask how many flows there are of ours, or with certain cookies (mask 0: of everybody)."""
    parser, protocol = datapath.ofproto_parser, datapath.ofproto
    return parser.OFPAggregateStatsRequest(
        datapath,
        0,
        protocol.OFPTT_ALL,
        protocol.OFPP_ANY,
        protocol.OFPG_ANY,
        cookie,
        mask,
        parser.OFPMatch(),
    )


def groups_request(datapath: Any) -> Any:
    """Ask for all groups."""
    return datapath.ofproto_parser.OFPGroupDescStatsRequest(datapath, 0)


def _read_action(protocol: Any, action: Any) -> Action:
    name = type(action).__name__
    if name == "OFPActionOutput":
        if action.port == protocol.OFPP_CONTROLLER:
            return ("controller",)
        if action.port == protocol.OFPP_IN_PORT:
            return ("in_port",)
        return ("output", action.port)
    if name == "OFPActionSetField":
        return ("set", action.key, action.value)
    if name == "OFPActionGroup":
        return ("group", action.group_id)
    if name == "NXActionRegMove":
        ends = (action.src_ofs, action.dst_ofs)
        return (
            *("move", action.src_field, action.dst_field, action.n_bits),
            *(ends if any(ends) else ()),
        )
    if name == "NXActionRegLoad":
        first, bits = action.ofs_nbits >> 6, (action.ofs_nbits & 0x3F) + 1
        return ("load", action.dst, first, bits, action.value)
    if name == "NXActionResubmitTable":
        return ("resubmit", action.table_id)
    if name == "NXActionUnknown" and action.subtype == _DECAP:
        return ("decap",)
    if name == "NXActionUnknown" and action.subtype == _ENCAP:
        kind = int.from_bytes(bytes(action.data[2:6]), "big")
        return ("encap", _NEW_TYPES.get(kind, kind))
    return (_KINDS.get(name, name),)


def _read_value(value: Any) -> int | str:
    if isinstance(value, tuple):
        return "/".join(str(part) for part in value)
    read: int | str = value
    return read


def read_flow(datapath: Any, row: Any) -> Flow:
    """Return the flow that a row of flow statistics describes."""
    protocol = datapath.ofproto
    actions: list[Action] = []
    for instruction in row.instructions:
        actions += [_read_action(protocol, a) for a in getattr(instruction, "actions", [])]
    fields = {key: _read_value(value) for key, value in row.match.items()}
    if _PACKET_TYPE in fields:
        packed = base64.b64decode(str(fields.pop(_PACKET_TYPE)))
        fields["packet_type"] = int.from_bytes(packed, "big")
    return Flow(
        row.priority,
        tuple(sorted(fields.items())),
        tuple(actions),
        row.table_id,
        row.cookie >> 24 & 0xFFFFFF,
        row.cookie & 0xFFFFFF,
    )


def read_group(datapath: Any, row: Any) -> Group:
    """Return the group that a row of group descriptions describes."""
    protocol = datapath.ofproto
    return Group(
        row.group_id,
        tuple(
            Bucket(
                bucket.watch_port,
                tuple(_read_action(protocol, action) for action in bucket.actions),
            )
            for bucket in row.buckets
            if row.type == protocol.OFPGT_FF
        ),
    )

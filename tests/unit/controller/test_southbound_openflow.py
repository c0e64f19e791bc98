"""Flows to OpenFlow and back, by Ryu's own serialiser and parser."""

import struct
from typing import Any

import pytest

from controller.southbound import openflow, wire
from controller.southbound.flows import COOKIE_BASE, COOKIE_MASK, Flow, cookie, match
from controller.southbound.labels import Group, group, groups_of, is_ours
from controller.southbound.pipeline import arp_responder, host_flows, switch_flows
from headers.messages import (
    TURN_BACK,
    EdgePort,
    Filter,
    FilterRule,
    Host,
    Label,
    Route,
    SwitchDesired,
)

MAC = "02:f0:00:00:00:01"
HOST = Host("10.1.0.7", "02:00:00:00:00:07", 1, 1)
STATE = SwitchDesired(
    1,
    (EdgePort(1, "10.1.0.0/16", "10.1.255.254"),),
    (
        Label(5, 2),
        Label(0x7FFFFF, 1, generation=0xFFFFFF),
        Label(0x800005, 1, 3, generation=7),
        Label(6, 3, 2, TURN_BACK, 8),
        Label(7, 3, 0, 4, 9),
        Label(8, 2, 1, 0, 10),
    ),
    (Route("10.2.0.0/16", 2), Route("10.3.0.4/32", 3), Route("0.0.0.0/1", 4)),
    (
        Filter(
            8,
            (
                FilterRule(9, True, "10.1.0.0/16", "10.2.0.1/32", 6, 0, 443),
                FilterRule(8, False, "", "10.2.0.0/24", 1),
                FilterRule(7, True, destination_port=53, source_port=1024),
            ),
            allow_rest=False,
            generation=11,
        ),
    ),
)
FLOWS = list(switch_flows(STATE, [HOST], MAC).values())


@pytest.fixture(scope="module")
def datapath() -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ryu.base.app_manager  # noqa: F401  (Ryu's modules import each other in a circle)
        from ryu.ofproto import ofproto_v1_3
        from ryu.ofproto.ofproto_protocol import ProtocolDesc

    made = ProtocolDesc(ofproto_v1_3.OFP_VERSION)
    openflow.teach(made)
    return made


def on_the_wire(message: Any) -> bytes:
    message.set_xid(7)
    message.serialize()
    return bytes(message.buf)


def as_statistics(datapath: Any, flow: Flow) -> Any:
    """The row that a switch reports for a flow, parsed by Ryu: what was sent, with statistics."""
    packed = wire.flow_add(flow, 7)
    (cookie,) = struct.unpack_from("!Q", packed, 8)
    (table,) = struct.unpack_from("!B", packed, 24)
    (priority,) = struct.unpack_from("!H", packed, 30)
    rest = packed[48:]  # match and instructions have the same form in both
    fixed = struct.Struct("!HBxIIHHHH4xQQQ")
    size = fixed.size + len(rest)
    row = fixed.pack(size, table, 1, 0, priority, 0, 0, 0, cookie, 3, 300) + rest
    return datapath.ofproto_parser.OFPFlowStats.parser(row, 0)


def named(flow: Flow) -> str:
    return f"{flow.table}-{flow.priority}-{flow.match}"


@pytest.mark.parametrize("flow", FLOWS, ids=named)
def test_flow_comes_back_from_the_switch_as_it_was_sent(datapath: Any, flow: Flow) -> None:
    row = as_statistics(datapath, flow)
    assert openflow.read_flow(datapath, row) == flow
    assert row.cookie == flow.cookie


def test_flow_with_other_actions_reads_as_another_flow(datapath: Any) -> None:
    deliver, _ = host_flows(HOST, MAC)
    row = as_statistics(datapath, deliver)
    changed = Flow(deliver.priority, deliver.match, (("output", 9),))
    assert openflow.read_flow(datapath, row) != changed
    assert openflow.read_flow(datapath, row).key == changed.key


def test_action_of_another_hand_is_not_taken_for_ours(datapath: Any) -> None:
    parser, protocol = datapath.ofproto_parser, datapath.ofproto
    foreign = parser.OFPInstructionActions(
        protocol.OFPIT_APPLY_ACTIONS, [parser.OFPActionGroup(3), parser.OFPActionOutput(1)]
    )
    row = parser.OFPFlowStats(
        cookie=0,
        table_id=0,
        priority=200,
        match=parser.OFPMatch(eth_type=0x894F, nsh_spi=5),
        instructions=[foreign],
    )
    flow = openflow.read_flow(datapath, row)
    assert flow.actions == (("group", 3), ("output", 1))
    assert not is_ours(3)


def test_removal_is_strict_and_carries_no_actions(datapath: Any) -> None:
    flow = arp_responder(1, "10.1.255.254", MAC)
    added, removed = wire.flow_add(flow, 7), wire.flow_remove(flow, 7)
    command_at = 8 + 16 + 1  # header, cookie and mask, table
    assert added[command_at] == datapath.ofproto.OFPFC_ADD
    assert removed[command_at] == datapath.ofproto.OFPFC_DELETE_STRICT
    assert len(removed) < len(added)
    assert removed[48:] == added[48 : len(removed)]


def test_requests_ask_for_our_cookies_only(datapath: Any) -> None:
    def cookies(message: Any) -> tuple[int, int]:
        return struct.unpack_from("!QQ", on_the_wire(message), 16 + 4 + 4 + 4 + 4)

    assert cookies(openflow.stats_request(datapath)) == (COOKIE_BASE, COOKIE_MASK)
    assert cookies(openflow.count_request(datapath)) == (COOKIE_BASE, COOKIE_MASK)
    assert cookies(openflow.count_request(datapath, 0, 0)) == (0, 0)


def test_cookie_says_whose_a_flow_is_and_keeps_its_parts_apart() -> None:
    assert cookie(0, 0) == COOKIE_BASE
    assert cookie(0x7FFFFF, 0xFFFFFF) == 0xF0E5_7FFFFF_FFFFFF
    assert cookie(5, 1 << 24 | 3) == 0xF0E5_000005_000003


@pytest.mark.parametrize("wanted", groups_of(FLOWS).values(), ids=lambda one: hex(one.number))
def test_group_comes_back_from_the_switch_as_it_was_sent(datapath: Any, wanted: Group) -> None:
    packed = wire.group_mod(wanted, wire.GROUP_ADD, 7)
    row = struct.pack("!HBxI", len(packed) - 8, packed[10], wanted.number) + packed[16:]
    read = openflow.read_group(datapath, datapath.ofproto_parser.OFPGroupDescStats.parser(row, 0))
    assert read == wanted
    assert group(wanted.number) == wanted


def test_unknown_action_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError, match="no such action: fly"):
        wire.flow_add(Flow(1, match(eth_type=0x800), (("fly",),)), 1)

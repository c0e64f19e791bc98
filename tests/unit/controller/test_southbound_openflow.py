"""Flows to OpenFlow and back, by Ryu's own serialiser and parser."""

import struct
from typing import Any

import pytest

from controller.southbound import openflow
from controller.southbound.flows import (
    COOKIE_BASE,
    COOKIE_MASK,
    Flow,
    arp_responder,
    base_flows,
    host_flows,
    match,
    switch_flows,
)
from headers.messages import EdgePort, Host, Label, Route, SwitchDesired

MAC = "02:f0:00:00:00:01"
HOST = Host("10.1.0.7", "02:00:00:00:00:07", 1, 1)
STATE = SwitchDesired(
    1,
    (EdgePort(1, "10.1.0.0/16", "10.1.255.254"),),
    (Label(5, 2), Label(0x7FFFFF, 1)),
    (Route("10.2.0.0/16", 2), Route("10.3.0.4/32", 3), Route("0.0.0.0/1", 4)),
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

    return ProtocolDesc(ofproto_v1_3.OFP_VERSION)


def on_the_wire(message: Any) -> bytes:
    message.set_xid(7)
    message.serialize()
    return bytes(message.buf)


def as_statistics(datapath: Any, flow: Flow, generation: int) -> Any:
    """The row that a switch reports for a flow, parsed by Ryu: what was sent, with statistics."""
    wire = on_the_wire(openflow.flow_mod(datapath, flow, generation))
    (cookie,) = struct.unpack_from("!Q", wire, 8)
    (priority,) = struct.unpack_from("!H", wire, 30)
    rest = wire[48:]  # match and instructions have the same form in both
    fixed = struct.Struct("!HBxIIHHHH4xQQQ")
    size = fixed.size + len(rest)
    row = fixed.pack(size, 0, 1, 0, priority, 0, 0, 0, cookie, 3, 300) + rest
    return datapath.ofproto_parser.OFPFlowStats.parser(row, 0)


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: f"{flow.priority}-{flow.match}")
def test_flow_comes_back_from_the_switch_as_it_was_sent(datapath: Any, flow: Flow) -> None:
    row = as_statistics(datapath, flow, 9)
    assert openflow.read_flow(datapath, row) == flow
    assert row.cookie == COOKIE_BASE | 9


def test_flow_with_other_actions_reads_as_another_flow(datapath: Any) -> None:
    deliver, _ = host_flows(HOST, MAC)
    row = as_statistics(datapath, deliver, 1)
    changed = Flow(deliver.priority, deliver.match, (("output", 9),))
    assert openflow.read_flow(datapath, row) != changed
    assert openflow.read_flow(datapath, row).key == changed.key


def test_action_of_another_hand_is_not_taken_for_ours(datapath: Any) -> None:
    parser, protocol = datapath.ofproto_parser, datapath.ofproto
    foreign = parser.OFPInstructionActions(
        protocol.OFPIT_APPLY_ACTIONS, [parser.OFPActionGroup(3), parser.OFPActionOutput(1)]
    )
    row = parser.OFPFlowStats(
        priority=200, match=parser.OFPMatch(eth_type=0x894F, nsh_spi=5), instructions=[foreign]
    )
    flow = openflow.read_flow(datapath, row)
    assert flow.actions == (("OFPActionGroup",), ("output", 1))


def test_removal_is_strict_and_carries_no_actions(datapath: Any) -> None:
    flow = arp_responder(1, "10.1.255.254", MAC)
    added = on_the_wire(openflow.flow_mod(datapath, flow, 1))
    removed = on_the_wire(openflow.flow_mod(datapath, flow, 1, remove=True))
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
    assert cookies(openflow.stats_request(datapath, 9)) == (
        COOKIE_BASE | 9,
        COOKIE_MASK | 0xFFFFFFFF,
    )


def test_generation_beyond_32_bits_stays_within_our_cookies(datapath: Any) -> None:
    message = openflow.flow_mod(datapath, base_flows()[0], 1 << 40 | 5)
    assert message.cookie == COOKIE_BASE | 5


def test_unknown_action_is_a_mistake_of_ours(datapath: Any) -> None:
    with pytest.raises(AssertionError, match="no such action: fly"):
        openflow.flow_mod(datapath, Flow(1, match(eth_type=0x800), (("fly",),)), 1)

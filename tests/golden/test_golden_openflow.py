"""OpenFlow bytes: ours are Ryu's where Ryu has words for it, and Open vSwitch reads the rest."""

import shutil
import subprocess
from typing import Any

import pytest

from controller.southbound import openflow, wire
from controller.southbound.flows import Flow
from controller.southbound.labels import Group, groups_of
from controller.southbound.pipeline import switch_flows
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

STATE = SwitchDesired(
    1,
    (EdgePort(1, "10.1.0.0/16", "10.1.255.254"),),
    (
        Label(5, 2),
        Label(0x800005, 1, 3, generation=7),
        Label(6, 3, 2, TURN_BACK, 8),
        Label(7, 3, 0, 4, 9),
        Label(8, 2, 1, 0, 10),
    ),
    (Route("10.2.0.0/16", 2), Route("10.3.0.4/32", 3)),
    (
        Filter(
            8,
            (
                FilterRule(9, True, "10.1.0.0/16", "10.2.0.1/32", 6, 0, 443),
                FilterRule(8, False, "", "10.2.0.0/24", 1),
            ),
            allow_rest=False,
            generation=11,
        ),
    ),
)
HOST = Host("10.1.0.7", "02:00:00:00:00:07", 1, 1)
FLOWS = list(switch_flows(STATE, [HOST], "02:f0:00:00:00:01").values())
FOREIGN_TO_RYU = {"decap", "encap"}
RYUS = [
    flow
    for flow in FLOWS
    if not FOREIGN_TO_RYU & {str(action[0]) for action in flow.actions}
    and "packet_type" not in dict(flow.match)
]


@pytest.fixture(scope="module")
def datapath() -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ryu.base.app_manager  # noqa: F401  (Ryu's modules import each other in a circle)
        from ryu.ofproto import ofproto_v1_3
        from ryu.ofproto.ofproto_protocol import ProtocolDesc

    return ProtocolDesc(ofproto_v1_3.OFP_VERSION)


def by_ryu(message: Any) -> bytes:
    message.set_xid(0x01020304)
    message.serialize()
    return bytes(message.buf)


def by_open_vswitch(message: bytes) -> str:
    if shutil.which("ovs-ofctl") is None:
        pytest.skip("Open vSwitch is not installed")
    done = subprocess.run(
        ["ovs-ofctl", "ofp-print", message.hex()], capture_output=True, text=True, check=True
    )
    assert not done.stderr, done.stderr
    return done.stdout.strip()


def named(flow: Flow) -> str:
    return f"{flow.table}-{flow.priority}-{flow.match}"


@pytest.mark.parametrize("flow", RYUS, ids=named)
def test_flow_is_the_same_bytes_as_ryus(datapath: Any, flow: Flow) -> None:
    assert wire.flow_add(flow, 0x01020304) == by_ryu(openflow.flow_mod(datapath, flow))
    removal = by_ryu(openflow.flow_mod(datapath, flow, remove=True))
    assert wire.flow_remove(flow, 0x01020304) == removal


@pytest.mark.parametrize("group", groups_of(FLOWS).values(), ids=lambda one: hex(one.number))
def test_group_is_the_same_bytes_as_ryus(datapath: Any, group: Group) -> None:
    for command in (wire.GROUP_ADD, wire.GROUP_MODIFY):
        ryus = by_ryu(openflow.group_mod(datapath, group, command))
        assert wire.group_mod(group, command, 0x01020304) == ryus


@pytest.mark.parametrize("kind", [wire.OPEN, wire.COMMIT, wire.DISCARD])
def test_bundle_control_is_the_same_bytes_as_ryus(datapath: Any, kind: int) -> None:
    ryus = datapath.ofproto_parser.ONFBundleCtrlMsg(datapath, 9, kind, wire.ATOMIC_ORDERED, [])
    assert wire.bundle_control(9, kind, 0x01020304) == by_ryu(ryus)


def test_member_of_a_bundle_is_the_same_bytes_as_ryus(datapath: Any) -> None:
    inner = openflow.flow_mod(datapath, FLOWS[0])
    inner.set_xid(0x01020304)
    ryus = by_ryu(
        datapath.ofproto_parser.ONFBundleAddMsg(datapath, 9, wire.ATOMIC_ORDERED, inner, [])
    )
    assert wire.bundle_add(9, wire.flow_add(FLOWS[0], 0x01020304)) == ryus


@pytest.mark.slow
def test_open_vswitch_reads_what_ryu_has_no_words_for() -> None:
    by_key = {(f.table, f.priority, dict(f.match).get("ip_proto")): f for f in FLOWS}
    ask = by_open_vswitch(wire.flow_add(by_key[0, 202, None], 1))
    assert "in_port=1,dl_type=0x894f,nsh_spi=0x8 cookie:0xf0e500000800000a" in ask
    assert ask.endswith("decap(),decap(),resubmit(,1)")
    allow = by_open_vswitch(wire.flow_add(by_key[1, 1009, 6], 1))
    assert (
        "table:1 priority=1009,packet_type=(1,0x800),reg3=0x8/0x7fffff,"
        "nw_src=10.1.0.0/16,nw_dst=10.2.0.1,nw_proto=6,tp_dst=443" in allow
    )
    assert "actions=encap(nsh(md_type=1)),move:NXM_NX_REG1[0..7]->NXOXM_NSH_TTL[]" in allow
    assert "encap(ethernet),move:NXM_NX_XXREG2[0..47]->NXM_OF_ETH_SRC[]" in allow
    assert by_open_vswitch(wire.flow_add(by_key[1, 1008, 1], 1)).endswith("actions=drop")


@pytest.mark.slow
def test_open_vswitch_reads_groups_bundles_and_removals_by_cookie() -> None:
    group = next(iter(groups_of(FLOWS).values()))
    read = by_open_vswitch(wire.group_mod(group, wire.GROUP_ADD, 1))
    assert "ADD group_id=4026556420,type=ff,bucket=watch_port:3,actions=output:3" in read
    assert "load:0x1->NXM_NX_REG0[23]" in read
    removal = by_open_vswitch(wire.cookie_remove(FLOWS[-1].cookie, 1))
    assert "DEL table:255" in removal
    assert "cookie:0xf0e500000800000b/0xffffffffffffffff" in removal
    assert "OPEN_REQUEST flags=atomic ordered" in by_open_vswitch(wire.bundle_control(9, 0, 1))

"""The pipeline as data: which flows a desired state means."""

from controller.southbound.flows import match, netmask
from controller.southbound.pipeline import base_flows, switch_flows
from headers.messages import EdgePort, Host, Label, Route, SwitchDesired

MAC = "02:f0:00:00:00:01"
HOST = Host("10.1.0.7", "02:00:00:00:00:07", 1, 1)
STATE = SwitchDesired(
    1,
    (EdgePort(1, "10.1.0.0/16", "10.1.255.254"),),
    (Label(5, 2), Label(6, 1)),
    (Route("10.2.0.0/16", 2), Route("10.3.0.4/32", 3)),
)


def find(**fields: int | str):  # type: ignore[no-untyped-def]
    flows = switch_flows(STATE, [HOST], MAC)
    return next(flow for flow in flows.values() if flow.match == match(**fields))


def test_every_switch_takes_discovery_and_probes_before_all_else() -> None:
    discovery, reflected, returned = base_flows()
    assert discovery.actions == returned.actions == (("controller",),)
    assert reflected.actions == (("set", "eth_dst", dict(returned.match)["eth_dst"]), ("in_port",))
    flows = switch_flows(SwitchDesired(1, (), (), ()), [], MAC)
    assert list(flows.values()) == [discovery, reflected, returned]
    assert all(f.priority <= discovery.priority for f in switch_flows(STATE, [HOST], MAC).values())


def test_circuit_is_switched_on_its_number_and_loses_a_nsh_hop() -> None:
    flow = find(eth_type=0x894F, nsh_spi=5)
    assert flow.actions == (("dec_nsh_ttl",), ("output", 2))


def test_plain_packet_is_routed_by_prefix_and_loses_an_ip_hop() -> None:
    flow = find(eth_type=0x0800, ipv4_dst="10.2.0.0/255.255.0.0")
    assert flow.actions == (("dec_ttl",), ("output", 2))
    assert find(eth_type=0x0800, ipv4_dst="10.3.0.4").actions[-1] == ("output", 3)


def test_known_host_is_delivered_with_its_address_and_found_before_its_prefix() -> None:
    flow = find(eth_type=0x0800, ipv4_dst=HOST.address)
    assert ("set", "eth_dst", HOST.mac) in flow.actions
    assert flow.actions[-1] == ("output", 1)
    local = find(eth_type=0x0800, ipv4_dst="10.1.0.0/255.255.0.0")
    assert local.actions == (("controller",),)
    assert flow.priority > local.priority


def test_what_an_engine_gives_back_goes_out_of_the_port_it_came_in_at() -> None:
    back = find(eth_type=0x0800, ipv4_dst=HOST.address, in_port=1)
    forward = find(eth_type=0x0800, ipv4_dst=HOST.address)
    assert back.actions[-1] == ("in_port",)
    assert back.priority > forward.priority


def test_gateway_is_answered_for_in_the_switch_and_the_asker_is_reported() -> None:
    flow = find(in_port=1, eth_type=0x0806, arp_op=1, arp_tpa="10.1.255.254")
    assert flow.actions[0] == ("controller",)
    assert ("set", "arp_sha", MAC) in flow.actions
    assert flow.actions[-1] == ("in_port",)


def test_flows_of_other_matches_never_share_an_identity() -> None:
    flows = switch_flows(STATE, [HOST], MAC)
    assert len(flows) == len(base_flows()) + 3 + 2 + 2 + 2
    assert all(flow.key == key for key, flow in flows.items())


def test_netmask_is_written_as_switches_report_it() -> None:
    assert netmask("10.0.0.0/8") == "10.0.0.0/255.0.0.0"
    assert netmask("10.1.2.3/32") == "10.1.2.3"

"""The pipeline as data: what a switch holds for a desired state, and nothing of OpenFlow.

Table 0, from the top: discovery frames and probes, ARP at edge ports, circuits by their number,
hosts, prefixes. What belongs to a circuit with a firewall goes on to table 1 (its rules) and 2 (its
labels). Whatever nothing matches is dropped.
"""

import functools
from collections.abc import Iterable

from controller.southbound.filters import filter_flows
from controller.southbound.flows import (
    DISCOVERY_ETHERTYPE,
    ETH_ARP,
    ETH_IPV4,
    PRIORITY_ARP,
    PRIORITY_ARP_GATEWAY,
    PRIORITY_DISCOVERY,
    PRIORITY_HOST,
    PRIORITY_HOST_BACK,
    PRIORITY_LOCAL,
    PRIORITY_ROUTE,
    PROBE_BACK,
    PROBE_ETHERTYPE,
    PROBE_OUT,
    Action,
    Flow,
    Flows,
    match,
    netmask,
    prefix_length,
)
from controller.southbound.labels import label_flows
from headers.messages import Host, Route, SwitchDesired


def arp_responder(port: int, gateway: str, router_mac: str) -> Flow:
    """Answer requests for a gateway in the switch, and tell the controller who asked."""
    return Flow(
        PRIORITY_ARP_GATEWAY,
        match(in_port=port, eth_type=ETH_ARP, arp_op=1, arp_tpa=gateway),
        (
            ("controller",),
            ("move", "eth_src_nxm", "eth_dst_nxm", 48),
            ("set", "eth_src", router_mac),
            ("set", "arp_op", 2),
            ("move", "arp_sha_nxm", "arp_tha_nxm", 48),
            ("move", "arp_spa_nxm", "arp_tpa_nxm", 32),
            ("set", "arp_sha", router_mac),
            ("set", "arp_spa", gateway),
            ("in_port",),
        ),
    )


def host_flows(host: Host, router_mac: str) -> tuple[Flow, Flow]:
    """Deliver to a host; what its own engine gives back goes out where it came in."""
    rewrite: tuple[Action, ...] = (
        ("dec_ttl",),
        ("set", "eth_src", router_mac),
        ("set", "eth_dst", host.mac),
    )
    return (
        Flow(
            PRIORITY_HOST,
            match(eth_type=ETH_IPV4, ipv4_dst=host.address),
            (*rewrite, ("output", host.port)),
        ),
        Flow(
            PRIORITY_HOST_BACK,
            match(eth_type=ETH_IPV4, ipv4_dst=host.address, in_port=host.port),
            (*rewrite, ("in_port",)),
        ),
    )


def route_flows(route: Route, router_mac: str) -> tuple[Flow, ...]:
    """Send a prefix on its way; what is handed over where it came in goes back there."""
    length = prefix_length(route.prefix)
    priority = PRIORITY_ROUTE + 2 * length
    # a switch does not report a mask that masks nothing
    where = {"ipv4_dst": netmask(route.prefix)} if length else {}
    to = functools.partial(match, eth_type=ETH_IPV4, **where)
    if not route.mac:
        return (Flow(priority, to(), (("dec_ttl",), ("output", route.port))),)
    rewrite: tuple[Action, ...] = (
        ("dec_ttl",),
        ("set", "eth_src", router_mac),
        ("set", "eth_dst", route.mac),
    )
    return (
        Flow(priority, to(), (*rewrite, ("output", route.port))),
        Flow(priority + 1, to(in_port=route.port), (*rewrite, ("in_port",))),
    )


def base_flows() -> tuple[Flow, ...]:
    """Return what every switch holds from the moment it connects."""
    probe = functools.partial(match, eth_type=PROBE_ETHERTYPE)
    return (
        Flow(PRIORITY_DISCOVERY, match(eth_type=DISCOVERY_ETHERTYPE), (("controller",),)),
        # whatever link they came by: back into it, and at its other end to us
        Flow(
            PRIORITY_DISCOVERY,
            probe(eth_dst=PROBE_OUT),
            (("set", "eth_dst", PROBE_BACK), ("in_port",)),
        ),
        Flow(PRIORITY_DISCOVERY, probe(eth_dst=PROBE_BACK), (("controller",),)),
    )


def switch_flows(desired: SwitchDesired, hosts: Iterable[Host], router_mac: str) -> Flows:
    """Return all flows of a switch by their identity, in the order of their importance."""
    flows: list[Flow] = list(base_flows())
    for edge in desired.edge_ports:
        flows += (
            arp_responder(edge.port, edge.gateway, router_mac),
            Flow(PRIORITY_ARP, match(in_port=edge.port, eth_type=ETH_ARP), (("controller",),)),
            Flow(
                PRIORITY_LOCAL,
                match(eth_type=ETH_IPV4, ipv4_dst=netmask(edge.prefix)),
                (("controller",),),
            ),
        )
    for host in hosts:
        flows += host_flows(host, router_mac)
    for route in desired.routes:
        flows += route_flows(route, router_mac)
    filtered = {one.spi for one in desired.filters}
    for label in desired.labels:
        flows += label_flows(label, filtered=label.spi & 0x7FFFFF in filtered)
    for one in desired.filters:
        flows += filter_flows(one)
    return {flow.key: flow for flow in flows}

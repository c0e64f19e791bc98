"""The pipeline as data: which flows a switch holds for a desired state, and nothing of OpenFlow.

One table. From the top: discovery frames, ARP at edge ports, circuits by their number, hosts,
prefixes. Whatever nothing matches is dropped.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from headers.messages import Host, SwitchDesired

COOKIE_BASE = 0xF0E5 << 48
COOKIE_MASK = 0xFFFF << 48

DISCOVERY_ETHERTYPE = 0x88B5
ETH_ARP, ETH_IPV4, ETH_NSH = 0x0806, 0x0800, 0x894F

Match = tuple[tuple[str, int | str], ...]
Action = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Flow:
    """One flow: its place and match are its identity, its actions are what may change.

    Actions are tuples: ``("output", port)``, ``("controller",)``, ``("in_port",)``,
    ``("set", field, value)``, ``("move", from, to, bits)``, ``("dec_ttl",)``, ``("dec_nsh_ttl",)``.
    """

    priority: int
    match: Match
    actions: tuple[Action, ...]

    @property
    def key(self) -> tuple[int, Match]:
        """What makes it the same flow to a switch."""
        return self.priority, self.match


PRIORITY_DISCOVERY = 400
PRIORITY_ARP_GATEWAY = 300
PRIORITY_ARP = 290
PRIORITY_LABEL = 200
PRIORITY_HOST_BACK = 101
PRIORITY_HOST = 100
PRIORITY_LOCAL = 90
PRIORITY_ROUTE = 80


def match(**fields: int | str) -> Match:
    """Return a match: fields sorted by name."""
    return tuple(sorted(fields.items()))


def netmask(prefix: str) -> str:
    """Return ``address/mask`` as switches report it; a host's address stands alone."""
    import ipaddress

    network = ipaddress.IPv4Network(prefix)
    if network.prefixlen == 32:
        return str(network.network_address)
    return f"{network.network_address}/{network.netmask}"


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


def base_flows() -> tuple[Flow, ...]:
    """Return what every switch holds from the moment it connects."""
    return (Flow(PRIORITY_DISCOVERY, match(eth_type=DISCOVERY_ETHERTYPE), (("controller",),)),)


def switch_flows(
    desired: SwitchDesired, hosts: Iterable[Host], router_mac: str
) -> dict[tuple[int, Match], Flow]:
    """Return all flows of a switch by their identity."""
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
    flows += (
        Flow(
            PRIORITY_LABEL,
            match(eth_type=ETH_NSH, nsh_spi=label.spi),
            (("dec_nsh_ttl",), ("output", label.port)),
        )
        for label in desired.labels
    )
    flows += (
        Flow(
            PRIORITY_ROUTE,
            match(eth_type=ETH_IPV4, ipv4_dst=netmask(route.prefix)),
            (("dec_ttl",), ("output", route.port)),
        )
        for route in desired.routes
    )
    return {flow.key: flow for flow in flows}

"""The pipeline as data: what a switch holds for a desired state, and nothing of OpenFlow.

Table 0, from the top: discovery frames and probes, ARP at edge ports, circuits by their number,
hosts, prefixes. What belongs to a circuit with a firewall goes on to table 1 (its rules) and 2 (its
labels). Whatever nothing matches is dropped.
"""

import functools
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from headers.messages import Host, SwitchDesired

COOKIE_BASE = 0xF0E5 << 48
COOKIE_MASK = 0xFFFF << 48
CIRCUIT_MASK = 0xFFFFFF << 24
GENERATION_MASK = 0xFFFFFF

DISCOVERY_ETHERTYPE, PROBE_ETHERTYPE = 0x88B5, 0x88B6
PROBE_OUT, PROBE_BACK = "02:f0:ff:00:00:01", "02:f0:ff:00:00:02"
ETH_ARP, ETH_IPV4, ETH_NSH = 0x0806, 0x0800, 0x894F

Match = tuple[tuple[str, int | str], ...]
Action = tuple[str | int, ...]
Key = tuple[int, int, Match]

TABLE_MAIN, TABLE_RULES, TABLE_LABELS = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Flow:
    """One flow: its place and match are its identity, the rest is what may change.

    Actions are tuples: ``("output", port)``, ``("controller",)``, ``("in_port",)``,
    ``("group", number)``, ``("set", field, value)``, ``("move", from, to, bits)`` or with the first
    bit of each end behind, ``("load", field, first bit, bits, value)``, ``("dec_ttl",)``,
    ``("dec_nsh_ttl",)``, ``("decap",)``, ``("encap", "nsh" or "ethernet")``,
    ``("resubmit", table)``. A masked number in a match is written ``"number/mask"``.
    ``circuit`` and its ``generation`` go into the cookie; 0 for what belongs to none.
    """

    priority: int
    match: Match
    actions: tuple[Action, ...]
    table: int = TABLE_MAIN
    circuit: int = 0
    generation: int = 0

    @property
    def key(self) -> Key:
        """What makes it the same flow to a switch."""
        return self.table, self.priority, self.match

    @property
    def cookie(self) -> int:
        """Our mark, whose it is, and how new."""
        return cookie(self.circuit, self.generation)

    @property
    def group(self) -> int | None:
        """The group that it sends packets to."""
        last = self.actions[-1] if self.actions else ("",)
        return int(last[1]) if last[0] == "group" else None


Flows = dict[Key, Flow]

PRIORITY_DISCOVERY = 400
PRIORITY_ARP_GATEWAY = 300
PRIORITY_ARP = 290
PRIORITY_LABEL_ECHO = 203
PRIORITY_LABEL_FILTERED = 202
PRIORITY_LABEL_PORT = 201
PRIORITY_LABEL = 200
PRIORITY_HOST_BACK = 101
PRIORITY_HOST = 100
PRIORITY_LOCAL = 90
PRIORITY_ROUTE = 80


def cookie(circuit: int, generation: int) -> int:
    """Return the cookie of a circuit's flows: 16 bits of ours, 24 and 24 of its numbers."""
    return COOKIE_BASE | (circuit & 0xFFFFFF) << 24 | generation & GENERATION_MASK


def match(**fields: int | str) -> Match:
    """Return a match: fields sorted by name."""
    return tuple(sorted(fields.items()))


@functools.lru_cache(1 << 14)
def netmask(prefix: str) -> str:
    """Return ``address/mask`` as switches report it; a host's address stands alone."""
    network = ipaddress.IPv4Network(prefix, strict=False)
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
    from controller.southbound.filters import filter_flows
    from controller.southbound.labels import label_flows

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
            PRIORITY_ROUTE,
            match(eth_type=ETH_IPV4, ipv4_dst=netmask(route.prefix)),
            (("dec_ttl",), ("output", route.port)),
        )
        for route in desired.routes
    )
    filtered = {one.spi for one in desired.filters}
    for label in desired.labels:
        flows += label_flows(label, filtered=label.spi & 0x7FFFFF in filtered)
    for one in desired.filters:
        flows += filter_flows(one)
    return {flow.key: flow for flow in flows}


def of_circuits(flows: Mapping[Key, Flow]) -> dict[int, list[Flow]]:
    """Return flows by the circuit that they belong to."""
    found: dict[int, list[Flow]] = {}
    for flow in flows.values():
        found.setdefault(flow.circuit, []).append(flow)
    return found

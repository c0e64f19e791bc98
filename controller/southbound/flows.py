"""What a flow is, and the pipeline's tables and priorities; nothing of OpenFlow."""

import functools
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

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
PRIORITY_ROUTE = 10
"""Of the shortest prefix; each bit more adds 2."""


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


@functools.lru_cache(1 << 14)
def prefix_length(prefix: str) -> int:
    """Return how many bits of a prefix count, 0 to 32."""
    return ipaddress.IPv4Network(prefix, strict=False).prefixlen


def of_circuits(flows: Mapping[Key, Flow]) -> dict[int, list[Flow]]:
    """Return flows by the circuit that they belong to."""
    found: dict[int, list[Flow]] = {}
    for flow in flows.values():
        found.setdefault(flow.circuit, []).append(flow)
    return found

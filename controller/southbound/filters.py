"""A circuit's firewall as flows of table 1: what its rules let through goes on to its label."""

from collections.abc import Iterator

from controller.southbound.flows import (
    ETH_IPV4,
    TABLE_LABELS,
    TABLE_RULES,
    Action,
    Flow,
    match,
    netmask,
)
from controller.southbound.labels import CIRCUIT, RESTORE
from headers.messages import Filter, FilterRule

ETH_IPV6 = 0x86DD
NAMESPACE_ETHERTYPE = 1 << 16
TCP, UDP, SCTP = 6, 17, 132
_PORTS = {TCP: "tcp", UDP: "udp", SCTP: "sctp"}

RULES = 1000
"""Rules have the priorities RULES and up, the rest of a circuit 1."""

ALLOW: tuple[Action, ...] = (*RESTORE, ("resubmit", TABLE_LABELS))


def _fields(spi: int) -> dict[str, int | str]:
    # with and without the protection bit: a packet that was sent around obeys the same rules
    return {"reg3": f"{spi & CIRCUIT}/{CIRCUIT}"}


def _protocols(rule: FilterRule) -> Iterator[dict[str, int | str]]:
    if not (rule.source_port or rule.destination_port):
        yield {"ip_proto": rule.protocol} if rule.protocol else {}
        return
    for number, name in _PORTS.items():
        if rule.protocol in (0, number):
            fields: dict[str, int | str] = {"ip_proto": number}
            if rule.source_port:
                fields[f"{name}_src"] = rule.source_port
            if rule.destination_port:
                fields[f"{name}_dst"] = rule.destination_port
            yield fields


def _prefix(name: str, prefix: str) -> dict[str, int | str]:
    return {} if not prefix or prefix.endswith("/0") else {name: netmask(prefix)}


def filter_flows(wanted: Filter) -> tuple[Flow, ...]:
    """Return the flows of a circuit's rules; of two with one priority the first stands.

    Rules speak of IPv4. A rule with ports is asked of TCP, UDP and SCTP where it names no protocol.
    """
    flows: dict[object, Flow] = {}
    mark = {"circuit": wanted.spi & CIRCUIT, "generation": wanted.generation}
    for rule in wanted.rules:
        for protocol in _protocols(rule):
            flow = Flow(
                RULES + rule.priority,
                match(
                    packet_type=NAMESPACE_ETHERTYPE | ETH_IPV4,
                    **_fields(wanted.spi),
                    **_prefix("ipv4_src", rule.source),
                    **_prefix("ipv4_dst", rule.destination),
                    **protocol,
                ),
                ALLOW if rule.allow else (),
                TABLE_RULES,
                **mark,
            )
            flows.setdefault(flow.key, flow)
    for kind in (ETH_IPV4, ETH_IPV6):
        rest = Flow(
            1,
            match(packet_type=NAMESPACE_ETHERTYPE | kind, **_fields(wanted.spi)),
            ALLOW if wanted.allow_rest else (),
            TABLE_RULES,
            **mark,
        )
        flows[rest.key] = rest
    return tuple(flows.values())

"""A circuit's firewall on switches: at both of its ends."""

from collections.abc import Iterable, Mapping

from controller.state import Circuit, CircuitFilter
from headers.messages import Filter, FilterRule

FORWARD = ("forward", "both")


def filter_message(wanted: CircuitFilter) -> Filter:
    """Return what a switch at the circuit's end is told: the rules for this direction."""
    return Filter(
        wanted.spi,
        tuple(
            FilterRule(
                rule.priority,
                rule.allow,
                rule.source,
                rule.destination,
                rule.protocol,
                rule.source_port,
                rule.destination_port,
            )
            for rule in wanted.rules
            if rule.direction in FORWARD
        ),
        wanted.allow_rest,
        wanted.generation,
    )


def switch_filters(
    circuits: Iterable[Circuit], filters: Iterable[CircuitFilter], dpids: Mapping[str, int]
) -> dict[int, tuple[Filter, ...]]:
    """Return the filters of each switch; ``dpids``: by location."""
    by_spi = {one.spi: one for one in filters}
    found: dict[int, tuple[Filter, ...]] = {}
    for circuit in circuits:
        if circuit.spi in by_spi:
            message = filter_message(by_spi[circuit.spi])
            for place in dict.fromkeys((circuit.src, circuit.dst)):
                dpid = dpids[place]
                found[dpid] = (*found.get(dpid, ()), message)
    return found

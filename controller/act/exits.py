"""What a plan's exits mean for engines and switches: further prefixes, and routes to gateways."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from controller.act.labels import Ports
from controller.state import Plan
from headers.files.network import Network
from headers.messages import Host, Route
from headers.prefixes import network_of, within

MOST_PREFIXES = 8192
"""Entries for prefixes outside on one machine's engines, half of what their tables hold."""


@dataclass(frozen=True, slots=True)
class ExitStates:
    """By location: which prefixes go the way of another location, and what is handed over here.

    ``steered``: by source and exit; ``routed``: prefixes and the location that unmarked traffic
    goes to; ``gateways``: by location, prefixes and the router that takes them. ``errors``: what
    cannot be had, and why.
    """

    steered: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    routed: tuple[tuple[str, str], ...] = ()
    gateways: Mapping[str, Mapping[str, Host]] = field(default_factory=dict)
    errors: tuple[str, ...] = ()

    def prefixes(self, source: str, location: str) -> tuple[str, ...]:
        """Return the prefixes that a source's engine leads to a location besides its own."""
        return self.steered.get((source, location), ())

    def routes(self, location: str, plan: Plan, ports: Ports) -> tuple[Route, ...]:
        """Return a switch's routes to prefixes outside: to its own gateway, else to the exit's."""
        own = self.gateways.get(location, {})
        found = []
        for prefix, exit_ in self.routed:
            if prefix in own:
                found.append(Route(prefix, own[prefix].port, own[prefix].mac))
                continue
            link = plan.routes.get(location, {}).get(exit_)
            if link is not None and link in ports.out:
                found.append(Route(prefix, ports.out[link][1]))
        return tuple(found)


def exit_states(
    network: Network, plan: Plan, hosts: Mapping[str, Host], virtual: Iterable[str]
) -> ExitStates:
    """Return what engines and switches must hold for a plan's exits.

    ``hosts``: by address, for a gateway's port and MAC address; ``virtual``: the services'
    addresses. Prefixes within our own are nobody else's to announce. IPv6 is steered by engines,
    switches route IPv4 only.
    """
    if not plan.exits:
        return ExitStates()
    dpids = {location.name: location.dpid for location in network.locations}
    ours = [network_of(location.prefix) for location in network.locations]
    ours += [network_of(address) for address in virtual]
    most = MOST_PREFIXES // max(len(network.locations), 1)
    steered: dict[tuple[str, str], list[str]] = defaultdict(list)
    gateways: dict[str, dict[str, Host]] = defaultdict(dict)
    routed: list[tuple[str, str]] = []
    errors: list[str] = []
    left = 0
    for one in plan.exits:
        routers = {}
        for location, address in one.gateways.items():
            router = hosts.get(address)
            if router is None or router.dpid != dpids.get(location):
                errors.append(f"{one.prefixes[0]}: no host {address} was seen at {location}")
            else:
                routers[location] = router
        for at, prefix in enumerate(one.prefixes):
            if len(routed) == most:
                left += len(one.prefixes) - at
                break
            if any(within(network_of(prefix), own) for own in ours):
                errors.append(f"{prefix} is ours, and not taken from a neighbour")
                continue
            routed.append((prefix, one.location))
            for location, router in routers.items():
                gateways[location][prefix] = router
            for source, exit_ in one.sources.items():
                if source != exit_ and exit_ in routers:
                    steered[source, exit_].append(prefix)
    if left:
        errors.append(f"{left} prefixes outside are left out: {most} have room")
    return ExitStates(
        {pair: tuple(prefixes) for pair, prefixes in steered.items()},
        tuple(one for one in routed if network_of(one[0]).version == 4),
        dict(gateways),
        tuple(errors),
    )

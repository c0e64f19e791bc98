"""Which services a policy is about."""

from functools import lru_cache
from ipaddress import ip_address, ip_network

from controller.layers import Match
from controller.state import Service


def matches(match: Match, service: Service) -> bool:
    """Whether all that a match asks for fits a service."""
    return (
        (not match.services or service.name in match.services)
        and (not match.prefixes or _inside(service.address, match.prefixes))
        and (match.protocol is None or service.protocol == match.protocol)
        and (not match.ports or any(a <= service.port <= b for a, b in match.ports))
        and (match.dscp is None or service.dscp == match.dscp)
        and all(service.labels.get(key) == value for key, value in match.labels.items())
    )


@lru_cache(maxsize=4096)
def _inside(address: str, prefixes: tuple[str, ...]) -> bool:
    found = ip_address(address)
    return any(found in ip_network(prefix) for prefix in prefixes)

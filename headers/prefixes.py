"""Prefixes of addresses, IPv4 and IPv6 alike."""

import functools
import ipaddress
from collections.abc import Iterable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def within(inner: Network, outer: Network) -> bool:
    """Return whether a prefix lies in another one, or is the same; never of another version."""
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(inner, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return inner.subnet_of(outer)
    return False


@functools.lru_cache(1 << 16)
def network_of(prefix: str) -> Network:
    """Return a prefix as a network; reading one takes microseconds, and the same come every tick.

    Raises:
        ValueError: it is none, or has bits behind its length.
    """
    return ipaddress.ip_network(prefix)


@functools.lru_cache(64)
def joined(prefixes: tuple[str, ...]) -> tuple[str, ...]:
    """Return prefixes, adjacent ones joined, IPv4 before IPv6 and each in order."""
    networks = [network_of(prefix) for prefix in prefixes]
    four = [one for one in networks if isinstance(one, ipaddress.IPv4Network)]
    six = [one for one in networks if isinstance(one, ipaddress.IPv6Network)]
    found: list[Iterable[Network]] = [
        ipaddress.collapse_addresses(four),
        ipaddress.collapse_addresses(six),
    ]
    return tuple(str(one) for family in found for one in family)

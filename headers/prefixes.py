"""Prefixes of addresses, IPv4 and IPv6 alike."""

import ipaddress

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def within(inner: Network, outer: Network) -> bool:
    """Return whether a prefix lies in another one, or is the same; never of another version."""
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(inner, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return inner.subnet_of(outer)
    return False

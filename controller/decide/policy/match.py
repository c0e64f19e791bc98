"""Which services a policy is about."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Generic, TypeVar

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


T = TypeVar("T")


class Matcher(Generic[T]):
    """Finds what is about a service among many, by name or port where a match gives these."""

    def __init__(self, items: Iterable[T], match_of: Callable[[T], Match]) -> None:
        self._match_of = match_of
        self._by_name: dict[str, list[tuple[int, T]]] = {}
        self._by_port: dict[int, list[tuple[int, T]]] = {}
        self._others: list[tuple[int, T]] = []
        for at, item in enumerate(items):
            match = match_of(item)
            if match.services:
                for name in set(match.services):
                    self._by_name.setdefault(name, []).append((at, item))
            elif match.ports and all(first == last for first, last in match.ports):
                for port in {first for first, _ in match.ports}:
                    self._by_port.setdefault(port, []).append((at, item))
            else:
                self._others.append((at, item))

    def about(self, service: Service) -> list[T]:
        """Return what matches a service, in the order given."""
        near = (
            self._by_name.get(service.name, ()),
            self._by_port.get(service.port, ()),
            self._others,
        )
        found = [
            (at, item)
            for some in near
            for at, item in some
            if matches(self._match_of(item), service)
        ]
        return [item for _, item in sorted(found, key=lambda pair: pair[0])]

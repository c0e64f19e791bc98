"""From shares to answers and back.

A plain name server gives every address of a set out equally often (it rotates them), so there the
shares are which addresses are in the set. One that knows weights (PowerDNS) gets the weights.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping

from controller.act.remap import Shares, normal

Addresses = Mapping[str, tuple[str, ...]]
"""By location: where its clients connect to."""

Record = tuple[str, str]
"""A record's type and its text, such as ("A", "192.0.2.1")."""

WHOLE = 1000
"""What the weights of one weighted answer add up to, but for rounding."""

_WEIGHT = re.compile(r"\{\s*(\d+)\s*,\s*'([0-9A-Fa-f.:]+)'\s*\}")


def kind_of(address: str) -> str:
    """Return the record type of an address."""
    return "AAAA" if ipaddress.ip_address(address).version == 6 else "A"


def counts_of(shares: Shares, most: Mapping[str, int], slots: int) -> dict[str, int]:
    """Return how many addresses of each location come nearest to the shares.

    By largest remainders, for every size of set up to ``slots``; of equally near ones the
    smallest. ``most``: how many a location has. At least one address is always left.
    """
    wanted = normal({name: share for name, share in shares.items() if most.get(name)})
    if not wanted:
        return {}
    sizes = range(1, min(slots, sum(most[name] for name in wanted)) + 1)
    sets = [_remainders(wanted, most, size) for size in sizes]

    def off(counts: Mapping[str, int]) -> float:
        total = sum(counts.values())
        return round(max(abs(counts[name] / total - share) for name, share in wanted.items()), 9)

    return {name: count for name, count in min(sets, key=off).items() if count}


def _remainders(wanted: Shares, most: Mapping[str, int], size: int) -> dict[str, int]:
    exact = {name: share * size for name, share in wanted.items()}
    counts = {name: min(int(part + 1e-9), most[name]) for name, part in exact.items()}
    order = sorted(exact, key=lambda name: (counts[name] - exact[name], name))
    while sum(counts.values()) < size:
        free = [name for name in order if counts[name] < most[name]]
        nearest = min(free, key=lambda name: (counts[name] - exact[name], name))
        counts[nearest] += 1
    return counts


def plain_records(shares: Shares, addresses: Addresses, slots: int) -> frozenset[Record]:
    """Return the addresses that realise the shares, of each family for itself.

    ``slots``: addresses per set at most.
    """
    records: set[Record] = set()
    for kind in ("A", "AAAA"):
        own = _of_kind(addresses, kind)
        counts = counts_of(shares, {name: len(those) for name, those in own.items()}, slots)
        records.update((kind, one) for name, count in counts.items() for one in own[name][:count])
    return frozenset(records)


def plain_shares(records: Iterable[Record], addresses: Addresses) -> Shares:
    """Return the shares that a set of addresses stands for; addresses of nobody are left out.

    Of both families where there are both, they are the mean.
    """
    found: dict[str, list[tuple[int, str]]] = {"A": [], "AAAA": []}
    for kind, text in records:
        if kind in found:
            found[kind].append((1, text))
    return _mean(found, addresses)


def weighted_records(shares: Shares, addresses: Addresses, how: str) -> frozenset[Record]:
    """Return PowerDNS' LUA records that give each location its share; ``how``: its function."""
    records: set[Record] = set()
    for kind in ("A", "AAAA"):
        own = _of_kind(addresses, kind)
        wanted = normal({name: share for name, share in shares.items() if own.get(name)})
        weights = [
            (max(1, round(WHOLE * share / len(own[name]))), address)
            for name, share in wanted.items()
            for address in own[name]
        ]
        if weights:
            listed = ", ".join(f"{{{weight}, '{address}'}}" for weight, address in weights)
            records.add(("LUA", f'{kind} "{how}({{{listed}}})"'))
    return frozenset(records)


def weighted_shares(records: Iterable[Record], addresses: Addresses) -> Shares:
    """Return the shares that LUA records stand for; what cannot be read stands for none."""
    found: dict[str, list[tuple[int, str]]] = {}
    for kind, text in records:
        if kind == "LUA":
            family = text.partition(" ")[0]
            found[family] = [(int(weight), one) for weight, one in _WEIGHT.findall(text)]
    return _mean(found, addresses)


def _of_kind(addresses: Addresses, kind: str) -> dict[str, tuple[str, ...]]:
    return {
        name: tuple(one for one in those if kind_of(one) == kind)
        for name, those in addresses.items()
    }


def _mean(found: Mapping[str, list[tuple[int, str]]], addresses: Addresses) -> Shares:
    owner = {one: name for name, those in addresses.items() for one in those}
    sums: dict[str, float] = {}
    for weights in found.values():
        known = [(weight, owner[one]) for weight, one in weights if one in owner]
        total = sum(weight for weight, _ in known)
        for weight, name in known:
            sums[name] = sums.get(name, 0.0) + weight / total
    return normal(sums)

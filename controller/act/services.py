"""What a plan's services mean for engines: tables of backends, and the circuits that lead there.

A backend is an instance as one engine sees it, since every engine has circuits of its own. Its
number never changes while the instance is known: connections are held by it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from controller.state import Instance, Plan, Service, ServiceSplit
from headers.files.network import Network
from headers.messages import Backend, Host, InstanceHere
from headers.messages import Service as ServiceTable

MOST_BACKENDS = 4096
"""Numbers that an engine has for backends; 0 is none."""


@dataclass(frozen=True, slots=True)
class ServiceStates:
    """Tables and instances by engine number, and the backends of all engines.

    ``errors``: services and instances that cannot be had, and why.
    """

    tables: Mapping[int, tuple[ServiceTable, ...]]
    instances: Mapping[int, tuple[InstanceHere, ...]]
    backends: tuple[Backend, ...]
    errors: tuple[str, ...] = ()


def service_states(
    network: Network, plan: Plan, services: Iterable[Service], hosts: Mapping[str, Host]
) -> ServiceStates:
    """Return what engines must hold for a plan's services.

    ``hosts``: by address, for where an instance is and its MAC address. An instance that is no
    longer chosen stays a backend for as long as it is declared: connections that it has go on.
    """
    places = {location.name: location for location in network.locations}
    order = {location.name: at for at, location in enumerate(network.locations)}
    known = {service.name: service for service in services}
    errors: list[str] = []
    here: dict[int, dict[int, InstanceHere]] = defaultdict(dict)
    usable: dict[str, Instance] = {}
    for service in known.values():
        for one in service.instances:
            why = _unusable(one, places.keys(), hosts, len(order))
            if why:
                errors.append(f"service {service.name}: instance {one.name}: {why}")
                continue
            usable[one.address] = one
            here[places[one.location].engine.number][one.number] = InstanceHere(
                one.number, hosts[one.address].mac
            )
    splits = {(split.src, split.dst): (split.buckets, split.backups) for split in plan.splits}
    backends = []
    for one in sorted(usable.values(), key=lambda one: one.number):
        end = places[one.location].engine.number
        for source, at in order.items():
            way = splits.get((source, one.location))
            if source == one.location:
                backends.append(Backend(one.number * len(order) + at, end, one.number))
            elif way is not None:
                backends.append(Backend(one.number * len(order) + at, end, one.number, *way))
    held = {backend.number for backend in backends}
    tables: dict[int, list[ServiceTable]] = defaultdict(list)
    for split in plan.services:
        wanted = known.get(split.service)
        if wanted is None or split.src not in places:
            continue
        numbers = [
            usable[one.address].number * len(order) + order[split.src] if one else 0
            for one in _chosen(split, wanted, usable)
        ]
        buckets = tuple(numbers[place] if numbers[place] in held else 0 for place in split.buckets)
        if not any(buckets):
            continue
        tables[places[split.src].engine.number].append(
            ServiceTable(
                wanted.address, wanted.protocol, wanted.port, buckets, _second(buckets, numbers)
            )
        )
    return ServiceStates(
        {number: tuple(found) for number, found in tables.items()},
        {number: tuple(found.values()) for number, found in here.items()},
        tuple(backends),
        tuple(errors),
    )


def _unusable(
    one: Instance, places: Iterable[str], hosts: Mapping[str, Host], locations: int
) -> str:
    if one.location not in places:
        return f"there is no location {one.location!r}"
    if one.address not in hosts:
        return f"no host {one.address} was seen"
    if one.number < 1 or (one.number + 1) * locations > MOST_BACKENDS:
        return f"number {one.number} of {MOST_BACKENDS // locations - 1}"
    return ""


def _chosen(
    split: ServiceSplit, service: Service, usable: Mapping[str, Instance]
) -> list[Instance | None]:
    """Return the instances that a split speaks of, None for those that cannot be had."""
    by_name = {one.name: one for one in service.instances if one.address in usable}
    return [by_name.get(name) for name in split.instances]


def _second(buckets: tuple[int, ...], numbers: list[int]) -> tuple[int, ...]:
    """Return each bucket's second choice: another backend that is chosen too, in turn."""
    there = sorted({number for number in numbers if number})
    if len(there) < 2:
        return ()
    turn = dict.fromkeys(there, 0)
    second = []
    for first in buckets:
        others = [number for number in there if number != first]
        at = turn.get(first, 0)
        turn[first] = at + 1
        second.append(others[at % len(others)])
    return tuple(second)

"""What a Plan means for every switch and every engine: pure functions to messages."""

from collections import defaultdict
from collections.abc import Iterable

from controller.act.exits import ExitStates
from controller.act.filters import switch_filters
from controller.act.labels import Ports, circuit_labels
from controller.act.services import ServiceStates
from controller.state import BUCKETS, UNSTEERED, Circuit, CircuitFilter, Plan
from headers.files.network import Network
from headers.messages import (
    EdgeCircuit,
    EdgePort,
    EngineDemand,
    EngineDesired,
    Hop,
    Host,
    Label,
    Neighbour,
    Probe,
    Route,
    SwitchDesired,
)
from headers.packet.steering import VERSION

ROUTER_MAC = "02:f0:00:00:00:01"
"""The address that hosts know their gateway by; the same everywhere."""

NO_SERVICES = ServiceStates({}, {}, ())
NO_EXITS = ExitStates()
LAST_HOP = 1
OBSERVERS = 2
"""How many engines watch each engine."""


def held_circuits(
    plan: Plan, previous: Plan | None, in_use: Iterable[Circuit] = ()
) -> tuple[Circuit, ...]:
    """Return the plan's circuits, those of the plan before it, and what else is ``in_use``.

    What the new plan no longer uses stays for one more plan: packets are still on the way there.
    """
    circuits = {circuit.spi: circuit for circuit in in_use}
    circuits.update({circuit.spi: circuit for circuit in (previous.circuits if previous else ())})
    circuits.update({circuit.spi: circuit for circuit in plan.circuits})
    return tuple(circuits[spi] for spi in sorted(circuits))


def switch_states(
    network: Network,
    plan: Plan,
    circuits: Iterable[Circuit],
    ports: Ports,
    filters: Iterable[CircuitFilter] = (),
    exits: ExitStates = NO_EXITS,
) -> tuple[SwitchDesired, ...]:
    """Return every switch's state: circuits as labels and filters, plain routes by prefix.

    What uses a link that was never discovered is left out.
    """
    places = {location.name: location for location in network.locations}
    held = tuple(circuits)
    labels: dict[int, list[Label]] = defaultdict(list)
    for circuit in held:
        end = places[circuit.dst]
        for dpid, label in circuit_labels(circuit, (end.dpid, end.engine.switch_port), ports):
            labels[dpid].append(label)
    dpids = {name: location.dpid for name, location in places.items()}
    firewalls = switch_filters(held, filters, dpids)
    states = []
    for location in network.locations:
        routes = tuple(
            Route(places[destination].prefix, ports.out[link][1])
            for destination, link in sorted(plan.routes.get(location.name, {}).items())
            if link in ports.out
        ) + exits.routes(location.name, plan, ports)
        edge = EdgePort(location.engine.switch_port, location.prefix, location.gateway)
        dpid = location.dpid
        states.append(
            SwitchDesired(dpid, (edge,), tuple(labels[dpid]), routes, firewalls.get(dpid, ()))
        )
    return tuple(states)


def engine_states(
    network: Network,
    plan: Plan,
    circuits: Iterable[Circuit],
    hosts: Iterable[Host],
    services: ServiceStates = NO_SERVICES,
    exits: ExitStates = NO_EXITS,
) -> tuple[EngineDesired, ...]:
    """Return every engine's state: demands with buckets, circuits that start and end there."""
    by_name = {location.name: location for location in network.locations}
    starts: dict[str, list[EdgeCircuit]] = defaultdict(list)
    ends: dict[str, list[Hop]] = defaultdict(list)
    for circuit in circuits:
        starts[circuit.src].append(
            EdgeCircuit(
                circuit.spi,
                by_name[circuit.dst].engine.number << 16,
                VERSION << 28,
                LAST_HOP,
            )
        )
        ends[circuit.dst].append(Hop(circuit.spi, LAST_HOP, deliver=True))
    splits = {(s.src, s.dst): (s.buckets, s.backups) for s in plan.splits}
    neighbours: dict[int, list[Neighbour]] = defaultdict(list)
    for host in hosts:
        neighbours[host.dpid].append(Neighbour(host.address, host.mac))
    unsteered: tuple[tuple[int, ...], tuple[int, ...]] = ((UNSTEERED,) * BUCKETS, ())
    return tuple(
        EngineDesired(
            location.engine.number,
            tuple(
                EngineDemand(
                    other.prefix,
                    *splits.get((location.name, other.name), unsteered),
                    more=exits.prefixes(location.name, other.name),
                )
                for other in network.locations
                if other.name != location.name
            ),
            tuple(starts[location.name]),
            tuple(ends[location.name]),
            tuple(sorted(neighbours[location.dpid], key=lambda n: n.address)),
            services.tables.get(location.engine.number, ()),
            services.instances.get(location.engine.number, ()),
        )
        for location in network.locations
    )


def engine_probes(network: Network, circuits: Iterable[Circuit]) -> tuple[Probe, ...]:
    """Return the echoes to send: every engine is watched by two others that have circuits there.

    Of several circuits between two places the one with the lowest number is used, so that probes
    stay the same from plan to plan.
    """
    numbers = {location.name: location.engine.number for location in network.locations}
    between: dict[tuple[str, str], int] = {}
    for circuit in circuits:
        ends = circuit.src, circuit.dst
        between[ends] = min(circuit.spi, between.get(ends, circuit.spi))
    probes = []
    for place, target in sorted(numbers.items()):
        watchers = [
            name for name in sorted(numbers) if {(name, place), (place, name)} <= between.keys()
        ]
        # each begins after the place itself, so that the work is shared
        watchers = [n for n in watchers if n > place] + [n for n in watchers if n < place]
        probes += [
            Probe(
                numbers[name],
                target,
                between[name, place],
                LAST_HOP,
                between[place, name],
                LAST_HOP,
            )
            for name in watchers[:OBSERVERS]
        ]
    return tuple(probes)

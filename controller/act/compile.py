"""What a Plan means for every switch and every engine: pure functions to messages."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from controller.state import BUCKETS, UNSTEERED, Circuit, Plan
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

LAST_HOP = 1
OBSERVERS = 2
"""How many engines watch each engine."""
Port = tuple[int, int]


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
    out_port: Mapping[str, Port],
) -> tuple[SwitchDesired, ...]:
    """Return every switch's state: circuits as labels, plain routes by prefix.

    ``out_port``: the switch port that each link leaves by. What uses a link that was never
    discovered is left out.
    """
    places = {location.name: location for location in network.locations}
    labels: dict[int, list[Label]] = defaultdict(list)
    for circuit in circuits:
        if not all(link in out_port for link in circuit.links):
            continue
        for link in circuit.links:
            dpid, port = out_port[link]
            labels[dpid].append(Label(circuit.spi, port))
        end = places[circuit.dst]
        labels[end.dpid].append(Label(circuit.spi, end.engine.switch_port))
    states = []
    for location in network.locations:
        routes = tuple(
            Route(places[destination].prefix, out_port[link][1])
            for destination, link in sorted(plan.routes.get(location.name, {}).items())
            if link in out_port
        )
        edge = EdgePort(location.engine.switch_port, location.prefix, location.gateway)
        states.append(SwitchDesired(location.dpid, (edge,), tuple(labels[location.dpid]), routes))
    return tuple(states)


def engine_states(
    network: Network, plan: Plan, circuits: Iterable[Circuit], hosts: Iterable[Host]
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
    splits = {(split.src, split.dst): split.buckets for split in plan.splits}
    neighbours: dict[int, list[Neighbour]] = defaultdict(list)
    for host in hosts:
        neighbours[host.dpid].append(Neighbour(host.address, host.mac))
    unsteered = (UNSTEERED,) * BUCKETS
    return tuple(
        EngineDesired(
            location.engine.number,
            tuple(
                EngineDemand(other.prefix, splits.get((location.name, other.name), unsteered))
                for other in network.locations
                if other.name != location.name
            ),
            tuple(starts[location.name]),
            tuple(ends[location.name]),
            tuple(sorted(neighbours[location.dpid], key=lambda n: n.address)),
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

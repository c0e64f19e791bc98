"""What a plan means for switches and engines."""

from dataclasses import replace

import pytest

from controller.act import Ports, engine_states, switch_states
from controller.act.compile import LAST_HOP, held_circuits
from controller.observe import Collector
from controller.state import BUCKETS, UNSTEERED, Circuit, Plan, Split
from headers.files.network import Network
from headers.messages import (
    EdgeCircuit,
    EngineDesired,
    Hop,
    Host,
    Label,
    Neighbour,
    NetworkLinks,
    SwitchDesired,
)

DIRECT = Circuit(1, "a", "b", ("a>b",))
DETOUR = Circuit(2, "a", "b", ("a>c", "c>b"))
ROUTES = {
    "a": {"b": "a>b", "c": "a>c"},
    "b": {"a": "b>a", "c": "b>c"},
    "c": {"a": "c>a", "b": "c>b"},
}


def plan(*circuits: Circuit, splits: tuple[Split, ...] = ()) -> Plan:
    return Plan(1, 1, 1, circuits, splits, ROUTES, {}, 0.5, "two-stage", "a test")


@pytest.fixture
def ports(network: Network, discovered: NetworkLinks) -> Ports:
    collector = Collector(network, 1.0, 1.0)
    collector.take_network(discovered)
    return Ports(dict(collector.out_port), dict(collector.in_port))


def switches(network: Network, ports: Ports, *circuits: Circuit) -> dict[int, SwitchDesired]:
    states = switch_states(network, plan(*circuits), circuits, ports)
    return {state.dpid: state for state in states}


def engines(
    network: Network, found: Plan, hosts: tuple[Host, ...] = ()
) -> dict[int, EngineDesired]:
    states = engine_states(network, found, found.circuits, hosts)
    return {state.number: state for state in states}


def test_labels_lie_along_the_path_and_end_at_the_engine(network: Network, ports: Ports) -> None:
    states = switches(network, ports, DETOUR)
    assert states[1].labels == (Label(2, 3, generation=1),)
    assert states[3].labels == (Label(2, 2, generation=1),)
    assert states[2].labels == (Label(2, 1, generation=1),)  # to the engine's port


def test_following_labels_from_the_start_leads_to_the_end(
    network: Network, ports: Ports, discovered: NetworkLinks
) -> None:
    wires = {(a, b): c for a, b, c, _ in discovered.links}
    states = switches(network, ports, DIRECT, DETOUR)
    for circuit in (DIRECT, DETOUR):
        at, hops = 1, 0
        while True:
            (port,) = [x.port for x in states[at].labels if x.spi == circuit.spi]
            if port == 1:
                break
            at, hops = wires[at, port], hops + 1
        assert (at, hops) == (2, len(circuit.links))


def test_circuit_over_a_link_that_was_never_discovered_is_left_out(
    network: Network, ports: Ports
) -> None:
    known = Ports({n: port for n, port in ports.out.items() if n != "c>b"}, ports.into)
    states = switches(network, known, DIRECT, DETOUR)
    assert {label.spi for state in states.values() for label in state.labels} == {1}
    assert "10.2.0.0/16" not in {route.prefix for route in states[3].routes}


def test_every_switch_has_its_edge_and_a_route_to_each_other_prefix(
    network: Network, ports: Ports
) -> None:
    states = switches(network, ports)
    for number, state in states.items():
        (edge,) = state.edge_ports
        assert (edge.port, edge.prefix, edge.gateway) == (
            1,
            f"10.{number}.0.0/16",
            f"10.{number}.255.254",
        )
        others = {f"10.{other}.0.0/16" for other in states if other != number}
        assert {route.prefix for route in state.routes} == others


def test_circuits_of_the_plan_before_stay_for_one_more_plan() -> None:
    assert held_circuits(plan(DETOUR), plan(DIRECT)) == (DIRECT, DETOUR)
    assert held_circuits(plan(DETOUR), None) == (DETOUR,)


def test_circuit_that_both_plans_have_is_held_once_as_the_new_plan_has_it() -> None:
    newer = replace(DIRECT, generation=2)
    assert held_circuits(plan(newer), plan(DIRECT)) == (newer,)


def test_edge_starts_circuits_and_the_far_engine_delivers_them(network: Network) -> None:
    states = engines(network, plan(DIRECT, DETOUR))
    assert states[1].circuits == (
        EdgeCircuit(1, 2 << 16, 1 << 28, LAST_HOP),
        EdgeCircuit(2, 2 << 16, 1 << 28, LAST_HOP),
    )
    assert states[2].hops == (Hop(1, LAST_HOP, deliver=True), Hop(2, LAST_HOP, deliver=True))
    assert (states[3].circuits, states[3].hops) == ((), ())


def test_demand_gets_its_buckets_and_others_stay_unsteered(network: Network) -> None:
    buckets = (1,) * 128 + (2,) * 128
    split = Split("a", "b", (1, 2), (0.5, 0.5), buckets)
    states = engines(network, plan(DIRECT, DETOUR, splits=(split,)))
    demands = {demand.prefix: demand.buckets for demand in states[1].demands}
    assert demands == {"10.2.0.0/16": buckets, "10.3.0.0/16": (UNSTEERED,) * BUCKETS}


def test_hosts_are_neighbours_of_their_own_engine_in_a_steady_order(network: Network) -> None:
    hosts = (
        Host("10.1.0.9", "02:00:00:00:00:09", 1, 1),
        Host("10.2.0.1", "02:00:00:00:00:01", 2, 1),
        Host("10.1.0.7", "02:00:00:00:00:07", 1, 1),
    )
    one = engines(network, plan(), hosts)
    assert one[1].neighbours == (
        Neighbour("10.1.0.7", "02:00:00:00:00:07"),
        Neighbour("10.1.0.9", "02:00:00:00:00:09"),
    )
    assert one[2].neighbours == (Neighbour("10.2.0.1", "02:00:00:00:00:01"),)
    assert one == engines(network, plan(), hosts[::-1])

"""What a plan's exits mean for engines and switches."""

import time
from typing import Any

from controller.act.compile import engine_states, switch_states
from controller.act.exits import MOST_PREFIXES, ExitStates, exit_states
from controller.act.labels import Ports
from controller.southbound.flows import ETH_IPV4, PRIORITY_LOCAL
from controller.southbound.pipeline import route_flows
from controller.state import BUCKETS, Exit, Plan, Split
from headers.files.network import Network
from headers.messages import Host, Route

FAR, SIX = "198.51.100.0/24", "2001:db8::/32"
GATEWAYS = {"b": "10.2.0.9", "c": "10.3.0.9"}
HOSTS = {
    "10.2.0.9": Host("10.2.0.9", "02:00:00:00:02:09", 2, 1),
    "10.3.0.9": Host("10.3.0.9", "02:00:00:00:03:09", 3, 1),
}
OUT = Exit((FAR, SIX), GATEWAYS, {"a": "c", "b": "b", "c": "c"}, "b")
ROUTES = {"a": {"b": "a>b", "c": "a>c"}, "c": {"b": "c>b"}}
PORTS = Ports({"a>b": (1, 7), "a>c": (1, 8), "c>b": (3, 9)}, {})
SPLITS = (Split("a", "c", (9,), (1.0,), (9,) * BUCKETS),)


def plan(*exits: Exit) -> Plan:
    return Plan(1, 1, 1, (), SPLITS, ROUTES, {}, 0.0, "igp", "", exits=exits)


def states(network: Network, *exits: Exit, **more: Any) -> ExitStates:
    return exit_states(network, plan(*exits), more.get("hosts", HOSTS), more.get("virtual", ()))


def test_engines_lead_prefixes_the_way_of_their_exit(network: Network) -> None:
    found = states(network, OUT)
    assert found.errors == ()
    engines = engine_states(network, plan(OUT), (), HOSTS.values(), exits=found)
    more = {
        (engine.number, demand.prefix): demand.more
        for engine in engines
        for demand in engine.demands
        if demand.more
    }
    to_c = next(x.prefix for x in network.locations if x.name == "c")
    assert more == {(1, to_c): (FAR, SIX)}


def test_switches_route_to_one_exit_and_hand_over_there(network: Network) -> None:
    found = states(network, OUT)
    routes = {
        state.dpid: [r for r in state.routes if r.prefix == FAR]
        for state in switch_states(network, plan(OUT), (), PORTS, exits=found)
    }
    # a goes to b, where unmarked traffic leaves; c has a gateway of its own and needs no way to b
    assert routes[1] == [Route(FAR, 7)]
    assert routes[2] == [Route(FAR, 1, "02:00:00:00:02:09")]
    assert routes[3] == [Route(FAR, 1, "02:00:00:00:03:09")]
    assert not any(r.prefix == SIX for r in found.routes("a", plan(OUT), PORTS))


def test_gateway_that_was_never_seen_or_is_elsewhere_takes_nothing(network: Network) -> None:
    elsewhere = {**HOSTS, "10.3.0.9": Host("10.3.0.9", "02:00:00:00:03:09", 1, 1)}
    for hosts in ({"10.2.0.9": HOSTS["10.2.0.9"]}, elsewhere):
        found = states(network, OUT, hosts=hosts)
        assert found.errors == (f"{FAR}: no host 10.3.0.9 was seen at c",)
        assert found.prefixes("a", "c") == ()
        assert found.routes("c", plan(OUT), PORTS) == (Route(FAR, 9),)


def test_what_is_ours_is_nobody_elses(network: Network) -> None:
    own = network.locations[0].prefix
    inside = own.replace("/16", "/17")
    theirs = Exit(("0.0.0.0/0", inside, own, "10.99.0.1/32", FAR), GATEWAYS, OUT.sources, "b")
    found = states(network, theirs, virtual=["10.99.0.1"])
    assert found.prefixes("a", "c") == ("0.0.0.0/0", FAR)
    assert len(found.errors) == 3
    assert f"{inside} is ours, and not taken from a neighbour" in found.errors


def test_more_than_there_is_room_for_is_left_out_and_counted(network: Network) -> None:
    room = MOST_PREFIXES // len(network.locations)
    many = tuple(f"11.{n >> 8}.{n & 255}.0/24" for n in range(room + 5))
    found = states(network, Exit(many, GATEWAYS, OUT.sources, "b"), OUT)
    assert len(found.routed) == room
    assert found.errors == (f"7 prefixes outside are left out: {room} have room",)


def test_longer_prefixes_come_first_on_a_switch_and_all_after_what_is_local() -> None:
    priorities = []
    for length in (0, 8, 24, 32):
        flow, back = route_flows(Route(f"0.0.0.0/{length}", 3, "02:00:00:00:00:09"), "02::1")
        assert back.priority == flow.priority + 1
        assert dict(back.match)["in_port"] == 3
        assert back.actions[-1] == ("in_port",)
        priorities += [flow.priority, back.priority]
    assert priorities == sorted(set(priorities))
    assert priorities[-1] < PRIORITY_LOCAL
    (default,) = route_flows(Route("0.0.0.0/0", 3), "02::1")
    # as the switch reports it, or it would be written again for ever
    assert default.match == (("eth_type", ETH_IPV4),)


def test_ten_thousand_prefixes_do_not_hold_up_the_brain(network: Network) -> None:
    many = tuple(f"{11 + (n >> 16)}.{n >> 8 & 255}.{n & 255}.0/24" for n in range(0, 20_000, 2))
    began = time.perf_counter()
    found = states(network, Exit(many, GATEWAYS, OUT.sources, "b"))
    # once they were compared one by one with all of ours, in five seconds
    assert time.perf_counter() - began < 1
    assert len(found.routed) == MOST_PREFIXES // len(network.locations)

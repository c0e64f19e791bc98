"""The emulated network's plan: nodes, ports and rates, without starting any of it."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from headers.files import Link, Node, Topology
from headers.files.network import Network, load_network, save_network
from topologies.errors import TopologyError
from topologies.fabric import MAX_LOCATIONS, FabricTopo

TRIANGLE = Topology(
    "triangle",
    (Node("x", 1.0, 2.0), Node("y"), Node("z")),
    (
        Link("x", "y", 100.0, 2.0),
        Link("y", "x", 50.0),
        Link("y", "z", 100.0),
        Link("x", "y", 10.0),
        Link("z", "y", 100.0),
        Link("z", "x", 25.0),
    ),
)


def network(topo: FabricTopo) -> Network:
    engines = [
        SimpleNamespace(name=name, location=location, pid=1000 + int(name[1:]))
        for location, name in topo.engine_of.items()
    ]
    return topo.network(reversed(engines))


def test_every_location_has_a_host_behind_an_engine_behind_a_switch() -> None:
    topo = FabricTopo(TRIANGLE)
    assert sorted(topo.hosts()) == ["h1", "h2", "h3"]
    assert sorted(topo.switches()) == ["e1", "e2", "e3", "s1", "s2", "s3"]
    for number in (1, 2, 3):
        # host's port 0 to the engine's host side, the engine's fabric side to the switch's port 1
        assert topo.port(f"h{number}", f"e{number}") == (0, 1)
        assert topo.port(f"e{number}", f"s{number}") == (2, 1)


def test_fastest_link_gets_the_rate_and_others_their_proportion() -> None:
    topo = FabricTopo(TRIANGLE, 20)
    rates = [topo.rate_bps[link] for link in TRIANGLE.links]
    assert rates == [20e6, 10e6, 20e6, 2e6, 20e6, 5e6]


def test_spread_of_rates_is_compressed_where_the_slowest_would_carry_next_to_nothing() -> None:
    wide = Topology(
        "wide",
        TRIANGLE.nodes,
        (Link("x", "y", 10_000.0), Link("y", "z", 2_400.0), Link("z", "x", 155.0)),
    )
    topo = FabricTopo(wide, 20)
    fast, middle, slow = (topo.rate_bps[link] for link in wide.links)
    assert fast == 20e6
    assert slow == pytest.approx(2e6)
    assert 2e6 < middle < 20e6
    assert "not in proportion" in topo.about_rates()
    assert "not in proportion" not in FabricTopo(TRIANGLE, 20).about_rates()
    # nothing is slower than what was asked for as the fastest
    assert set(FabricTopo(wide, 1).rate_bps.values()) == {1e6}


def test_equal_rates_where_asked_for() -> None:
    topo = FabricTopo(TRIANGLE, 20, equal=True)
    assert set(topo.rate_bps.values()) == {20e6}


def test_link_and_its_opposite_share_a_cable_and_others_have_their_own() -> None:
    topo = FabricTopo(TRIANGLE)
    core = [(link.src, link.dst, link.capacity_mbps, out, into) for link, out, into in topo.core]
    assert core == [
        ("x", "y", 100.0, "s1-eth2", "s2-eth2"),
        ("y", "x", 50.0, "s2-eth2", "s1-eth2"),
        ("y", "z", 100.0, "s2-eth3", "s3-eth2"),
        ("x", "y", 10.0, "s1-eth3", "s2-eth4"),
        ("z", "y", 100.0, "s3-eth2", "s2-eth3"),
        ("z", "x", 25.0, "s3-eth3", "s1-eth4"),
    ]


def test_network_file_describes_it_in_the_topologys_order_and_can_be_read(tmp_path: Path) -> None:
    found = network(FabricTopo(TRIANGLE, synthetic=True))
    assert [location.name for location in found.locations] == ["x", "y", "z"]
    first = found.locations[0]
    assert (first.dpid, first.prefix, first.gateway) == (1, "10.1.0.0/16", "10.1.255.254")
    assert (first.lat, first.lon) == (1.0, 2.0)
    engine = first.engine
    assert (engine.number, engine.host_ports, engine.fabric_port) == (1, ("e1-eth1",), "e1-eth2")
    assert (engine.netns_pid, engine.fabric_peer, engine.switch_port) == (1001, "s1-eth1", 1)
    assert [(x.src, x.dst, x.capacity_bps) for x in found.links][:2] == [
        ("x", "y", 20e6),
        ("y", "x", 10e6),
    ]
    assert found.links[0].metric == 2.0
    assert found.synthetic
    save_network(found, tmp_path / "network.json")
    assert load_network(tmp_path / "network.json") == found


def test_hosts_addresses_lie_in_their_locations_prefix() -> None:
    topo = FabricTopo(TRIANGLE)
    for number in (1, 2, 3):
        info = topo.nodeInfo(f"h{number}")
        assert info["ip"] == f"10.{number}.0.1/16"
        assert info["defaultRoute"] == f"via 10.{number}.255.254"


def test_abilene_is_known_to_mininet_by_name() -> None:
    from topologies.abilene import topos

    topo = topos["abilene"](rate=10)
    assert len(topo.hosts()) == 12
    assert max(topo.rate_bps.values()) == 10e6


def test_too_many_locations_are_refused_with_the_limit() -> None:
    count = MAX_LOCATIONS + 1
    nodes = tuple(Node(str(i)) for i in range(count))
    with pytest.raises(TopologyError, match="at most 254"):
        FabricTopo(Topology("large", nodes, (Link("0", "1", 1.0),)))


def test_topology_without_links_is_refused() -> None:
    with pytest.raises(TopologyError, match="lone has no links"):
        FabricTopo(Topology("lone", (Node("x"),), ()))

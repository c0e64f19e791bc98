"""What the brain knows of the network, from what southbound and agents say."""

from dataclasses import replace

import numpy as np
import pytest

from controller.observe import Agent, Collector
from headers.files.network import Network, NetworkLink
from headers.messages import NetworkLinks, PortCounter, PortCounters, SwitchInfo, SwitchPort


@pytest.fixture
def collector(network: Network, discovered: NetworkLinks) -> Collector:
    found = Collector(network, 2.0, 300.0)
    found.take_network(discovered)
    return found


def up(collector: Collector) -> set[str]:
    return {link.name for link in collector.links({}) if link.up}


def with_port_down(news: NetworkLinks, dpid: int, port: int) -> NetworkLinks:
    def changed(switch: SwitchInfo) -> SwitchInfo:
        ports = tuple(
            replace(p, up=p.up and not (switch.dpid == dpid and p.number == port))
            for p in switch.ports
        )
        return replace(switch, ports=ports)

    return replace(news, switches=tuple(changed(s) for s in news.switches))


def losing(news: NetworkLinks, *links: tuple[int, int, int, int]) -> NetworkLinks:
    left = tuple(link for link in news.links if link not in links)
    return replace(news, links=left, lost=(*news.lost, *links))


def test_link_that_was_never_discovered_is_not_up(network: Network) -> None:
    assert up(Collector(network, 2.0, 300.0)) == set()


def test_discovered_links_are_up_and_leave_by_their_ports(collector: Collector) -> None:
    assert up(collector) == set(collector.link_names())
    assert collector.out_port["a>b"] == (1, 2)
    assert collector.in_port["a>b"] == (2, 2)
    assert collector.out_port["c>a"] == (3, 3)


def test_the_same_news_again_is_no_change(collector: Collector, discovered: NetworkLinks) -> None:
    assert not collector.take_network(discovered)


def test_port_down_takes_both_directions_down_and_back_up(
    collector: Collector, discovered: NetworkLinks
) -> None:
    assert collector.take_network(with_port_down(discovered, 1, 2))
    assert collector.down == {"a>b", "b>a"}
    assert collector.take_network(discovered)
    assert collector.down == set()


def test_direction_that_is_lost_goes_down_alone(
    collector: Collector, discovered: NetworkLinks
) -> None:
    assert collector.take_network(losing(discovered, (1, 2, 2, 2)))
    assert collector.down == {"a>b"}


def test_southbound_that_says_nothing_of_links_changes_nothing(collector: Collector) -> None:
    assert not collector.take_network(NetworkLinks((), (), (), (), {}))
    assert up(collector) == set(collector.link_names())


def test_switch_that_is_away_keeps_the_links_it_had(
    collector: Collector, discovered: NetworkLinks
) -> None:
    collector.take_network(with_port_down(discovered, 1, 2))
    away = replace(discovered, switches=discovered.switches[1:], links=())
    collector.take_network(away)
    assert collector.out_port["a>b"] == (1, 2)
    assert "b>c" in up(collector)


def test_cable_that_moved_to_another_port_is_followed(
    collector: Collector, discovered: NetworkLinks
) -> None:
    def plus_port(switch: SwitchInfo) -> SwitchInfo:
        return replace(switch, ports=(*switch.ports, SwitchPort(9, "p9", "", True, 0)))

    moved = losing(discovered, (1, 2, 2, 2), (2, 2, 1, 2))
    moved = replace(
        moved,
        switches=tuple(plus_port(s) for s in moved.switches),
        links=(*moved.links, (1, 9, 2, 9), (2, 9, 1, 9)),
    )
    assert collector.take_network(moved)
    assert collector.down == set()
    assert (collector.out_port["a>b"], collector.in_port["a>b"]) == ((1, 9), (2, 9))


def test_unknown_switches_and_links_of_no_location_are_ignored(
    network: Network, discovered: NetworkLinks
) -> None:
    collector = Collector(network, 2.0, 300.0)
    collector.take_network(replace(discovered, links=(*discovered.links, (77, 1, 1, 9))))
    assert set(collector.out_port) == set(collector.link_names())


def parallel(network: Network, discovered: NetworkLinks) -> tuple[Collector, NetworkLinks]:
    """The triangle with a second link from a to b, by ports 4 and 4."""
    wider = replace(network, links=(*network.links, NetworkLink("a", "b", 5e6)))
    more = SwitchPort(4, "p4", "", True, 0)
    switches = tuple(replace(s, ports=(*s.ports, more)) for s in discovered.switches)
    news = replace(discovered, switches=switches, links=(*discovered.links, (1, 4, 2, 4)))
    return Collector(wider, 2.0, 300.0), news


def test_parallel_links_have_names_ports_and_capacities_of_their_own(
    network: Network, discovered: NetworkLinks
) -> None:
    collector, news = parallel(network, discovered)
    collector.take_network(news)
    assert collector.out_port["a>b"] == (1, 2)
    assert collector.out_port["a>b/2"] == (1, 4)
    capacities = {link.name: link.capacity_bps for link in collector.links({})}
    assert (capacities["a>b"], capacities["a>b/2"]) == (20e6, 5e6)


def test_one_of_two_parallel_links_that_is_lost_is_the_one_that_goes_down(
    network: Network, discovered: NetworkLinks
) -> None:
    for gone, name in (((1, 2, 2, 2), "a>b"), ((1, 4, 2, 4), "a>b/2")):
        collector, news = parallel(network, discovered)
        collector.take_network(news)
        assert collector.take_network(losing(news, gone))
        assert collector.down == {name}
        assert collector.out_port["a>b"] == (1, 2)


def counters(time_s: float, tx_bytes: int, dpid: int = 1, port: int = 2) -> PortCounters:
    return PortCounters(time_s, (PortCounter(dpid, port, tx_bytes, 0, 0, 0, 0),))


def test_rate_is_the_mean_between_the_first_and_last_reading_of_the_interval(
    collector: Collector,
) -> None:
    for time_s, size in ((0.0, 10**9), (1.0, 1000), (1.5, 1500), (3.0, 4000), (9.0, 9**9)):
        collector.take_counters(counters(time_s, size))
    assert collector.link_rates(0.5, 5.0) == {"a>b": 3000 * 8 / 2.0}


def test_one_reading_gives_no_rate(collector: Collector) -> None:
    collector.take_counters(counters(1.0, 1000))
    assert collector.link_rates(0.0, 5.0) == {}


@pytest.mark.parametrize("readings", [(5000, 100), (5000, 6000, 0, 9000)])
def test_counter_that_began_anew_gives_no_rate(
    collector: Collector, readings: tuple[int, ...]
) -> None:
    for at, size in enumerate(readings):
        collector.take_counters(counters(float(at), size))
    assert collector.link_rates(0.0, 9.0) == {}


def test_readings_are_bounded(collector: Collector) -> None:
    for at in range(2000):
        collector.take_counters(counters(float(at), at))
    assert len(collector.samples[1, 2]) == 256


def test_network_is_complete_with_every_switch_link_and_living_engine(
    collector: Collector, discovered: NetworkLinks
) -> None:
    assert not collector.complete(1.0)
    collector.agents["m1"] = Agent("m1", (1, 2), 0.0, 0, 0.0)
    assert not collector.complete(1.0)
    collector.agents["m2"] = Agent("m2", (3,), 0.0, 0, 0.0)
    assert collector.complete(1.0)
    assert not collector.complete(60.0)
    collector.take_network(with_port_down(discovered, 1, 2))
    assert not collector.complete(1.0)


def test_snapshots_are_numbered_and_hold_the_newest_demands(collector: Collector) -> None:
    old, new = np.full((3, 3), 1.0), np.full((3, 3), 2.0)
    collector.history.extend((old, new))
    first = collector.snapshot(100.0, 5.0, {"a>b": 7.0})
    second = collector.snapshot(101.0, 6.0, {})
    assert (first.number, second.number) == (1, 2)
    assert (first.nodes, first.step_s, first.data_step_s) == (("a", "b", "c"), 2.0, 300.0)
    assert np.array_equal(first.demands_bps, new)
    assert np.array_equal(first.history_bps, [old, new])
    assert {x.name: x.rate_bps for x in first.links}["a>b"] == 7.0


def test_snapshot_before_any_measurement_has_demands_of_zero(collector: Collector) -> None:
    snapshot = collector.snapshot(0.0, 0.0, {})
    assert snapshot.history_bps.shape == (1, 3, 3)
    assert not snapshot.demands_bps.any()


def test_engine_is_alive_while_its_agent_speaks(collector: Collector) -> None:
    collector.agents["m1"] = Agent("m1", (1, 3), 0.0, 0, heard_s=10.0)
    alive = {x.location: x.alive for x in collector.snapshot(0.0, 12.0, {}).engines}
    assert alive == {"a": True, "b": False, "c": True}
    late = collector.snapshot(0.0, 13.5, {})
    assert not any(engine.alive for engine in late.engines)

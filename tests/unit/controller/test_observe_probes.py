"""What was measured of links, circuits and clients is in the Snapshot."""

from dataclasses import replace

import pytest

from controller.observe import Collector
from headers.files.network import Network
from headers.messages import (
    AgentStatus,
    CircuitProbe,
    Handshakes,
    LinkProbe,
    LinkProbes,
    NetworkLinks,
)

STATUS = AgentStatus("m", (1, 2), 1, 1, 0.0, "1", {})


@pytest.fixture
def collector(network: Network, discovered: NetworkLinks) -> Collector:
    found = Collector(network, 2.0, 300.0)
    found.take_network(discovered)
    return found


def test_links_have_the_quality_of_the_port_that_they_leave_by(collector: Collector) -> None:
    dpid, port = collector.out_port["a>b"]
    collector.take_probes(LinkProbes(9.0, (LinkProbe(dpid, port, 7.5), LinkProbe(99, 1, 1.0))))
    links = {link.name: link for link in collector.snapshot(0.0, 10.0, {}).links}
    found = links["a>b"].quality
    assert found is not None
    assert (found.rtt_ms, found.loss, found.samples, found.age_s) == (7.5, 0.0, 1, 1.0)
    assert links["b>a"].quality is None


def test_circuits_have_the_quality_of_their_echoes(collector: Collector) -> None:
    measured = (CircuitProbe(3, 12.0), CircuitProbe(3, -1.0), CircuitProbe(4, 5.0))
    collector.take_status(replace(STATUS, measured=measured), 10.0)
    found = collector.snapshot(0.0, 10.0, {}).circuit_quality
    assert (found[3].rtt_ms, found[3].loss) == (12.0, 0.5)
    assert found[4].rtt_ms == 5.0


def test_clients_have_the_quality_of_their_handshakes_by_location_and_by_instance(
    collector: Collector,
) -> None:
    shakes = (
        Handshakes("192.0.2.0/24", 2, 7, 30.0, 4),
        Handshakes("192.0.2.0/24", 200, 7, 30.0, 4),
    )
    collector.take_status(replace(STATUS, handshakes=shakes), 10.0)
    place = collector.network.locations[1].name
    found = collector.snapshot(0.0, 10.0, {}).client_quality
    assert set(found) == {("192.0.2.0/24", place), ("192.0.2.0/24", f"{place}/7")}
    assert found["192.0.2.0/24", place].rtt_ms == 30.0
    assert collector.refused["handshake_elsewhere"] == 1

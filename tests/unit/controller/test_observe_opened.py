"""Where new connections go, as measured."""

from dataclasses import replace

import pytest

from controller.observe import Collector
from controller.observe.opened import KEEP_S, LEAST, Opened
from controller.state import Instance, Service
from headers.files.network import Network
from headers.messages import AgentStatus, Handshakes

WEB = Service(
    "web", "10.99.0.1", 6, 80,
    (Instance("one", "b", "10.2.0.9", number=1), Instance("two", "c", "10.3.0.9", number=2),
     Instance("three", "c", "10.3.0.8", number=3)),
)  # fmt: skip


def test_shares_are_by_location_and_of_the_service_s_own_instances() -> None:
    opened = Opened()
    for instance, count in ((1, 600), (2, 300), (3, 100), (7, 5000)):
        opened.add(5.0, instance, count)
    assert opened.shares(WEB, 6.0) == pytest.approx({"b": 0.6, "c": 0.4})


def test_few_or_old_connections_say_nothing() -> None:
    opened = Opened()
    opened.add(0.0, 1, LEAST - 1)
    assert opened.shares(WEB, 1.0) == {}
    opened.add(2.0, 2, 1)
    assert opened.shares(WEB, 2.0).keys() == {"b", "c"}
    assert opened.shares(WEB, KEEP_S + 1.0) == {}


def test_collector_takes_them_from_agents(network: Network) -> None:
    collector = Collector(network, 1.0, 1.0)
    collector.services = (WEB,)
    shakes = (
        Handshakes("10.1.0.0/24", 2, 1, 3.0, 900),
        Handshakes("10.1.0.0/24", 3, 2, 3.0, 300),
    )
    status = AgentStatus("agent", (1, 2, 3), 1, 1, 0.0, "1", {}, handshakes=shakes)
    collector.take_status(status, 10.0)
    assert collector.opened_shares("web", 11.0) == pytest.approx({"b": 0.75, "c": 0.25})
    assert collector.opened_shares("nothing", 11.0) == {}
    collector.services = (replace(WEB, instances=()),)
    assert collector.opened_shares("web", 11.0) == {}

"""What a plan's services mean for engines."""

from dataclasses import replace

import pytest

from controller.act.services import ServiceStates, service_states
from controller.observe import Collector
from controller.state import BUCKETS, Instance, Plan, Service, ServiceSplit, Split
from headers.files.network import Network
from headers.messages import Host, InstanceHere

HALVES = (7,) * 128 + (8,) * 128
AT_B = Instance("one", "b", "10.2.0.9", number=1)
AT_C = Instance("two", "c", "10.3.0.9", number=2)
WEB = Service("web", "10.99.0.1", 6, 80, (AT_B, AT_C))
HOSTS = {
    "10.2.0.9": Host("10.2.0.9", "02:00:00:00:02:09", 2, 1),
    "10.3.0.9": Host("10.3.0.9", "02:00:00:00:03:09", 3, 1),
}
SPLITS = (
    Split("a", "b", (7, 8), (0.5, 0.5), HALVES),
    Split("a", "c", (9,), (1.0,), (9,) * BUCKETS),
    Split("b", "c", (10,), (1.0,), (10,) * BUCKETS, (11,) * BUCKETS),
)


def split(src: str = "a", near: int = 192) -> ServiceSplit:
    share = near / BUCKETS
    table = (0,) * near + (1,) * (BUCKETS - near)
    return ServiceSplit("web", src, ("one", "two"), (share, 1 - share), table)


def states(
    network: Network,
    *splits: ServiceSplit,
    service: Service = WEB,
    hosts: dict[str, Host] = HOSTS,
) -> ServiceStates:
    plan = Plan(1, 1, 1, (), SPLITS, {}, {}, 0.5, "two-stage", "", services=splits)
    return service_states(network, plan, (service,), hosts)


def test_table_holds_the_backends_as_this_engine_sees_them(network: Network) -> None:
    found = states(network, split())
    (table,) = found.tables[1]
    assert (table.address, table.protocol, table.port) == ("10.99.0.1", 6, 80)
    backends = {one.number: one for one in found.backends}
    first, second = backends[table.buckets[0]], backends[table.buckets[-1]]
    assert table.buckets.count(first.number) == 192
    assert (first.engine, first.instance, first.buckets) == (2, 1, HALVES)
    assert (second.engine, second.instance) == (3, 2)
    # while one is down the other takes over
    assert table.backups == tuple(
        second.number if number == first.number else first.number for number in table.buckets
    )
    assert found.instances == {
        2: (InstanceHere(1, "02:00:00:00:02:09"),),
        3: (InstanceHere(2, "02:00:00:00:03:09"),),
    }
    assert found.errors == ()


def test_instance_behind_the_engine_itself_needs_no_circuit(network: Network) -> None:
    found = states(network, split("b"))
    backends = {one.number: one for one in found.backends}
    (table,) = found.tables[2]
    here, there = backends[table.buckets[0]], backends[table.buckets[-1]]
    assert (here.engine, here.buckets) == (2, ())
    assert (there.buckets, there.backups) == ((10,) * BUCKETS, (11,) * BUCKETS)


def test_number_of_a_backend_does_not_depend_on_the_others(network: Network) -> None:
    both = {(b.engine, b.buckets): b.number for b in states(network, split()).backends}
    alone = states(network, service=replace(WEB, instances=(AT_C,)))
    assert alone.backends
    assert all(both[b.engine, b.buckets] == b.number for b in alone.backends)


def test_instance_that_is_no_longer_chosen_stays_for_its_connections(network: Network) -> None:
    found = states(network, ServiceSplit("web", "a", ("two",), (1.0,), (0,) * BUCKETS))
    (table,) = found.tables[1]
    assert len(set(table.buckets)) == 1
    assert {one.engine for one in found.backends} == {2, 3}


@pytest.mark.parametrize(
    ("instance", "hosts", "words"),
    [
        (AT_C, {}, "no host 10.3.0.9"),
        (replace(AT_C, location="x"), HOSTS, "no location 'x'"),
        (replace(AT_C, number=0), HOSTS, "number 0"),
        (replace(AT_C, number=4000), HOSTS, "number 4000"),
    ],
)
def test_instance_that_cannot_be_had_is_named(
    network: Network, instance: Instance, hosts: dict[str, Host], words: str
) -> None:
    service = replace(WEB, instances=(instance,))
    found = states(network, split(), service=service, hosts=hosts)
    assert words in found.errors[0]
    assert not found.tables
    assert not found.backends


def test_collector_says_what_goes_where_and_who_takes_connections(network: Network) -> None:
    collector = Collector(network, 1.0, 1.0, services=(WEB,))
    plan = Plan(1, 1, 1, (), SPLITS, {}, {}, 0.5, "two-stage", "", services=(split(near=64),))
    assert collector.spread(plan) == {(1, "10.99.0.1", 6, 80): {"b": 0.25, "c": 0.75}}
    assert collector.spread(None) == {}
    collector.hosts["10.2.0.9"] = HOSTS["10.2.0.9"]
    assert [one.healthy for one in collector.reachable()[0].instances] == [True, False]

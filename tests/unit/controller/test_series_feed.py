"""What the brain hears anyway becomes samples of series; events are kept."""

from dataclasses import replace

import pytest

from controller.errors import ConfigError
from controller.observe.series import SeriesStore
from controller.observe.series_events import EVENTS_MOST, EventBook, EventError, planned
from controller.observe.series_feed import SeriesFeed
from controller.state import LinkState
from headers.messages import (
    AgentStatus,
    CounterReport,
    DemandCounter,
    EchoReport,
    PortCounter,
    PortCounters,
    ServiceCounter,
)
from models.covariates import Announcement
from models.datasets.events import PlannedEvent, save_events

from .series_doubles import EPOCH_S, Hands


@pytest.fixture
def clock():
    return Hands()


@pytest.fixture
def store(clock):
    return SeriesStore(clock, slow_s=5.0, fast_s=1.0)


@pytest.fixture
def feed(store, network):
    return SeriesFeed(store, network)


def last(store, clock, kind):
    """Return the last complete interval's values by name."""
    clock.now += 5.0
    found = store.history(kind)
    return {} if found is None else dict(zip(found[0], found[1][-1], strict=True))


def test_links_give_their_load_and_what_is_free(feed, store, clock):
    link = LinkState("a>b", "a", "b", 20e6)
    unknown, down = replace(link, name="b>c"), replace(link, name="c>a", up=False)
    feed.links((link, unknown, down), {"a>b": 5e6, "c>a": 1e6})
    clock.now += 0.1
    assert last(store, clock, "link_load") == {"a>b": 5e6}
    assert store.history("link_free")[1][-1, 0] == 15e6
    assert store.labels("link_load", "a>b").capacity == 20e6


def test_port_counters_give_a_links_loss(feed, store, clock):
    for at, (sent, lost) in enumerate(((0, 0), (900, 100))):
        row = PortCounter(1, 2, 0, sent, lost, 0, 0)
        feed.ports(PortCounters(float(at), (row,)), {"a>b": (1, 2), "b>c": (2, 3)})
    assert last(store, clock, "link_loss") == {"a>b": pytest.approx(0.1)}


def status(*echoes):
    return AgentStatus("m", (1, 2), 1, 1, 0.0, "1", {}, echoes=echoes)


def test_echoes_give_latency_and_loss_of_paths(feed, store, clock):
    feed.agent(status(EchoReport(1, 2, 0.010, 10, 10, False)), 1.0)
    clock.now += 0.5
    feed.agent(
        status(EchoReport(1, 2, 0.020, 20, 18, False), EchoReport(9, 1, 1.0, 1, 1, False)), 2.0
    )
    assert last(store, clock, "path_latency") == {"a>b": pytest.approx(0.015)}
    assert store.history("path_loss")[1][-1, 0] == pytest.approx(0.2)


def test_an_engine_that_is_down_has_loss_but_no_latency(feed, store, clock):
    for at, sent in enumerate((10, 20)):
        feed.agent(status(EchoReport(1, 2, 0.010, sent, 10, True)), float(at))
    assert last(store, clock, "path_loss") == {"a>b": 1.0}
    assert store.history("path_latency") is None


def report(time_s, demands=(), services=(), reasons=None):
    return CounterReport("m", time_s, 1, demands, reasons or {}, services)


def test_classes_give_their_demand_and_their_share(feed, store, clock):
    for at in (0, 1):
        rows = tuple(
            DemandCounter(1, "10.2.0.0/16", 0, at * count, number)
            for number, count in ((0, 750), (7, 250))
        )
        feed.classes([report(float(at), (*rows, DemandCounter(99, "10.2.0.0/16", 0, 5)))])
    assert last(store, clock, "class_mix") == {"0": 0.75, "7": 0.25}
    assert store.history("class_demand")[0] == ("a>b/7",)
    assert store.history("class_demand")[1][-1, 0] == 2000.0


def test_engines_and_services_give_rates_and_a_reset_gives_none(feed, store, clock):
    assert not feed.services
    for at, count in ((0.0, 100), (1.0, 300), (2.0, 50)):
        service = ServiceCounter(1, "10.9.0.1", 6, 80, count, count * 10, 4)
        feed.engines([report(at, services=(service,), reasons={1: {"ok": count, "drop": count}})])
        clock.now += 1.0
    assert feed.services
    name = "10.9.0.1:6:80@a"
    assert store.history("service_packets")[1][0, 0] == 200.0
    assert store.history("service_load")[0] == (name,)
    assert store.history("service_load")[1][0, 0] == 16_000.0
    assert store.history("connections")[1][0, 0] == 4.0
    assert store.history("engine_packets")[1][0, 0] == 400.0
    assert feed.meter.counts == {"reset": 3}


def test_an_agent_tells_its_connections_and_how_fast_they_come(feed, store, clock):
    for at, events in enumerate((100, 350)):
        feed.agent(replace(status(), connections=7, events=events), float(at))
        clock.now += 0.1
    clock.now += 1.0
    assert store.history("connections")[1][-1, 0] == 7.0
    assert store.history("connection_rate")[1][-1, 0] == 250.0


# events


def event(**more):
    fields = {"scope": "all", "start_s": EPOCH_S, "duration_s": 600.0, "factor": 2.0, **more}
    return Announcement(fields.pop("name", "release"), **fields)


def test_events_outlive_the_brain(tmp_path):
    path = tmp_path / "events.json"
    book = EventBook(path)
    number = book.put(event(), EPOCH_S)
    book.put(event(name="works", scope="series", series=("requests:x",)), EPOCH_S)
    again = EventBook(path)
    assert again.events == book.events
    assert len(again.events) == 2
    assert again.forget(number)
    assert not again.forget(number)
    assert [one.name for one in EventBook(path).events] == ["works"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""}, {"name": "x" * 201}, {"name": "a\0"}, {"duration_s": 0.0},
        {"duration_s": float("nan")}, {"start_s": float("inf")}, {"factor": 0.0},
        {"factor": float("inf")}, {"factor": -2.0}, {"factor": 1e9}, {"scope": "source"},
        {"scope": "demand", "source": "a"}, {"scope": "series"}, {"scope": "world"},
        {"start_s": EPOCH_S - 1e7},
    ],
)  # fmt: skip
def test_events_that_cannot_be_are_refused(wrong):
    book = EventBook(None)
    with pytest.raises(EventError):
        book.put(event(**wrong), EPOCH_S)
    assert not book.events


def test_events_are_bounded_and_forgotten_when_long_over(monkeypatch):
    book = EventBook(None)
    monkeypatch.setattr("controller.observe.series_events.EVENTS_MOST", 3)
    for at in range(3):
        book.put(event(start_s=EPOCH_S + at), EPOCH_S)
    with pytest.raises(EventError):
        book.put(event(name="more"), EPOCH_S)
    assert EVENTS_MOST == 1000
    assert book.put(event(name="later", start_s=EPOCH_S + 9e5), EPOCH_S + 8e5)
    assert book.counts["over"] == 3


@pytest.mark.parametrize("content", ["", "{", "[]", '{"events": [{"name": "x"}]}', '{"events": 3}'])
def test_a_damaged_file_of_events_is_counted(tmp_path, content):
    path = tmp_path / "events.json"
    path.write_text(content)
    book = EventBook(path)
    assert book.counts == {"damaged": 1}
    assert not book.events


def test_a_file_of_planned_events_is_read(tmp_path):
    path = tmp_path / "planned.json"
    save_events((PlannedEvent("x", "source", 100, 300, 2.0, "a"),), path)
    assert list(planned(path)) == [Announcement("x", "source", 100.0, 300.0, 2.0, "a")]
    path.write_text("nonsense")
    with pytest.raises(ConfigError):
        planned(path)

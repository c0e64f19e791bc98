"""Planned events in made-up traffic: what they touch, what they leave alone, who can be told."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest

from headers.files import FileError, Link, Node, Topology
from models import generate_matrices
from models.datasets import (
    PlannedEvent,
    event_factors,
    load_events,
    plan_events,
    save_events,
    with_events,
)

NODES = tuple(f"n{i}" for i in range(4))


def made(events=(), seed=1):
    nodes = tuple(Node(name) for name in NODES)
    links = tuple(Link(a, b, 1000.0) for a in NODES for b in NODES if a != b)
    return generate_matrices(Topology("four", nodes, links), 20, 300, seed, events=events)


def event(scope, source="", destination="", start=1500, last=900, factor=3.0):
    return PlannedEvent("release", scope, start, last, factor, source, destination)


def test_traffic_without_events_is_what_it_always_was():
    # the sum as the generator gave it before events were thought of, to its last digits
    digits = np.round(made().tm_mbps, 6).tobytes()
    assert (
        hashlib.sha256(digits).hexdigest()
        == "426808cac286844f7465b109ef0b7c83ecbceb67dce8593502b31a492ca01c45"
    )


@pytest.mark.parametrize(
    ("one", "where"),
    [
        (event("all"), np.s_[:, :]),
        (event("source", "n1"), np.s_[1, :]),
        (event("destination", "", "n2"), np.s_[:, 2]),
        (event("demand", "n1", "n2"), np.s_[1, 2]),
    ],
)
def test_an_event_touches_its_scope_while_it_lasts_and_nothing_else(one, where):
    plain, with_it = made().tm_mbps, made((one,)).tm_mbps
    expected = plain.copy()
    expected[(slice(5, 8), *where)] *= 3.0
    np.testing.assert_allclose(with_it, expected, rtol=1e-12)
    np.testing.assert_array_equal(with_it[:5], plain[:5])
    np.testing.assert_array_equal(with_it[8:], plain[8:])


def test_events_add_up_as_factors_and_are_known_before_they_happen():
    events = (event("all", factor=2.0), event("source", "n0", factor=0.5))
    future = np.array([0, 1500, 90_000])
    factors = event_factors(events, NODES, future)
    assert factors[:, 0, 1].tolist() == [1.0, 1.0, 1.0]
    assert factors[:, 1, 0].tolist() == [1.0, 2.0, 1.0]


def test_events_are_drawn_by_seed_within_the_times():
    time_s = made().time_s
    one, same, other = (plan_events(NODES, time_s, 8, seed) for seed in (1, 1, 2))
    assert one == same != other
    assert {each.scope for each in one} == {"all", "source", "destination", "demand"}
    assert all(time_s[0] <= each.start_s <= time_s[-1] for each in one)
    assert all("synthetic" in each.name for each in one)
    with_events(made(), one)


def test_events_survive_their_file(tmp_path):
    events = plan_events(NODES, made().time_s, 5, 3)
    save_events(events, tmp_path / "e.json")
    assert load_events(tmp_path / "e.json") == events
    assert [one.name for one in tmp_path.iterdir()] == ["e.json"]


@pytest.mark.parametrize(
    "wrong",
    [
        event("source", "xx"),
        event("destination", "n1"),
        event("demand", "n1"),
        event("all", last=0),
        event("all", factor=0.0),
        event("all", factor=float("inf")),
    ],
)
def test_events_that_cannot_happen_are_refused(wrong):
    with pytest.raises(ValueError, match="event 'release'"):
        made((wrong,))


def test_events_do_not_go_into_measured_traffic():
    measured = dataclasses.replace(made(), synthetic=False)
    assert with_events(measured, ()) is measured
    with pytest.raises(ValueError, match="measured"):
        with_events(measured, (event("all"),))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda c: c.update(version=2), "another version"),
        (lambda c: c.update(events=3), "no list"),
        (lambda c: c["events"][0].pop("name"), "event 0: an event has the fields"),
        (lambda c: c["events"][0].update(factor="x"), "factor is 'x'"),
        (lambda c: c["events"][0].update(start_s=True), "start_s is True"),
        (lambda c: c["events"][0].update(scope="moon"), "scope 'moon'"),
    ],
)
def test_bad_files_of_events_are_named(tmp_path, change, complaint):
    path = tmp_path / "e.json"
    save_events((event("all"),), path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(FileError, match=complaint):
        load_events(path)
    with pytest.raises(FileError, match="No such file"):
        load_events(tmp_path / "gone.json")
    path.write_text("{")
    with pytest.raises(FileError, match="not JSON"):
        load_events(path)

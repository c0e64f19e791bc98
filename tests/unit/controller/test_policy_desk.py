"""Policies planned, applied, rolled back and kept; services declared and withdrawn."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "decide"))

from policy_desk import PolicyRoom
from policy_nets import DB, WEB, spread

from bus import BusError
from controller.decide.policy import with_layers
from controller.errors import RequestError
from controller.layers import Global, Layers, Objectives
from controller.policies import PolicyBook, PolicyError
from controller.policies.versions import MOST, Shelf, Version, pack, unpack
from controller.state import PathConstraints, Policies

DIVERT = """
rules:
  - name: relieve
    action: divert
    at: [d]
    when: predicted > 0.3
    to: [b]
    share: 0.5
"""


class Store:
    """The bus's store in memory; it can be away."""

    def __init__(self):
        self.kept = {}
        self.away = False

    async def put(self, key, value):
        if self.away:
            raise BusError("the bus is away")
        self.kept[key] = value

    async def get(self, key):
        if self.away:
            raise BusError("the bus is away")
        return self.kept.get(key)


@pytest.fixture
async def room():
    made = PolicyRoom()
    await made.policy_book.connect(Store())
    await made.plan_now("first")
    for service in (WEB, DB):
        await made.policy_desk.declare(service)
    return made


async def test_plan_shows_what_apply_then_does_and_changes_nothing(room):
    before = room.loop.plan
    found = await room.policy_desk.plan(DIVERT)
    assert room.loop.plan is before
    assert room.policy_book.layers == Layers()
    assert [one["name"] for one in found["rules_began"]] == ["relieve"]
    # those at a and b are nearer to b anyway, and c has a database of its own
    moved = {(one["service"], one["source"]): one["after"] for one in found["services"]}
    assert set(moved) == {("web", "d"), ("web", "c"), ("db", "d")}
    assert moved["web", "d"] == {"w1": 0.125, "w2": 0.375, "w3": 0.5}
    assert found["counts"]["demands"] == 0
    assert found["version"] == 0

    version = await room.policy_desk.apply(DIVERT, author="ann", comment="evening")
    assert (version.number, version.author, version.time_s) == (1, "ann", 1000.0)
    assert room.causes[-1] == "policies of version 1 are applied"
    assert spread(room.loop.plan, "web", "d") == {"b": 0.5, "d": 0.5}
    assert room.loop.plan.ruling.layers == 1
    again = await room.policy_desk.plan(DIVERT)
    assert again["counts"]["services"] == 0
    gone = await room.policy_desk.plan("")
    assert [one["name"] for one in gone["rules_ended"]] == ["relieve"]


async def test_rollback_is_a_version_of_its_own(room):
    await room.policy_desk.apply(DIVERT, author="ann")
    await room.policy_desk.apply("", author="bob")
    back = await room.policy_desk.rollback(1, author="cat", expected=2)
    assert (back.number, back.text, back.comment) == (3, DIVERT, "back to version 1")
    assert room.policy_book.layers.rules[0].name == "relieve"
    none = await room.policy_desk.rollback(0, author="cat")
    assert (none.number, room.policy_book.layers) == (4, Layers(4))
    assert room.loop.plan.ruling.active == ()
    with pytest.raises(RequestError, match="no version 9") as error:
        await room.policy_desk.rollback(9, author="cat")
    assert error.value.missing


async def test_what_is_refused_changes_nothing(room):
    await room.policy_desk.apply(DIVERT, author="ann")
    before, plans = room.policy_book.shelf, len(room.causes)
    with pytest.raises(PolicyError, match=r"p\.yaml:1: rules\.0\.at: there is no location 'q'"):
        await room.policy_desk.apply(
            "rules: [{name: r, action: divert, at: [q]}]", author="x", name="p.yaml"
        )
    with pytest.raises(RequestError, match="version 1 is in force, not 0"):
        await room.policy_desk.apply("", author="x", expected=0)
    room.policy_book._bus.away = True
    with pytest.raises(RequestError, match="cannot be kept"):
        await room.policy_desk.apply("", author="x")
    with pytest.raises(RequestError, match="cannot be kept"):
        await room.policy_desk.declare(replace(WEB, name="other", port=81))
    assert room.policy_book.shelf == before
    assert len(room.causes) == plans
    assert room.policy_book.layers.version == 1


async def test_plan_without_a_picture_or_an_answer_is_refused(room):
    room.late = True
    with pytest.raises(RequestError, match="cannot be planned now: no plan within"):
        await room.policy_desk.plan(DIVERT)
    room.ready = False
    with pytest.raises(RequestError, match="no tick yet"):
        await room.policy_desk.plan(DIVERT)


async def test_next_brain_goes_on_with_what_was_kept(room):
    await room.policy_desk.apply(DIVERT, author="ann")
    store = room.policy_book._bus
    again = PolicyBook()
    await again.connect(store)
    assert (again.shelf, again.layers) == (room.policy_book.shelf, room.policy_book.layers)
    # a document that this program does not read leaves the one before it in force
    shelf = again.shelf.having(Version(2, "future: yes", "ann", 2000.0))
    store.kept["policies"] = pack(shelf)
    later = PolicyBook()
    await later.connect(store)
    assert (later.shelf.number, later.layers.version) == (2, 1)
    store.kept["policies"] = b"damaged"
    lost = PolicyBook()
    await lost.connect(store)
    assert (lost.shelf, lost.layers) == (Shelf(), Layers())


def test_shelf_keeps_the_last_versions_and_comes_back_as_it_was():
    shelf = Shelf().with_services((WEB, DB))
    for number in range(1, MOST + 4):
        shelf = shelf.having(Version(number, f"# {number}", "ann", float(number)))
    assert [one.number for one in shelf.versions] == list(range(4, MOST + 4))
    assert [one.name for one in shelf.services] == ["db", "web"]
    assert unpack(pack(shelf)) == shelf
    with pytest.raises(ValueError, match="damaged"):
        unpack(b"x")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": "other"}, "web has that address, protocol and port"),
        ({"address": "10.9.0.300"}, "does not appear to be"),
        ({"instances": (WEB.instances[0], WEB.instances[0])}, "same name"),
        ({"instances": (replace(WEB.instances[0], location="q"),)}, "no location 'q'"),
        ({"instances": tuple(replace(WEB.instances[0], name=f"i{n}") for n in range(257))}, "256"),
    ],
)
async def test_wrong_services_are_refused(room, change, why):
    with pytest.raises(RequestError, match=why):
        await room.policy_desk.declare(replace(WEB, **change))
    assert room.policy_desk.service("web") == WEB


async def test_service_is_withdrawn_unless_a_policy_names_it(room):
    await room.policy_desk.apply(
        "services: [{name: s, match: {services: [web]}}]", author="ann"
    )  # fmt: skip
    with pytest.raises(RequestError, match="the policy 's' is about web"):
        await room.policy_desk.withdraw("web")
    await room.policy_desk.withdraw("db")
    assert {one.service for one in room.loop.plan.services} == {"web"}
    with pytest.raises(RequestError, match="no service 'db'"):
        await room.policy_desk.withdraw("db")


def test_global_layer_is_worked_into_what_routing_takes():
    base = Policies(constraints=PathConstraints(False, ("x",), (), 50.0))
    general = Global(
        Objectives(latency=1.0, utilisation=3.0), premium=(("a", "d"),), move_limit=0.2,
        churn_price=3.0, trusted_only=True, forbidden_regions=("y",), max_latency_ms=80.0,
    )  # fmt: skip
    made = with_layers(base, Layers(1, general))
    assert made.constraints == PathConstraints(True, ("x", "y"), (), 50.0)
    assert (made.premium, made.move_limit, made.churn_price) == ((("a", "d"),), 0.2, 3.0)
    assert made.slack == pytest.approx(1.13)
    assert made.path_price == pytest.approx(100.0 / 3.0)
    assert (made.weights.latency, made.weights.money) == (2.0, 0.0)
    plain = with_layers(base, Layers(1, Global(Objectives())))
    assert (plain.slack, plain.path_price) == (1.005, 0.0)
    alone = with_layers(base, Layers(1, Global(Objectives(1.0, 0.0, 1.0))))
    assert alone.path_price == 10_000.0
    assert with_layers(base, Layers()) == base

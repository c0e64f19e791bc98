"""Operators' circuits and rules: in force when the call returns, or refused and nothing changed."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "decide"))

from request_desk import RequestDesk as Desk

from bus import BusError
from controller.act.firewall import findings
from controller.errors import RequestError
from controller.operators import OperatorBook, Wanted
from controller.state import CircuitRequest, FirewallRule, PathConstraints, Policies


async def test_circuit_on_request_is_in_the_plan_with_path_backup_and_share() -> None:
    desk = Desk()
    made = await desk.circuits.create_circuit("a", "d", ("a>c", "c>d"), name="video", share=0.5)
    assert (made.links, made.backup, made.name) == (("a>c", "c>d"), ("a>b", "b>d"), "video")
    assert desk.plan is not None
    split = next(s for s in desk.plan.splits if (s.src, s.dst) == ("a", "d"))
    assert split.buckets.count(made.spi) == 128


async def test_circuit_without_a_path_takes_the_one_that_costs_least_and_a_name_of_its_own() -> (
    None
):
    desk = Desk()
    made = await desk.circuits.create_circuit("a", "d")
    assert (made.links, made.name) == (("a>b", "b>d"), "a-d-1")
    again = await desk.circuits.create_circuit("a", "d", share=0.0)
    assert again.name == "a-d-2"


async def test_moved_circuit_gets_a_new_number_and_the_old_one_rests() -> None:
    desk = Desk()
    old = await desk.circuits.create_circuit("a", "d", ("a>b", "b>d"), name="x", reserved_bps=90.0)
    new = await desk.circuits.update_circuit("x", path=("a>c", "c>d"), reserved_bps=45.0)
    assert new.links == ("a>c", "c>d")
    assert new.spi != old.spi
    assert desk.plan is not None
    assert old.spi not in {c.spi for c in desk.plan.circuits}


async def test_reservation_does_not_count_against_the_circuit_that_has_it() -> None:
    desk = Desk()
    await desk.circuits.create_circuit("a", "d", ("a>b", "b>d"), name="x", reserved_bps=90.0)
    kept = await desk.circuits.update_circuit("x", reserved_bps=95.0)
    assert (kept.links, kept.reserved_bps) == (("a>b", "b>d"), 95.0)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"path": ("a>b", "b>x")}, "b>x is not there"),
        ({"path": ("a>b", "c>d")}, "not a way"),
        ({"reserved_bps": 101.0}, "no allowed path has more than 100|101|0.0 Mb/s are asked for"),
        ({"constraints": PathConstraints(avoid_links=("a>b", "a>c"))}, "keeps its constraints"),
        ({"share": 1.5}, "not between 0 and 1"),
        ({"name": "x" * 65}, "1 to 64"),
    ],
)
async def test_what_cannot_be_had_is_refused_with_the_reason_and_leaves_nothing(
    asked: dict[str, object], why: str
) -> None:
    desk = Desk()
    before = await desk.plan_now("first")
    with pytest.raises(RequestError, match=why):
        await desk.circuits.create_circuit("a", "d", **asked)  # type: ignore[arg-type]
    assert desk.book.wanted.circuits == ()
    assert desk.plan is not None
    assert desk.plan.circuits == before.circuits
    assert desk.plan.splits == before.splits


async def test_circuit_to_nowhere_and_a_name_twice_are_refused() -> None:
    desk = Desk()
    await desk.circuits.create_circuit("a", "d", name="x")
    with pytest.raises(RequestError, match="already"):
        await desk.circuits.create_circuit("a", "b", name="x")
    with pytest.raises(RequestError, match="not two known locations"):
        await desk.circuits.create_circuit("a", "z")
    with pytest.raises(RequestError, match="not two known locations"):
        await desk.circuits.create_circuit("a", "a")
    assert [one.name for one in desk.book.wanted.circuits] == ["x"]


async def test_refused_change_leaves_the_circuit_as_it_was() -> None:
    desk = Desk()
    await desk.circuits.create_circuit("a", "d", ("a>b", "b>d"), name="x", share=0.25)
    with pytest.raises(RequestError, match="is not there"):
        await desk.circuits.update_circuit("x", path=("a>q",))
    assert desk.circuits.find("x").path == ("a>b", "b>d")
    with pytest.raises(RequestError, match="cannot be changed"):
        await desk.circuits.update_circuit("x", src="b")
    with pytest.raises(RequestError, match="no circuit 'y'") as missing:
        await desk.circuits.update_circuit("y", share=0.5)
    assert missing.value.missing


async def test_deleted_circuit_is_gone_from_the_plan() -> None:
    desk = Desk()
    made = await desk.circuits.create_circuit("a", "d", ("a>c", "c>d"), name="x")
    await desk.circuits.delete_circuit("x")
    assert desk.plan is not None
    assert "x" not in {c.name for c in desk.plan.circuits}
    assert all(made.spi not in split.spis for split in desk.plan.splits)


async def test_rules_reach_the_plan_sorted_and_for_the_way_back() -> None:
    desk = Desk()
    await desk.circuits.create_circuit("a", "d", name="there", allow_rest=False)
    await desk.circuits.create_circuit("d", "a", name="back")
    web = FirewallRule("web", True, 10, protocol=6, destination_port=80)
    await desk.firewall.update_firewall_rule("there", web)
    await desk.firewall.update_firewall_rule(
        "there",
        FirewallRule("dns", True, 20, "10.1.0.0/16", "", 17, 0, 53, direction="both"),
    )
    assert desk.plan is not None
    by_name = {c.name: c.spi for c in desk.plan.circuits if c.name}
    filters = {one.spi: one for one in desk.plan.filters}
    there, back = filters[by_name["there"]], filters[by_name["back"]]
    assert [rule.name for rule in there.rules] == ["dns", "web"]
    assert not there.allow_rest
    (turned,) = back.rules
    assert (turned.destination, turned.source_port, turned.destination_port) == (
        "10.1.0.0/16", 53, 0,
    )  # fmt: skip
    generation = there.generation
    await desk.plan_now("again")
    again = next(one for one in desk.plan.filters if one.spi == there.spi)
    assert again.generation == generation


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (FirewallRule("r", True, source="10.0.0.0/33"), "no IPv4 prefix"),
        (FirewallRule("r", True, protocol=300), "protocol 300"),
        (FirewallRule("r", True, destination_port=80), "ports need protocol"),
        (FirewallRule("r", True, priority=1000), "priority 1000"),
        (FirewallRule("r", True, direction="up"), "direction"),
        (FirewallRule("other", True, priority=7), "has priority 7 already"),
        (FirewallRule("", True), "name"),
    ],
)
async def test_malformed_rules_are_refused_and_change_nothing(rule: FirewallRule, why: str) -> None:
    desk = Desk()
    await desk.circuits.create_circuit("a", "d", name="x")
    await desk.firewall.update_firewall_rule("x", FirewallRule("first", False, 7))
    with pytest.raises(RequestError, match=why):
        await desk.firewall.update_firewall_rule("x", rule)
    assert [one.name for one in desk.circuits.find("x").rules] == ["first"]


async def test_rule_that_is_not_there_cannot_be_deleted() -> None:
    desk = Desk()
    await desk.circuits.create_circuit("a", "d", name="x")
    with pytest.raises(RequestError, match="no rule"):
        await desk.firewall.delete_firewall_rule("x", "y")
    await desk.firewall.update_firewall_rule("x", FirewallRule("y", False))
    assert await desk.firewall.delete_firewall_rule("x", "y") == ()
    assert desk.circuits.find("x").rules == ()


def test_shadowed_redundant_and_conflicting_rules_are_found() -> None:
    rules = (
        FirewallRule("all-of-ten", False, 900, "10.0.0.0/8"),
        FirewallRule("hidden", True, 800, "10.1.0.0/16", protocol=6),
        FirewallRule("same", False, 700, "10.2.0.0/16"),
        FirewallRule("meets", True, 600, "", "192.168.0.0/16"),
        FirewallRule("apart", True, 500, "172.16.0.0/12", "198.51.100.0/24", direction="reverse"),
    )
    assert {(one.what, one.rule, one.other) for one in findings(rules)} == {
        ("shadowed", "hidden", "all-of-ten"),
        ("redundant", "same", "all-of-ten"),
        ("conflict", "meets", "all-of-ten"),
        ("conflict", "meets", "same"),
    }


class Store:
    """A key-value store that can be away."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.away = False

    async def get(self, key: str) -> bytes | None:
        return self.content.get(key)

    async def put(self, key: str, value: bytes) -> None:
        if self.away:
            raise BusError("no answer")
        self.content[key] = value


async def test_the_next_brain_takes_what_was_asked_for() -> None:
    store, book = Store(), OperatorBook()
    await book.connect(store)  # type: ignore[arg-type]
    rule = FirewallRule("web", True, protocol=6, destination_port=80)
    request = CircuitRequest("x", "a", "d", ("a>b", "b>d"), 0.5, 1e6, 3, (rule,), False,
                             PathConstraints(True, ("eu",), ("a>c",), 20.0))  # fmt: skip
    await book.change(Wanted((request,), frozen=True))
    following = OperatorBook()
    await following.connect(store)  # type: ignore[arg-type]
    assert following.wanted == Wanted((request,), frozen=True)
    assert following.wanted.into(Policies()).frozen


async def test_what_cannot_be_kept_does_not_count() -> None:
    store, book = Store(), OperatorBook()
    await book.connect(store)  # type: ignore[arg-type]
    store.away = True
    with pytest.raises(RequestError, match="cannot be kept"):
        await book.change(Wanted(frozen=True))
    assert not book.wanted.frozen


async def test_damaged_requests_are_left_out() -> None:
    store, book = Store(), OperatorBook()
    store.content["operators"] = b"\x81\xa7version\x09"
    await book.connect(store)  # type: ignore[arg-type]
    assert book.wanted == Wanted()

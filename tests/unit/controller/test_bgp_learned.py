"""What neighbours say: taken, damped, and never believed blindly."""

import ipaddress
import json
from collections import Counter
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.act.bgp import AllowList, Damping, Flaps, Learned, learned
from controller.state import ExternalPath

PEER = "10.0.1.2"


def made() -> tuple[Learned, Counter[str]]:
    counts: Counter[str] = Counter()
    ours = AllowList(("203.0.113.0/24",), {4: 24, 6: 48}).ours
    return Learned({PEER: "east"}, ours, Damping(10.0, 2.5, 1.0), counts), counts


def state(word: str) -> dict[str, Any]:
    return {"type": "state", "neighbor": {"address": {"peer": PEER}, "state": word}}


def update(announce: Any = None, withdraw: Any = None, **attributes: Any) -> dict[str, Any]:
    body = {"attribute": attributes, "announce": announce or {}, "withdraw": withdraw or {}}
    return {
        "type": "update",
        "neighbor": {"address": {"peer": PEER}, "message": {"update": body}},
    }


def route(*prefixes: str) -> dict[str, Any]:
    return {"ipv4 unicast": {PEER: [{"nlri": prefix} for prefix in prefixes]}}


def test_update_becomes_external_paths_until_withdrawn_or_the_session_ends() -> None:
    table, _ = made()
    table.take(state("up"), 0.0)
    path = {"0": {"element": "as-sequence", "value": [65010, 3356]}}
    table.take(
        update(
            route("198.51.100.0/24", "192.0.2.0/24"),
            **{"as-path": path, "med": 7, "community": [[65010, 1]], "large-community": ["1:2:3"]},
        ),
        0.0,
    )
    assert table.paths(0.0)[1] == ExternalPath(
        "198.51.100.0/24", PEER, PEER, (65010, 3356), 7, ("65010:1", "1:2:3"), "east"
    )
    table.take(update(withdraw={"ipv4 unicast": [{"nlri": "192.0.2.0/24"}]}), 0.0)
    assert [one.prefix for one in table.paths(0.0)] == ["198.51.100.0/24"]
    table.take(state("down"), 1.0)
    assert table.paths(1.0) == ()
    table.take(state("up"), 2.0)
    assert table.paths(2.0) == ()


def test_our_own_prefix_from_outside_is_counted_and_left_out() -> None:
    table, counts = made()
    table.take(state("up"), 0.0)
    table.take(update(route("203.0.113.0/24", "203.0.113.128/25", "203.0.112.0/23")), 0.0)
    assert [one.prefix for one in table.paths(0.0)] == ["203.0.112.0/23"]
    assert counts["ours_from_outside"] == 2


def test_full_table_is_cut_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "MOST_PREFIXES", 3)
    table, counts = made()
    table.take(state("up"), 0.0)
    table.take(update(route(*(f"10.{number}.0.0/16" for number in range(5)))), 0.0)
    table.take(update(route("10.0.0.0/16"), med=5), 0.0)
    assert len(table.paths(0.0)) == 3
    assert table.paths(0.0)[0].med == 5
    assert counts["too_many_prefixes"] == 2


ANYTHING = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(ANYTHING, ANYTHING, ANYTHING)
def test_damaged_messages_are_counted_and_crash_nothing(
    announce: Any, attributes: Any, whole: Any
) -> None:
    table, counts = made()
    table.take(state("up"), 0.0)
    body = {"announce": announce, "attribute": attributes}
    neighbor = {"address": {"peer": PEER}, "message": {"update": body}}
    table.take({"type": "update", "neighbor": neighbor}, 0.0)
    table.take({"type": "update", "neighbor": whole}, 0.0)
    table.take({"type": "state", "neighbor": {"address": {"peer": "10.9.9.9"}}}, 0.0)
    assert counts["unknown_neighbour"] == 1
    known = {"sessions_up", "unknown_neighbour", "damaged", "ours_from_outside"}
    assert counts.keys() <= known | {"too_many_prefixes"}
    # what was taken all the same is whole
    for one in table.paths(0.0):
        assert str(ipaddress.ip_network(one.prefix))
        assert (one.neighbour, one.location) == (PEER, "east")
        assert json.dumps(asdict(one))


def test_neighbour_that_comes_and_goes_is_not_believed_until_it_has_been_quiet() -> None:
    table, counts = made()
    for at in range(3):
        table.take(state("up"), float(at))
        table.take(state("down"), at + 0.5)
    table.take(state("up"), 3.0)
    table.take(update(route("198.51.100.0/24")), 3.0)
    assert (table.paths(3.0), table.suppressed(3.0), counts["suppressed"]) == ((), (PEER,), 1)
    # a penalty of 3 is one third after 1.6 half-lives
    assert table.paths(25.0)[0].prefix == "198.51.100.0/24"
    assert table.suppressed(25.0) == ()


def test_our_own_restart_is_no_flap_of_the_neighbours() -> None:
    table, counts = made()
    for at in range(5):
        table.take(state("up"), float(at))
        table.away(at + 0.5)
    assert table.suppressed(5.0) == ()
    assert counts["sessions_down"] == 5


@given(st.lists(st.floats(0, 100), max_size=30))
def test_penalty_stays_bounded_and_always_ends(times: list[float]) -> None:
    damping = Damping(10.0, 3.0, 1.0, 12.0)
    flaps = Flaps()
    for at in sorted(times):
        flaps = flaps.flapped(damping, at)
        assert 0 < flaps.penalty <= 12.0
    assert not flaps.now(damping, 100.0 + 10.0 * 4).suppressed

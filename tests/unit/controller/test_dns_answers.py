"""Shares to answers and back, for servers with and without weights."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.act.dns.answers import (
    counts_of,
    plain_records,
    plain_shares,
    weighted_records,
    weighted_shares,
)
from controller.act.remap import Shares, distance, normal

PLACES = ("east", "north", "west")
SHARES = st.dictionaries(st.sampled_from(PLACES), st.floats(0, 1), min_size=1).filter(
    lambda shares: sum(shares.values()) > 1e-3
)
ADDRESSES = {
    place: tuple(f"192.0.2.{10 * number + at}" for at in range(4))
    + tuple(f"2001:db8::{number}:{at}" for at in range(2))
    for number, place in enumerate(PLACES, 1)
}


@given(SHARES, st.dictionaries(st.sampled_from(PLACES), st.integers(0, 6)), st.integers(1, 12))
def test_counts_are_the_nearest_within_their_bounds(
    shares: Shares, most: dict[str, int], slots: int
) -> None:
    counts = counts_of(shares, most, slots)
    usable = normal({name: share for name, share in shares.items() if most.get(name)})
    assert bool(counts) == bool(usable)
    assert sum(counts.values()) <= slots
    assert all(0 < count <= most[name] for name, count in counts.items())
    assert counts.keys() <= usable.keys()


@pytest.mark.parametrize(
    ("east", "counts"),
    [
        (0.5, {"east": 1, "west": 1}),
        (0.75, {"east": 3, "west": 1}),
        (0.8, {"east": 4, "west": 1}),
        (0.6, {"east": 3, "west": 2}),
        (1.0, {"east": 1}),
        (0.99, {"east": 1}),
    ],
)
def test_shares_are_met_by_the_smallest_set_that_comes_nearest(
    east: float, counts: dict[str, int]
) -> None:
    assert counts_of({"east": east, "west": 1 - east}, {"east": 4, "west": 4}, 8) == counts


@given(SHARES)
def test_answers_are_declared_addresses_of_both_families_and_read_back_near(
    shares: Shares,
) -> None:
    records = plain_records(shares, ADDRESSES, 8)
    declared = {one for those in ADDRESSES.values() for one in those}
    assert {text for _, text in records} <= declared
    assert {kind for kind, _ in records} == {"A", "AAAA"}
    assert all((":" in text) == (kind == "AAAA") for kind, text in records)
    assert plain_shares(records, ADDRESSES).keys() <= normal(shares).keys()


@given(SHARES)
def test_weights_come_back_as_the_shares_they_were_made_of(shares: Shares) -> None:
    records = weighted_records(shares, ADDRESSES, "pickwhashed")
    assert len(records) == 2
    # a share is at least 1 in 1,000 per address
    assert distance(weighted_shares(records, ADDRESSES), normal(shares)) < 0.02


def test_strangers_in_an_answer_count_for_nobody() -> None:
    seen = {("A", "192.0.2.10"), ("A", "203.0.113.66"), ("TXT", "x")}
    assert plain_shares(seen, ADDRESSES) == {"east": 1.0}
    assert plain_shares((), ADDRESSES) == weighted_shares((), ADDRESSES) == {}
    assert weighted_shares({("LUA", "A \"ifportup(443, {'192.0.2.10'})\"")}, ADDRESSES) == {}

"""Discovery frames that only we can make, and what is known of links."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.southbound.discovery import LIFETIME_S, DiscoveryError, Links, build, parse

KEY = bytes(range(32))
A, B, C = (1, 2), (2, 3), (3, 4)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
def test_frame_says_where_it_left(dpid: int, port: int, sequence: int) -> None:
    assert parse(KEY, build(KEY, dpid, port, sequence)) == ((dpid, port), sequence)


def test_frame_goes_to_an_address_that_bridges_do_not_forward() -> None:
    frame = build(KEY, 1, 2, 3)
    assert frame[:6] == bytes.fromhex("0180c200000e")
    assert frame[12:14] == b"\x88\xb5"


def test_frame_padded_by_a_link_is_still_good() -> None:
    assert parse(KEY, build(KEY, 1, 2, 3) + bytes(20)) == ((1, 2), 3)


@given(st.integers(14, 14 + 25 + 15), st.integers(1, 255))
def test_frame_with_any_byte_changed_is_refused(position: int, change: int) -> None:
    frame = bytearray(build(KEY, 1, 2, 3))
    frame[position] ^= change
    with pytest.raises(DiscoveryError) as caught:
        parse(KEY, bytes(frame))
    assert caught.value.reason == ("malformed" if position < 14 + 5 else "forged")


def test_frame_of_another_domain_is_forged() -> None:
    with pytest.raises(DiscoveryError, match="forged"):
        parse(KEY, build(bytes(32), 1, 2, 3))


@given(st.binary(max_size=80))
def test_garbage_is_malformed(frame: bytes) -> None:
    with pytest.raises(DiscoveryError, match="malformed"):
        parse(KEY, frame)


@pytest.mark.parametrize("length", range(55))
def test_truncated_frame_is_malformed(length: int) -> None:
    with pytest.raises(DiscoveryError, match="malformed"):
        parse(KEY, build(KEY, 1, 2, 3)[:length])


def test_link_is_news_once() -> None:
    links = Links()
    assert links.heard(A, B, 0.0)
    assert not links.heard(A, B, 1.0)
    assert links.seen_s == {(A, B): 1.0}


def test_link_that_is_not_heard_of_is_lost_and_comes_back() -> None:
    links = Links()
    links.heard(A, B, 0.0)
    assert not links.expire(LIFETIME_S)
    assert links.expire(LIFETIME_S + 0.1)
    assert (links.seen_s, links.lost) == ({}, {(A, B)})
    assert links.heard(A, B, 10.0)
    assert links.lost == set()


@pytest.mark.parametrize("other", [(A, C), (C, B)])
def test_cable_that_moved_takes_the_place_of_what_was_there(other: tuple) -> None:  # type: ignore[type-arg]
    links = Links()
    links.heard(A, B, 0.0)
    assert links.heard(*other, 1.0)
    assert set(links.seen_s) == {other}
    assert links.lost == {(A, B)}


def test_port_that_goes_down_takes_both_directions_with_it() -> None:
    links = Links()
    for src, dst in ((A, B), (B, A), (C, (9, 9))):
        links.heard(src, dst, 0.0)
    assert links.drop_port(A)
    assert set(links.seen_s) == {(C, (9, 9))}
    assert links.lost == {(A, B), (B, A)}
    assert not links.drop_port(A)


def test_links_of_a_switch_that_disconnects_get_a_new_lease() -> None:
    links = Links()
    for src, dst in ((A, B), (B, A), (C, (9, 9))):
        links.heard(src, dst, 0.0)
    links.hold(1, 3.0)
    assert links.expire(LIFETIME_S + 1)
    assert set(links.seen_s) == {(A, B), (B, A)}

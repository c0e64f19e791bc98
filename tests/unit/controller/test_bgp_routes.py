"""Announcements: what may be made, how they are said, and what shares become."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.act.bgp import (
    AllowList,
    Announcement,
    BgpError,
    Neighbour,
    Prefix,
    announce_command,
    is_community,
    routes_of,
)
from controller.act.bgp.child import Speaking, configuration
from controller.act.bgp.routes import difference, withdraw_command
from controller.act.remap import Shares

OURS = AllowList(("203.0.113.0/24", "2001:db8::/32", "198.51.100.7/32"), {4: 25, 6: 48})
EAST = Neighbour("10.0.1.2", "10.0.1.1", 65010, "east")
WEST = Neighbour("10.0.2.2", "10.0.2.1", 65010, "west")
SIX = Neighbour("fd00::2", "fd00::1", 65010, "west")
WEB = "203.0.113.0/24"
SHARES = st.fixed_dictionaries({"east": st.floats(0, 1), "west": st.floats(0, 1)}).filter(
    lambda shares: sum(shares.values()) > 1e-3
)


@pytest.mark.parametrize("prefix", [WEB, "203.0.113.128/25", "2001:db8:1::/48", "198.51.100.7/32"])
def test_own_prefixes_pass(prefix: str) -> None:
    OURS.check(Announcement("10.0.1.2", prefix, 10, 2, ("65000:1", "65000:1:2", "no-export")))


@pytest.mark.parametrize(
    ("wanted", "kind"),
    [
        (Announcement("10.0.1.2", "0.0.0.0/0"), "not_ours"),
        (Announcement("10.0.1.2", "203.0.112.0/23"), "not_ours"),
        (Announcement("10.0.1.2", "198.51.100.0/24"), "not_ours"),
        (Announcement("10.0.1.2", "::/0"), "not_ours"),
        (Announcement("10.0.1.2", "203.0.113.0/26"), "too_specific"),
        (Announcement("10.0.1.2", "203.0.113.1/24"), "bad_route"),
        (Announcement("10.0.1.2", "203.0.113.0"), "bad_route"),
        (Announcement("10.0.1.2", "web\nshutdown"), "bad_route"),
        (Announcement("10.0.1.2\nx", WEB), "bad_route"),
        (Announcement("10.0.1.2", WEB, med=-1), "bad_route"),
        (Announcement("10.0.1.2", WEB, med=2**32), "bad_route"),
        (Announcement("10.0.1.2", WEB, prepend=17), "bad_route"),
        (Announcement("10.0.1.2", WEB, communities=("x ]; shutdown",)), "bad_route"),
        (Announcement("10.0.1.2", WEB, communities=("65536:1",)), "bad_route"),
        (Announcement("10.0.1.2", WEB, next_hop="here"), "bad_route"),
    ],
)
def test_everything_else_is_refused_with_its_kind(wanted: Announcement, kind: str) -> None:
    with pytest.raises(BgpError, match="is not announced") as caught:
        OURS.check(wanted)
    assert caught.value.kind == kind


@given(st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_no_prefix_outside_the_list_passes(address: int, length: int) -> None:
    prefix = ipaddress.ip_network((address, length), strict=False)
    inside = prefix.subnet_of(ipaddress.IPv4Network(WEB)) and length <= 25  # type: ignore[arg-type]
    try:
        OURS.check(Announcement("10.0.1.2", str(prefix)))
    except BgpError:
        assert not inside
    else:
        assert inside or str(prefix) == "198.51.100.7/32"


def test_commands_say_everything() -> None:
    route = Announcement("10.0.1.2", WEB, 10, 2, ("65000:1", "65000:1:2"))
    assert announce_command(route, 65000) == (
        "neighbor 10.0.1.2 announce route 203.0.113.0/24 next-hop self med 10"
        " as-path [ 65000 65000 65000 ] community [ 65000:1 ] large-community [ 65000:1:2 ]"
    )
    assert announce_command(Announcement("10.0.1.2", WEB), 65000) == (
        "neighbor 10.0.1.2 announce route 203.0.113.0/24 next-hop self"
    )
    assert withdraw_command(route.key).startswith("neighbor 10.0.1.2 withdraw route 203.0.113.0/24")


@given(
    st.dictionaries(st.tuples(st.just("n"), st.sampled_from("abcd")), st.sampled_from("xy")),
    st.dictionaries(st.tuples(st.just("n"), st.sampled_from("abcd")), st.sampled_from("xy")),
)
def test_saying_the_difference_makes_what_is_said_what_is_desired(
    desired: dict[tuple[str, str], str], said: dict[tuple[str, str], str]
) -> None:
    now = dict(said)
    todo = difference(desired, said)
    for key, text in todo:
        if text == withdraw_command(key):
            del now[key]
        else:
            now[key] = text
    assert now == desired
    assert len(todo) == len({key for key, _ in todo})
    assert difference(desired, now) == []


@given(SHARES, st.sampled_from(("med", "prepend")), st.integers(0, 3), st.booleans())
def test_larger_share_is_never_announced_worse(
    shares: Shares, how: str, bits: int, withdraw: bool
) -> None:
    declared = Prefix("web", WEB, how, split_bits=bits, withdraw_at_zero=withdraw)
    routes = routes_of(shares, declared, (EAST, WEST, SIX))
    whole = {one.neighbour: one.med or one.prepend for one in routes if one.prefix == WEB}
    assert SIX.address not in whole
    if len(whole) == 2:
        east, west = whole[EAST.address], whole[WEST.address]
        assert (east <= west) if shares["east"] >= shares["west"] else (east >= west)
    assert len({one.key for one in routes}) == len(routes)
    # each part prefers one location, in proportion
    parts = {one.prefix for one in routes} - {WEB}
    assert len(parts) == (2**bits if bits else 0)
    if bits and len(whole) == 2:
        best = {part: min((o for o in routes if o.prefix == part),
                key=lambda o: o.med or o.prepend).neighbour for part in parts}  # fmt: skip
        east_parts = sum(one == EAST.address for one in best.values()) / len(parts)
        assert abs(east_parts - shares["east"] / sum(shares.values())) <= 0.5 / len(parts) + 1e-6


def test_share_where_no_neighbour_is_cannot_be_announced() -> None:
    with pytest.raises(BgpError, match="north"):
        routes_of({"north": 1.0}, Prefix("web", WEB), (EAST, WEST))
    with pytest.raises(BgpError, match="any location"):
        routes_of({}, Prefix("web", WEB), (EAST, WEST))
    with pytest.raises(BgpError, match="east"):
        routes_of({"east": 1.0}, Prefix("web", "2001:db8::/48"), (EAST, SIX))


@pytest.mark.parametrize(
    "text", ["", "65000", "65000:1:2:3", "a:b", "-1:1", "1:65536", "no_export"]
)
def test_what_is_no_community_is_none(text: str) -> None:
    assert not is_community(text)


def test_configuration_holds_a_password_only_where_there_is_one(tmp_path: object) -> None:
    from pathlib import Path

    spoken = Speaking(65000, "10.0.1.1", (EAST, Neighbour("fd00::2", "fd00::1", 1, "x", 9, "pw")))
    text = configuration(spoken, Path("/run/x y/bgp.sock"))
    assert text.count("md5-password") == 1
    assert "family { ipv6 unicast; }" in text
    assert "'/run/x y/bgp.sock' hold 10.0" in text
    assert "graceful-restart" not in text
    assert "pw" not in repr(spoken)

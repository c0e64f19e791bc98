"""Announcements as values, the check of what is ours, and what to say for them to be in force."""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from controller.act.bgp.errors import BgpError
from headers.prefixes import Network, within

Key = tuple[str, str]
"""A neighbour's address and a prefix: one announcement at most is in force for it."""

MED_MOST = 2**32 - 1
PREPEND_MOST = 16
KNOWN_COMMUNITIES = ("no-export", "no-advertise", "blackhole")

_COMMUNITY = re.compile(r"\d{1,5}:\d{1,5}")
_LARGE = re.compile(r"\d{1,10}:\d{1,10}:\d{1,10}")


@dataclass(frozen=True, slots=True)
class Announcement:
    """A prefix as one neighbour is to hear it.

    ``prepend``: how often our own number stands on the path besides the once that it must.
    ``communities``: as ``65000:1``, ``65000:1:2`` or a well-known name.
    """

    neighbour: str
    prefix: str
    med: int | None = None
    prepend: int = 0
    communities: tuple[str, ...] = ()
    next_hop: str = "self"

    @property
    def key(self) -> Key:
        """What there can be one of only."""
        return self.neighbour, self.prefix


def is_community(text: str) -> bool:
    """Return whether a text is a community."""
    if text in KNOWN_COMMUNITIES:
        return True
    if _COMMUNITY.fullmatch(text):
        return all(int(part) < 2**16 for part in text.split(":"))
    return bool(_LARGE.fullmatch(text)) and all(int(part) < 2**32 for part in text.split(":"))


class AllowList:
    """The prefixes that are ours to announce, and how finely they may be cut.

    ``longest``: the longest prefix, by IP version.
    """

    def __init__(self, prefixes: Iterable[str], longest: Mapping[int, int]) -> None:
        self._ours = tuple(ipaddress.ip_network(prefix) for prefix in prefixes)
        self._longest = longest

    def check(self, wanted: Announcement) -> None:
        """Let an announcement pass, or say why it must not be made.

        Raises:
            BgpError: the prefix is not ours, too long, or an attribute is not allowed.
        """
        try:
            prefix = ipaddress.ip_network(wanted.prefix)
            ipaddress.ip_address(wanted.neighbour)
            if wanted.next_hop != "self":
                ipaddress.ip_address(wanted.next_hop)
        except ValueError as error:
            raise BgpError("bad_route", f"{wanted.prefix} is not announced: {error}") from error
        if str(prefix) != wanted.prefix:
            raise BgpError("bad_route", f"{wanted.prefix} is not announced: write {prefix}")
        if not self.ours(prefix):
            listed = ", ".join(map(str, self._ours)) or "none"
            raise BgpError(
                "not_ours", f"{prefix} is not announced: it is not within our prefixes ({listed})"
            )
        longest = self._longest[prefix.version]
        if prefix.prefixlen > longest and prefix not in self._ours:
            raise BgpError(
                "too_specific", f"{prefix} is not announced: it is longer than /{longest}"
            )
        if wanted.med is not None and not 0 <= wanted.med <= MED_MOST:
            raise BgpError("bad_route", f"{prefix} is not announced: its MED is {wanted.med}")
        if not 0 <= wanted.prepend <= PREPEND_MOST:
            raise BgpError("bad_route", f"{prefix} is not announced: {wanted.prepend} prepended")
        for community in wanted.communities:
            if not is_community(community):
                raise BgpError("bad_route", f"{prefix} is not announced: community {community!r}")

    def ours(self, prefix: Network) -> bool:
        """Return whether a prefix lies within one of ours."""
        return any(within(prefix, own) for own in self._ours)


def announce_command(wanted: Announcement, local_as: int) -> str:
    """Return what the speaker is told to announce this."""
    words = [f"neighbor {wanted.neighbour} announce route {wanted.prefix}"]
    words.append(f"next-hop {wanted.next_hop}")
    if wanted.med is not None:
        words.append(f"med {wanted.med}")
    if wanted.prepend:
        words.append(f"as-path [ {' '.join([str(local_as)] * (wanted.prepend + 1))} ]")
    for kind, large in (("community", False), ("large-community", True)):
        own = [one for one in wanted.communities if bool(_LARGE.fullmatch(one)) is large]
        if own:
            words.append(f"{kind} [ {' '.join(own)} ]")
    return " ".join(words)


def withdraw_command(key: Key) -> str:
    """Return what the speaker is told to withdraw this."""
    neighbour, prefix = key
    return f"neighbor {neighbour} withdraw route {prefix} next-hop self"


def difference(desired: Mapping[Key, str], said: Mapping[Key, str]) -> list[tuple[Key, str]]:
    """Return what to say, in order, for the desired commands to be those in force.

    What is new comes first: a more specific prefix is there before the one it replaces goes.
    """
    news = [(key, text) for key, text in desired.items() if said.get(key) != text]
    gone = [(key, withdraw_command(key)) for key in said if key not in desired]
    return [*news, *gone]

"""A service's prefix as a channel: shares become MEDs, prepending, and more-specific prefixes."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controller.act.bgp.child import Neighbour
from controller.act.bgp.errors import BgpError
from controller.act.bgp.routes import Announcement
from controller.act.bgp.speaker import Speaker
from controller.act.remap import Shares, normal


@dataclass(frozen=True, slots=True)
class Prefix:
    """A declared prefix of a service, and how it tells neighbours which way is better.

    ``how``: ``med`` (one neighbouring network, several ways in) or ``prepend`` (several networks).
    The location with the largest share gets ``med`` and no prepending, one without any share
    ``med + med_spread`` or ``prepend_most``, the others one of ``levels`` in between.
    ``split_bits``: the prefix is announced as a whole and in 2**split_bits parts, each of which
    prefers one location, so that shares are met in parts of the address space.
    ``withdraw_at_zero``: locations without any share do not announce at all.
    """

    service: str
    prefix: str
    how: str = "med"
    med: int = 100
    med_spread: int = 100
    prepend_most: int = 4
    levels: int = 4
    split_bits: int = 0
    withdraw_at_zero: bool = False
    communities: tuple[str, ...] = ()


def routes_of(
    shares: Shares, declared: Prefix, neighbours: Sequence[Neighbour]
) -> tuple[Announcement, ...]:
    """Return what each neighbour is to hear for shares to be met as nearly as BGP can.

    Raises:
        BgpError: a location that is to have a share has no neighbour of the prefix's family.
    """
    wanted = normal(shares)
    whole = ipaddress.ip_network(declared.prefix)
    own = [one for one in neighbours if (one.family == "ipv6") is (whole.version == 6)]
    places = {one.location for one in own}
    lost = wanted.keys() - places
    if lost or not wanted:
        raise BgpError(
            "no_neighbour",
            f"{whole}: no neighbour is attached at {', '.join(sorted(lost)) or 'any location'}",
        )
    routes = [
        _route(one, str(whole), declared, wanted.get(one.location, 0.0) / max(wanted.values()))
        for one in own
        if wanted.get(one.location) or not declared.withdraw_at_zero
    ]
    if declared.split_bits:
        for part, place in _parts(wanted, whole, declared.split_bits).items():
            routes += [
                _route(one, part, declared, 1.0 if one.location == place else 0.0)
                for one in own
                if wanted.get(one.location) or not declared.withdraw_at_zero
            ]
    return tuple(routes)


def _route(to: Neighbour, prefix: str, declared: Prefix, good: float) -> Announcement:
    """Return an announcement as good as ``good``, from 0 to 1."""
    level = round((1.0 - good) * declared.levels) / declared.levels
    if declared.how == "med":
        med = declared.med + round(level * declared.med_spread)
        return Announcement(to.address, prefix, med, 0, declared.communities)
    prepend = round(level * declared.prepend_most)
    return Announcement(to.address, prefix, None, prepend, declared.communities)


def _parts(
    wanted: Shares, whole: ipaddress.IPv4Network | ipaddress.IPv6Network, bits: int
) -> Mapping[str, str]:
    """Return which location each part of a prefix prefers: by rounded running sums of shares.

    When shares change, only the parts at the borders between locations change hands.
    """
    parts = [str(one) for one in whole.subnets(prefixlen_diff=bits)]
    chosen: dict[str, str] = {}
    reached, at = 0.0, 0
    for place, share in wanted.items():
        reached += share
        end = round(reached * len(parts))
        for part in parts[at:end]:
            chosen[part] = place
        at = end
    return chosen


class BgpChannel:
    """One prefix through one speaker."""

    grain = 0.0

    def __init__(self, declared: Prefix, neighbours: Sequence[Neighbour], speaker: Speaker) -> None:
        self.name = f"prefix {declared.prefix}"
        self.declared = declared
        self._neighbours = neighbours
        self._speaker = speaker
        self._asked: Shares = {}

    async def apply(self, shares: Shares) -> None:
        """Announce what the shares say.

        Raises:
            BgpError: something must not or cannot be announced.
        """
        wanted = normal(shares)
        self._asked = {}
        try:
            routes = routes_of(wanted, self.declared, self._neighbours)
        except BgpError as error:
            self._speaker.count(error)
            raise
        await self._speaker.announce(self.declared.service, routes)
        self._asked = wanted

    async def read(self) -> Shares:
        """Return the shares that are announced; nothing where no session is up.

        They are what was asked for, though BGP knows only better and worse.
        """
        if not self._speaker.holds(self.declared.service) or not self._speaker.up:
            return {}
        return self._asked

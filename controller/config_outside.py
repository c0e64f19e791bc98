"""The configuration of names and prefixes, and of shifts by them; see docs/dns.md, docs/bgp.md."""

import ipaddress
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from controller.act.bgp.routes import AllowList, is_community

_FROZEN = ConfigDict(frozen=True, extra="forbid")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_NAME = r"^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)+$"

Domain = Annotated[str, Field(pattern=_NAME, max_length=254)]
"""An absolute name, with its dot at the end."""


def _address(value: str) -> str:
    return str(ipaddress.ip_address(value))


def _once(names: list[str], what: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{what} {twice[0]} is there more than once")


class Shifting(BaseModel):
    """How the remapping agent shifts; see controller.act.remap.Ramp and Care for each."""

    model_config = _FROZEN

    step: float = Field(0.25, gt=0, le=1)
    interval_s: float = Field(5.0, gt=0, le=3600)
    retries: int = Field(3, ge=0, le=20)
    least: float = Field(0.02, gt=0, le=1)
    hold_off_s: float = Field(60.0, ge=0)
    slack: float = Field(0.05, ge=0, le=1)
    verify_s: float = Field(30.0, ge=0.1)


class DnsServer(BaseModel):
    """One server of one zone.

    ``driver``: ``rfc2136`` (``address``, ``port``; ``key_file`` as tsig-keygen writes it) or
    ``powerdns`` (``url``; ``key_file`` holds the API's key). ``records``: addresses in an answer at
    most, without weights. ``how``: PowerDNS' function. ``timeout_s``: for one exchange.
    """

    model_config = _FROZEN

    name: str = Field(min_length=1)
    driver: Literal["rfc2136", "powerdns"] = "rfc2136"
    zone: Domain
    key_file: Path
    address: str | None = None
    port: int = Field(53, ge=1, le=65535)
    url: str | None = None
    how: Literal["pickwhashed", "pickwrandom"] = "pickwhashed"
    records: int = Field(8, ge=1, le=64)
    timeout_s: float = Field(2.0, gt=0, le=30)

    @field_validator("address")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        return None if value is None else _address(value)

    @field_validator("url")
    @classmethod
    def _not_in_the_clear(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{value!r} is no http or https address")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise ValueError(f"the key would go to {parts.hostname} in the clear: use https")
        return value

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.driver == "rfc2136" and self.address is None:
            raise ValueError("the driver rfc2136 needs an address")
        if self.driver == "powerdns" and self.url is None:
            raise ValueError("the driver powerdns needs a url")
        return self


class DnsName(BaseModel):
    """A service's name. ``addresses``: by location; ``servers``: all of its zone, if none is named.

    ``rest``: shares per location that are put back on loss; without it the addresses are removed.
    """

    model_config = _FROZEN

    service: str = Field(min_length=1)
    name: Domain
    addresses: dict[str, tuple[str, ...]] = Field(min_length=1)
    servers: tuple[str, ...] = ()
    ttl_s: int = Field(10, ge=0, le=86_400)
    rest: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)

    @field_validator("addresses")
    @classmethod
    def _are_addresses(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        found = {place: tuple(_address(one) for one in those) for place, those in value.items()}
        empty = [place for place, those in found.items() if not those]
        if empty:
            raise ValueError(f"{empty[0]} has no address")
        _once([one for those in found.values() for one in those], "address")
        return found

    @model_validator(mode="after")
    def _rests_somewhere(self) -> Self:
        strangers = self.rest.keys() - self.addresses.keys()
        if strangers:
            raise ValueError(f"rest: {min(strangers)} has no address")
        if self.rest and sum(self.rest.values()) <= 0:
            raise ValueError("rest: all shares are 0")
        return self


class Dns(BaseModel):
    """Names that follow plans; none, so nothing is done, unless declared.

    ``on_loss``: what becomes of the answers when the brain goes away: they are held, or after
    ``loss_s`` withdrawn.
    """

    model_config = _FROZEN

    servers: tuple[DnsServer, ...] = ()
    names: tuple[DnsName, ...] = ()
    on_loss: Literal["hold", "withdraw"] = "hold"
    loss_s: float = Field(10.0, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _once([one.name for one in self.servers], "server")
        _once([one.name.lower() for one in self.names], "name")
        zones = {one.name: one.zone for one in self.servers}
        for name in self.names:
            unknown = set(name.servers) - zones.keys()
            if unknown:
                raise ValueError(f"{name.name}: there is no server {min(unknown)!r}")
            for server in name.servers:
                if not _below(name.name, zones[server]):
                    raise ValueError(f"{name.name} is not below {zones[server]} of {server}")
            if not self.servers_of(name):
                raise ValueError(f"{name.name} is in no server's zone")
        return self

    def servers_of(self, name: DnsName) -> tuple[DnsServer, ...]:
        """Return the servers that hold a name."""
        if name.servers:
            return tuple(one for one in self.servers if one.name in name.servers)
        return tuple(one for one in self.servers if _below(name.name, one.zone))


def _below(name: str, zone: str) -> bool:
    return f".{name.lower()}".endswith(f".{zone.lower()}")


class BgpNeighbour(BaseModel):
    """A router of a neighbouring network; see controller.act.bgp.Neighbour."""

    model_config = _FROZEN

    address: str
    local_address: str
    peer_as: int = Field(ge=1, lt=2**32)
    location: str = Field(min_length=1)
    hold_time_s: int = Field(9, ge=3, le=65535)
    password_file: Path | None = None

    @field_validator("address", "local_address")
    @classmethod
    def _is_address(cls, value: str) -> str:
        return _address(value)


class BgpPrefix(BaseModel):
    """A service's prefix; see controller.act.bgp.Prefix for each."""

    model_config = _FROZEN

    service: str = Field(min_length=1)
    prefix: str
    how: Literal["med", "prepend"] = "med"
    med: int = Field(100, ge=0, lt=2**31)
    med_spread: int = Field(100, ge=1, lt=2**31)
    prepend_most: int = Field(4, ge=1, le=16)
    levels: int = Field(4, ge=1, le=64)
    split_bits: int = Field(0, ge=0, le=6)
    withdraw_at_zero: bool = False
    communities: tuple[str, ...] = ()

    @field_validator("prefix")
    @classmethod
    def _is_prefix(cls, value: str) -> str:
        return str(ipaddress.ip_network(value))

    @field_validator("communities")
    @classmethod
    def _are_communities(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [one for one in value if not is_community(one)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no community")
        return value


class Bgp(BaseModel):
    """Announcements; none, so no speaker is started, unless neighbours are declared.

    ``allow``: the prefixes that are ours; nothing else is ever announced. ``longest_v4``,
    ``longest_v6``: how finely they may be cut. ``on_loss``: what becomes of the routes when the
    brain goes away: they are held, or after ``loss_s`` withdrawn. ``graceful_restart_s``: for how
    long neighbours keep them while the speaker is away. ``half_life_s``, ``suppress``, ``reuse``:
    of damping, in flaps.
    """

    model_config = _FROZEN

    local_as: int = Field(65000, ge=1, lt=2**32)
    router_id: str = "192.0.2.1"
    allow: tuple[str, ...] = ()
    longest_v4: int = Field(24, ge=1, le=32)
    longest_v6: int = Field(48, ge=1, le=128)
    neighbours: tuple[BgpNeighbour, ...] = ()
    prefixes: tuple[BgpPrefix, ...] = ()
    on_loss: Literal["hold", "withdraw"] = "hold"
    loss_s: float = Field(10.0, ge=0)
    graceful_restart_s: int = Field(0, ge=0, le=4095)
    half_life_s: float = Field(60.0, gt=0)
    suppress: float = Field(3.0, gt=0)
    reuse: float = Field(1.0, gt=0)

    @field_validator("router_id")
    @classmethod
    def _is_router_id(cls, value: str) -> str:
        return str(ipaddress.IPv4Address(value))

    @field_validator("allow")
    @classmethod
    def _are_prefixes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ipaddress.ip_network(one)) for one in value)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _once([one.address for one in self.neighbours], "neighbour")
        _once([one.prefix for one in self.prefixes], "prefix")
        _once([one.service for one in self.prefixes], "service")
        if self.prefixes and not self.neighbours:
            raise ValueError("prefixes need neighbours to be announced to")
        if self.reuse >= self.suppress:
            raise ValueError("reuse must be below suppress")
        ours = AllowList(self.allow, {4: self.longest_v4, 6: self.longest_v6})
        for one in self.prefixes:
            prefix = ipaddress.ip_network(one.prefix)
            if not ours.ours(prefix):
                raise ValueError(f"{prefix} is not within what allow holds")
            longest = self.longest_v4 if prefix.version == 4 else self.longest_v6
            if one.split_bits and prefix.prefixlen + one.split_bits > longest:
                raise ValueError(f"the parts of {prefix} are longer than /{longest}")
        return self

"""A service's name as a channel: the same shares on every server that holds it."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import dns.name

from controller.act.dns.answers import Addresses
from controller.act.dns.errors import PASSING, DnsError
from controller.act.dns.server import Held, NameServer
from controller.act.remap import Shares, distance, normal

LOG = logging.getLogger("foresteer.dns")
CONFLICTS = 3
"""How often in one change somebody else may have been faster."""

RETRY_S = (0.1, 0.4)
"""How long to wait before an exchange that may work now is tried again."""


Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Name:
    """A declared name: the only one that its channel ever touches.

    ``addresses``: by location, the only ones ever put there. ``ttl_s``: how long resolvers keep it.
    """

    service: str
    name: str
    addresses: Addresses
    ttl_s: int


class DnsChannel:
    """One name on one or more servers."""

    grain = 0.0

    def __init__(
        self,
        declared: Name,
        servers: Sequence[NameServer],
        counts: Counter[str],
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = f"name {declared.name}"
        self.declared = declared
        self._servers = servers
        self._counts = counts
        self._pause = pause
        self._seen: dict[str, Held] = {}
        self._asked: Shares = {}
        for server in servers:
            if not within(declared.name, server.zone):
                raise DnsError("outside", f"{declared.name} is not below {server.zone}")

    async def apply(self, shares: Shares) -> None:
        """Bring every server to the shares, then read back.

        Raises:
            DnsError: of the first server that does not hold them; the others may.
        """
        wanted = normal(shares)
        strangers = wanted.keys() - {name for name, own in self.declared.addresses.items() if own}
        if not wanted or strangers:
            self._counts["outside"] += 1
            raise DnsError(
                "outside",
                f"{self.name}: {', '.join(sorted(strangers)) or 'nothing'} has no address",
            )
        self._asked = wanted
        done = await asyncio.gather(
            *(self._bring(server, wanted) for server in self._servers), return_exceptions=True
        )
        for error in done:
            if isinstance(error, DnsError):
                self._counts[error.kind] += 1
        for error in done:
            if isinstance(error, BaseException):
                raise error

    async def read(self) -> Shares:
        """Return the shares that the server farthest from what was asked for gives out.

        Raises:
            DnsError: one cannot be read.
        """
        found = await asyncio.gather(*(self._shares(server) for server in self._servers))
        return max(found, key=lambda shares: distance(shares, self._asked), default={})

    async def withdraw(self, rest: Shares) -> None:
        """Put the resting answer back: these shares, or no address at all where there are none."""
        if rest:
            await self.apply(rest)
            return
        for server in self._servers:
            await self._swap(server, frozenset())

    async def _shares(self, server: NameServer) -> Shares:
        held = await self._again(partial(server.read, self.declared.name))
        self._seen[server.name] = held
        if self._asked and held == server.render(self._asked, self.declared.addresses):
            return self._asked
        return server.shares(held, self.declared.addresses)

    async def _bring(self, server: NameServer, shares: Shares) -> None:
        await self._swap(server, server.render(shares, self.declared.addresses))

    async def _swap(self, server: NameServer, wanted: Held) -> None:
        name = self.declared.name
        for _ in range(CONFLICTS):
            seen = self._seen.get(server.name)
            if seen is None:
                seen = await self._again(partial(server.read, name))
            try:
                if seen != wanted:
                    change = partial(server.swap, name, seen, wanted, self.declared.ttl_s)
                    await self._again(change)
                    self._counts["changes"] += 1
            except DnsError as error:
                self._seen.pop(server.name, None)
                if error.kind != "prerequisite":
                    raise
                # somebody else changed it, or our own change was taken and its answer lost
                self._counts["conflicts"] += 1
                LOG.warning("%s; it is read again", error)
                continue
            held = await self._again(partial(server.read, name))
            self._seen[server.name] = held
            if held == wanted:
                return
            self._counts["read_back"] += 1
            LOG.warning("%s on %s is not what was put there", name, server.name)
        raise DnsError("mismatch", f"{name} on {server.name}: others change it all the time")

    async def _again(self, exchange: Callable[[], Awaitable[Result]]) -> Result:
        """Do one exchange; what may be over soon is tried again, a few times."""
        for pause_s in RETRY_S:
            try:
                return await exchange()
            except DnsError as error:
                if error.kind not in PASSING:
                    raise
                self._counts["retries"] += 1
                await self._pause(pause_s)
        return await exchange()


def within(name: str, zone: str) -> bool:
    """Return whether a name lies in a zone."""
    return dns.name.from_text(name).is_subdomain(dns.name.from_text(zone))

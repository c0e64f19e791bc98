"""What a channel needs of a name server, whatever kind it is."""

from typing import Protocol

from controller.act.dns.answers import Addresses, Record
from controller.act.remap import Shares

Held = frozenset[Record]
"""The records of one name that shares are made of; empty where there are none."""


class NameServer(Protocol):
    """One server and one zone."""

    name: str
    zone: str

    def render(self, shares: Shares, addresses: Addresses) -> Held:
        """Return the records that realise shares as nearly as this server can."""

    def shares(self, held: Held, addresses: Addresses) -> Shares:
        """Return the shares that records stand for."""

    async def read(self, name: str) -> Held:
        """Return what the server itself holds for a name.

        Raises:
            DnsError: it cannot be read.
        """

    async def swap(self, name: str, seen: Held, wanted: Held, ttl_s: int) -> None:
        """Replace what was seen by what is wanted, whole or not at all.

        Raises:
            DnsError: of kind ``prerequisite`` where the server holds something else than was seen.
        """

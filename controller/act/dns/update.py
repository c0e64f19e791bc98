"""Dynamic updates (RFC 2136) with transaction signatures (RFC 8945), for BIND and its like."""

import asyncio
from functools import lru_cache

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tsig
import dns.update

from controller.act.dns.answers import Addresses, Record, plain_records, plain_shares
from controller.act.dns.errors import DnsError
from controller.act.dns.keys import TsigKey
from controller.act.dns.server import Held
from controller.act.remap import Shares

KINDS = ("A", "AAAA")
UDP_RECORDS = 24
"""Updates with more go over TCP: a message must fit into 1,232 bytes (40 per IPv6 address)."""

_PREREQUISITES = (
    dns.rcode.NXRRSET,
    dns.rcode.YXRRSET,
    dns.rcode.NXDOMAIN,
    dns.rcode.YXDOMAIN,
)
_KIND = {
    dns.rcode.REFUSED: (
        "refused",
        "the server refuses it: is the key allowed to change this name?",
    ),
    dns.rcode.NOTAUTH: ("not_authoritative", "the server is not the zone's primary"),
    dns.rcode.NOTZONE: ("no_zone", "the server does not count the name to the zone"),
    dns.rcode.SERVFAIL: ("server", "the server failed"),
    dns.rcode.NOTIMP: ("server", "the server takes no updates"),
    dns.rcode.FORMERR: ("server", "the server does not understand the message"),
}


class Rfc2136Server:
    """A primary server of one zone; every message is signed, every answer's signature checked.

    ``slots``: addresses in a set at most. ``timeout_s``: for one exchange.
    """

    def __init__(
        self,
        name: str,
        zone: str,
        key: TsigKey,
        *,
        address: str,
        port: int = 53,
        timeout_s: float = 2.0,
        slots: int = 8,
    ) -> None:
        self.name = name
        self.zone = zone
        self._origin = dns.name.from_text(zone)
        self._ring = key.ring()
        self._key_name = dns.name.from_text(key.name)
        self._address, self._port, self._timeout_s = address, port, timeout_s
        self._slots = slots

    def render(self, shares: Shares, addresses: Addresses) -> Held:
        """Return the addresses that come nearest to the shares."""
        return plain_records(shares, addresses, self._slots)

    def shares(self, held: Held, addresses: Addresses) -> Shares:
        """Return the shares that the addresses stand for."""
        return plain_shares(held, addresses)

    async def read(self, name: str) -> Held:
        """Return the name's addresses, asked of the primary itself.

        Raises:
            DnsError: no answer, an unsigned one, or one without authority.
        """
        answers = await asyncio.gather(*(self._ask(name, kind) for kind in KINDS))
        return frozenset(record for found in answers for record in found)

    async def swap(self, name: str, seen: Held, wanted: Held, ttl_s: int) -> None:
        """Replace the name's addresses in one message, if they still are what was seen.

        Raises:
            DnsError: they are not (``prerequisite``), or whatever else went wrong.
        """
        update = dns.update.UpdateMessage(self._origin)
        owner = dns.name.from_text(name)
        for kind in KINDS:
            before, after = _texts(seen, kind), _texts(wanted, kind)
            if before:
                update.present(owner, *_rdatas(before, kind))
            else:
                update.absent(owner, kind)
            if before == after:
                continue
            update.delete(owner, kind)
            if after:
                update.add(owner, ttl_s, *_rdatas(after, kind))
        reply = await self._exchange(update)
        code = reply.rcode()
        if code in _PREREQUISITES:
            raise DnsError("prerequisite", f"{self._who()}: {name} is not what was last seen")
        if code != dns.rcode.NOERROR:
            raise self._error(code)

    async def _ask(self, name: str, kind: str) -> list[Record]:
        query = dns.message.make_query(name, kind)
        query.flags &= ~dns.flags.RD
        reply = await self._exchange(query)
        if reply.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise self._error(reply.rcode())
        if not reply.flags & dns.flags.AA:
            raise DnsError("no_zone", f"{self._who()} has no authority: is the zone loaded?")
        owner = dns.name.from_text(name)
        return [
            (kind, rdata.to_text())
            for rrset in reply.answer
            if rrset.name == owner and rrset.rdtype == dns.rdatatype.from_text(kind)
            for rdata in rrset
        ]

    async def _exchange(self, message: dns.message.Message) -> dns.message.Message:
        message.use_tsig(self._ring, self._key_name)
        try:
            if (
                message.section_count(dns.message.ANSWER)
                + message.section_count(dns.message.AUTHORITY)
                > UDP_RECORDS
            ):
                reply = await dns.asyncquery.tcp(
                    message, self._address, self._timeout_s, self._port
                )
            else:
                reply, _ = await dns.asyncquery.udp_with_fallback(
                    message, self._address, self._timeout_s, self._port
                )
        except dns.exception.Timeout as error:
            raise DnsError("timeout", f"{self._who()}: no answer in {self._timeout_s} s") from error
        except (
            dns.tsig.PeerError,
            dns.tsig.BadSignature,
            dns.tsig.BadKey,
            dns.tsig.BadTime,
        ) as error:
            raise DnsError("signature", f"{self._who()}: {_reason(error)}") from error
        except dns.message.UnknownTSIGKey as error:
            raise DnsError("signature", f"{self._who()} signs with another key") from error
        except (EOFError, OSError) as error:
            raise DnsError("unreachable", f"{self._who()}: {error}") from error
        except (dns.exception.DNSException, ValueError) as error:
            # an unsigned answer is refused by dnspython, which has no class for that
            kind = "signature" if "TSIG" in str(error) else "damaged"
            raise DnsError(kind, f"{self._who()}: {_reason(error)}") from error
        return reply

    def _error(self, code: dns.rcode.Rcode) -> DnsError:
        kind, text = _KIND.get(code, ("server", f"the server says {dns.rcode.to_text(code)}"))
        return DnsError(kind, f"{self._who()}: {text}")

    def _who(self) -> str:
        return f"name server {self.name} ({self._address}:{self._port}), zone {self.zone}"


def _texts(held: Held, kind: str) -> list[str]:
    return sorted(text for one, text in held if one == kind)


def _rdatas(texts: list[str], kind: str) -> list[dns.rdata.Rdata]:
    return [_rdata(kind, text) for text in texts]


@lru_cache(maxsize=4096)
def _rdata(kind: str, text: str) -> dns.rdata.Rdata:
    return dns.rdata.from_text(dns.rdataclass.IN, kind, text)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__

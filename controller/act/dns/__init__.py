"""Names: services' shares as answers of name servers."""

from controller.act.dns.answers import Addresses, counts_of
from controller.act.dns.channel import DnsChannel, Name, within
from controller.act.dns.errors import DnsError
from controller.act.dns.keys import TsigKey, read_secret, read_tsig_key
from controller.act.dns.powerdns import PowerDnsServer
from controller.act.dns.server import Held, NameServer
from controller.act.dns.update import Rfc2136Server

__all__ = [
    "Addresses",
    "DnsChannel",
    "DnsError",
    "Held",
    "Name",
    "NameServer",
    "PowerDnsServer",
    "Rfc2136Server",
    "TsigKey",
    "counts_of",
    "read_secret",
    "read_tsig_key",
    "within",
]

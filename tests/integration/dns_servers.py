"""BIND and PowerDNS for the scenarios, each with a zone of its own."""

import contextlib
import http.client
import json
import secrets
import subprocess
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import dns.tsigkeyring
import dns.zone

from controller.act.dns import PowerDnsServer, Rfc2136Server, TsigKey, read_tsig_key
from tests.integration.names_lab import ZONE, Servers, until

BIND, PDNS, API = 5300, 5301, 8081
HERE = "127.0.0.1"


class Bind:
    """A BIND with one primary zone that one key may change."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.directory = servers.directory / "bind"
        self.directory.mkdir()
        self.key_file = self.make_key("foresteer")
        self.other_file = self.make_key("stranger")
        (self.directory / "zone").write_text(
            f"$TTL 60\n{ZONE} IN SOA ns.{ZONE} hostmaster.{ZONE} 1 3600 600 86400 60\n"
            f"{ZONE} IN NS ns.{ZONE}\nns IN A 192.0.2.53\nother IN A 192.0.2.99\n"
        )
        (self.directory / "named.conf").write_text(
            f'include "{self.key_file}";\ninclude "{self.other_file}";\n'
            f'options {{ directory "{self.directory}"; pid-file "{self.directory}/pid";\n'
            f"  listen-on port {BIND} {{ {HERE}; }}; listen-on-v6 {{ none; }}; recursion no;\n"
            f'  session-keyfile "{self.directory}/session.key"; dnssec-validation no;\n'
            f'  lock-file none; managed-keys-directory "{self.directory}"; }};\n'
            "controls { };\n"
            f'zone "{ZONE}" {{ type primary; file "zone"; notify no;\n'
            "  update-policy { grant foresteer. name www.gslb.example. A AAAA; };\n"
            "  allow-transfer { key foresteer.; }; };\n"
        )

    def make_key(self, name: str) -> Path:
        path = self.directory / f"{name}.key"
        made = subprocess.run(["tsig-keygen", f"{name}."], capture_output=True, check=True)
        path.touch(mode=0o600)
        path.write_bytes(made.stdout)
        return path

    async def start(self) -> None:
        conf = str(self.directory / "named.conf")
        self.servers.start("named", ["named", "-g", "-c", conf, "-n", "1"])
        await until(lambda: ask(BIND, f"ns.{ZONE}") == ["192.0.2.53"], "BIND answers")

    def server(self, key: TsigKey | None = None, timeout_s: float = 2.0) -> Rfc2136Server:
        return Rfc2136Server(
            "bind",
            ZONE,
            key or read_tsig_key(self.key_file),
            address=HERE,
            port=BIND,
            timeout_s=timeout_s,
        )

    def transfer(self) -> dict[str, str]:
        """Return the whole zone by AXFR: the text of each record set by name and type."""
        key = read_tsig_key(self.key_file)
        found = dns.zone.Zone(ZONE, relativize=False)
        query = dns.message.make_query(ZONE, "AXFR")
        query.use_tsig(key.ring())
        dns.query.inbound_xfr(HERE, found, query, port=BIND)
        return {
            f"{name} {rdataset.rdtype.name}": " ".join(sorted(one.to_text() for one in rdataset))
            for name, rdataset in found.iterate_rdatasets()
        }


class Pdns:
    """A PowerDNS with its API and LUA records."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.directory = servers.directory / "pdns"
        self.directory.mkdir()
        self.key = secrets.token_urlsafe(16)
        (self.directory / "pdns.conf").write_text(
            f"launch=lmdb\nlmdb-filename={self.directory}/db\nlocal-address={HERE}\n"
            f"local-port={PDNS}\nsocket-dir={self.directory}\nenable-lua-records=yes\n"
            f"api=yes\napi-key={self.key}\nwebserver=yes\nwebserver-address={HERE}\n"
            f"webserver-port={API}\nwebserver-allow-from=127.0.0.0/8\ndaemon=no\nguardian=no\n"
            "zone-cache-refresh-interval=0\n"
        )

    async def start(self) -> None:
        self.servers.start("pdns", ["pdns_server", f"--config-dir={self.directory}"])
        await until(self._answers, "PowerDNS answers")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self.call("GET", "/api/v1/servers/localhost") == 200
        return False

    def make_zone(self) -> None:
        zone = {"name": ZONE, "kind": "Native", "nameservers": [f"ns.{ZONE}"]}
        assert self.call("POST", "/api/v1/servers/localhost/zones", zone) == 201

    def call(self, method: str, path: str, body: object = None) -> int:
        connection = http.client.HTTPConnection(HERE, API, timeout=5)
        try:
            content = json.dumps(body) if body is not None else None
            connection.request(method, path, content, {"X-API-Key": self.key})
            return connection.getresponse().status
        finally:
            connection.close()

    def server(self, key: str | None = None, zone: str = ZONE) -> PowerDnsServer:
        return PowerDnsServer("pdns", zone, key or self.key, url=f"http://{HERE}:{API}")


def ask(port: int, name: str, source: str = HERE) -> list[str]:
    """Return a name's addresses as a resolver sees them."""
    with contextlib.suppress(OSError, dns.exception.DNSException):
        query = dns.message.make_query(name, "A")
        reply = dns.query.udp(query, HERE, 1.0, port, source=source)
        return sorted(rdata.to_text() for rrset in reply.answer for rdata in rrset)
    return []

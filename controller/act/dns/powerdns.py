"""PowerDNS by its HTTP API: answers with weights, as LUA records.

The API has no prerequisites: what the server holds is compared right before it is replaced, and
what another writer puts there in between is found at the next read.
"""

import asyncio
import http.client
import json
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from controller.act.dns.answers import Addresses, weighted_records, weighted_shares
from controller.act.dns.errors import DnsError
from controller.act.dns.server import Held
from controller.act.remap import Shares

MOST_BYTES = 16 << 20
TYPES = ("A", "AAAA", "LUA")


class PowerDnsServer:
    """One zone of a PowerDNS server.

    ``how``: the function that picks an address by weight, ``pickwhashed`` (a client keeps its
    answer) or ``pickwrandom``. ``server_id``: as the API calls it.
    """

    def __init__(
        self,
        name: str,
        zone: str,
        key: str,
        *,
        url: str,
        how: str = "pickwhashed",
        timeout_s: float = 2.0,
        server_id: str = "localhost",
    ) -> None:
        self.name = name
        self.zone = zone
        self._key = key
        self._parts = urlsplit(url)
        self._how = how
        self._timeout_s = timeout_s
        self._path = f"{self._parts.path.rstrip('/')}/api/v1/servers/{server_id}/zones/{zone}"

    def render(self, shares: Shares, addresses: Addresses) -> Held:
        """Return one weighted record per family."""
        return weighted_records(shares, addresses, self._how)

    def shares(self, held: Held, addresses: Addresses) -> Shares:
        """Return the shares that the weights stand for."""
        return weighted_shares(held, addresses)

    async def read(self, name: str) -> Held:
        """Return the name's records of addresses and weights.

        Raises:
            DnsError: they cannot be read.
        """
        body = await self._call("GET", f"{self._path}?rrset_name={quote(name)}")
        try:
            return frozenset(
                (str(rrset["type"]), str(record["content"]))
                for rrset in body["rrsets"]
                if rrset["name"] == name and rrset["type"] in TYPES
                for record in rrset["records"]
                if not record.get("disabled")
            )
        except (KeyError, TypeError) as error:
            raise DnsError("damaged", f"{self._who()}: an answer of another form") from error

    async def swap(self, name: str, seen: Held, wanted: Held, ttl_s: int) -> None:
        """Replace the name's records in one call, if they still are what was seen.

        Raises:
            DnsError: they are not (``prerequisite``), or whatever else went wrong.
        """
        if await self.read(name) != seen:
            raise DnsError("prerequisite", f"{self._who()}: {name} is not what was last seen")
        rrsets: list[dict[str, Any]] = []
        for kind in TYPES:
            before = {text for one, text in seen if one == kind}
            after = sorted(text for one, text in wanted if one == kind)
            change: dict[str, Any] = {"name": name, "type": kind}
            if after:
                records = [{"content": text, "disabled": False} for text in after]
                rrsets.append({**change, "changetype": "REPLACE", "ttl": ttl_s, "records": records})
            elif before:
                rrsets.append({**change, "changetype": "DELETE"})
        if rrsets:
            await self._call("PATCH", self._path, {"rrsets": rrsets})

    async def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        status, content = await asyncio.to_thread(self._request, method, path, body)
        if status in (200, 204):
            try:
                return dict(json.loads(content)) if content else {}
            except (TypeError, ValueError) as error:
                raise DnsError("damaged", f"{self._who()}: the answer is no JSON") from error
        said = content[:200].decode(errors="replace").strip()
        if status in (401, 403):
            raise DnsError("refused", f"{self._who()}: the key is refused")
        if status == 404:
            raise DnsError("no_zone", f"{self._who()}: there is no such zone")
        if status in (400, 422):
            raise DnsError("refused", f"{self._who()}: {said}")
        raise DnsError("server", f"{self._who()}: status {status}: {said}")

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, bytes]:
        host, port = self._parts.hostname or "", self._parts.port
        connection: http.client.HTTPConnection
        if self._parts.scheme == "https":
            connection = http.client.HTTPSConnection(
                host, port or 443, timeout=self._timeout_s, context=ssl.create_default_context()
            )
        else:
            connection = http.client.HTTPConnection(host, port or 80, timeout=self._timeout_s)
        headers = {"X-API-Key": self._key, "Content-Type": "application/json"}
        content = json.dumps(body).encode() if body is not None else None
        try:
            connection.request(method, path, content, headers)
            reply = connection.getresponse()
            return reply.status, reply.read(MOST_BYTES)
        except TimeoutError as error:
            raise DnsError("timeout", f"{self._who()}: no answer in {self._timeout_s} s") from error
        except OSError as error:
            raise DnsError("unreachable", f"{self._who()}: {error}") from error
        except http.client.HTTPException as error:
            raise DnsError("damaged", f"{self._who()}: {type(error).__name__}") from error
        finally:
            connection.close()

    def _who(self) -> str:
        return f"name server {self.name} ({self._parts.netloc}), zone {self.zone}"

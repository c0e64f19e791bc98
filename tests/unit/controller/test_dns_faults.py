"""What a real name server cannot be made to answer: doubles of messages, for faults only."""

import asyncio
import base64
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.update
import pytest

from controller.act.dns import (
    DnsChannel,
    DnsError,
    Held,
    Name,
    PowerDnsServer,
    Rfc2136Server,
    TsigKey,
    read_secret,
    read_tsig_key,
)
from controller.act.remap import Shares
from controller.errors import ConfigError

KEY = TsigKey("foresteer.", "hmac-sha256", base64.b64encode(b"0" * 32).decode())
WWW = "www.gslb.example."
ADDRESSES = {"east": ("192.0.2.1",), "west": ("192.0.2.2",)}
EAST: Held = frozenset({("A", "192.0.2.1")})
WEST: Held = frozenset({("A", "192.0.2.2")})

Answer = Callable[[dns.message.Message], bytes]


def signed(message: dns.message.Message, code: dns.rcode.Rcode, *, authority: bool = True) -> bytes:
    reply = dns.message.make_response(message)
    reply.set_rcode(code)
    if authority:
        reply.flags |= dns.flags.AA
    reply.use_tsig(KEY.ring())
    return reply.to_wire()


def unsigned(message: dns.message.Message) -> bytes:
    reply = dns.update.UpdateMessage("gslb.example.", id=message.id)
    reply.flags |= dns.flags.QR | dns.flags.AA
    return reply.to_wire()


class Answering(asyncio.DatagramProtocol):
    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        message = dns.message.from_wire(data, keyring=KEY.ring())
        self.transport.sendto(self.answer(message), addr)


async def kind_of(answer: Answer, *, read: bool = False) -> str:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: Answering(answer), local_addr=("127.0.0.1", 0)
    )
    port = transport.get_extra_info("sockname")[1]
    server = Rfc2136Server(
        "double", "gslb.example.", KEY, address="127.0.0.1", port=port, timeout_s=10.0
    )
    try:
        await (server.read(WWW) if read else server.swap(WWW, EAST, WEST, 5))
    except DnsError as error:
        return error.kind if "double" in str(error) else f"no name: {error}"
    finally:
        transport.close()
    return ""


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (dns.rcode.NOERROR, ""),
        (dns.rcode.REFUSED, "refused"),
        (dns.rcode.NOTAUTH, "not_authoritative"),
        (dns.rcode.NOTZONE, "no_zone"),
        (dns.rcode.NXRRSET, "prerequisite"),
        (dns.rcode.YXRRSET, "prerequisite"),
        (dns.rcode.SERVFAIL, "server"),
        (dns.rcode.NOTIMP, "server"),
        (dns.rcode.YXDOMAIN, "prerequisite"),
        (dns.rcode.BADVERS, "server"),
    ],
)
async def test_every_answer_has_its_kind(code: dns.rcode.Rcode, kind: str) -> None:
    assert await kind_of(lambda message: signed(message, code)) == kind


async def test_answers_that_prove_nothing_are_not_believed() -> None:
    assert await kind_of(unsigned) == "signature"
    assert await kind_of(lambda _: b"\x00" * 5) in ("damaged", "timeout")

    def without(message: dns.message.Message) -> bytes:
        return signed(message, dns.rcode.NOERROR, authority=False)

    assert await kind_of(without, read=True) == "no_zone"


class Fickle:
    """A server that fails as often as it is told."""

    name, zone = "fickle", "gslb.example."

    def __init__(self, *failures: str) -> None:
        self.failures = list(failures)
        self.held: Held = frozenset()
        self.swaps = 0
        self.spoil: Held | None = None

    def render(self, shares: Shares, addresses: object) -> Held:
        return EAST if "east" in shares else WEST

    def shares(self, held: Held, addresses: object) -> Shares:
        return {"east": 1.0} if held == EAST else {"west": 1.0} if held else {}

    async def read(self, name: str) -> Held:
        return self.held

    async def swap(self, name: str, seen: Held, wanted: Held, ttl_s: int) -> None:
        self.swaps += 1
        if self.failures:
            kind = self.failures.pop(0)
            if kind == "lost":
                # taken, but its answer never came
                self.held = wanted
                raise DnsError("timeout", "lost")
            raise DnsError(kind, kind)
        if seen != self.held:
            raise DnsError("prerequisite", "not what was seen")
        self.held = wanted if self.spoil is None else self.spoil


async def applied(server: Fickle) -> tuple[str, Counter[str]]:
    counts: Counter[str] = Counter()

    async def at_once(_: float) -> None:
        return

    channel = DnsChannel(Name("web", WWW, ADDRESSES, 5), [server], counts, pause=at_once)
    try:
        await channel.apply({"east": 1.0})
    except DnsError as error:
        return error.kind, counts
    return "", counts


async def test_passing_trouble_is_retried_and_lasting_trouble_is_not() -> None:
    assert await applied(Fickle("timeout", "server")) == ("", {"retries": 2, "changes": 1})
    kind, counts = await applied(Fickle("timeout", "timeout", "timeout"))
    assert (kind, counts["timeout"], counts["retries"]) == ("timeout", 1, 2)
    server = Fickle("refused")
    assert (await applied(server))[0] == "refused"
    assert server.swaps == 1


async def test_change_whose_answer_was_lost_is_found_to_be_made() -> None:
    kind, counts = await applied(Fickle("lost"))
    assert (kind, counts["conflicts"]) == ("", 1)


async def test_server_that_others_change_all_the_time_is_given_up() -> None:
    assert (await applied(Fickle("prerequisite", "prerequisite", "prerequisite")))[0] == "mismatch"
    server = Fickle()
    server.spoil = WEST
    kind, counts = await applied(server)
    assert (kind, counts["read_back"]) == ("mismatch", 3)


@contextmanager
def api(status: int, body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    # by their names: eventlet.wsgi leaves its own copy behind as the attribute http.server
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"not json", "damaged"),
        (200, b'{"rrsets": [{"type": "A"}]}', "damaged"),
        (200, b"{}", "damaged"),
        (500, b"oops", "server"),
        (401, b"", "refused"),
        (422, b'{"error": "bad record"}', "refused"),
        (404, b"", "no_zone"),
    ],
)
async def test_powerdns_answers_have_their_kinds(status: int, body: bytes, kind: str) -> None:
    with api(status, body) as url:
        server = PowerDnsServer("double", "gslb.example.", "key", url=url, timeout_s=10.0)
        with pytest.raises(DnsError) as caught:
            await server.read(WWW)
    assert caught.value.kind == kind


def test_keys_are_read_from_files_that_nobody_else_may_read(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(ConfigError, match="No such file"):
        read_secret(path)
    path.touch(mode=0o600)
    with pytest.raises(ConfigError, match="is empty"):
        read_secret(path)
    good = f'key "foresteer." {{\n\talgorithm hmac-sha256;\n\tsecret "{KEY.secret}";\n}};\n'
    path.write_text(good)
    assert read_tsig_key(path) == KEY
    assert KEY.secret not in repr(KEY)
    for bad, why in (
        ("secret", "no key file"),
        (good.replace("hmac-sha256", "hmac-md5"), "hmac-md5 is not one of"),
        (good.replace(KEY.secret, "%%%"), "no usable key"),
    ):
        path.write_text(bad)
        with pytest.raises(ConfigError, match=why):
            read_tsig_key(path)
    path.write_text(good)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_tsig_key(path)

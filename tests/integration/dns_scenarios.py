"""What is done to real name servers; see names_lab."""

import base64
import contextlib
import secrets
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rcode
import dns.update

from controller.act.dns import DnsChannel, DnsError, Name, Rfc2136Server, TsigKey
from tests.integration.dns_servers import BIND, HERE, PDNS, Bind, Pdns, ask
from tests.integration.names_lab import OUTSIDE_NAME, ZONE, Servers, until

WWW = f"www.{ZONE}"
EAST = tuple(f"192.0.2.{number}" for number in range(1, 5))
WEST = tuple(f"198.51.100.{number}" for number in range(1, 5))
ADDRESSES = {"east": EAST, "west": WEST}
ROUNDS = 40
ROOT = Path(__file__).resolve().parents[2]
PAIRS = ({"east": 0.75, "west": 0.25}, {"east": 0.25, "west": 0.75})


def declared(name: str = WWW) -> Name:
    return Name("web", name, ADDRESSES, 5)


async def kind_of(job: Any) -> str:
    """Return the kind of the error that something ends with, empty for none."""
    try:
        await job
    except DnsError as error:
        return error.kind
    return ""


def nsupdate_text(before: tuple[str, ...], after: tuple[str, ...]) -> str:
    """The change that our driver makes in one message, in nsupdate's words."""
    lines = [f"server {HERE} {BIND}", f"zone {ZONE}"]
    lines += [f"prereq yxrrset {WWW} A {one}" for one in before] or [f"prereq nxrrset {WWW} A"]
    lines += [f"update delete {WWW} A"]
    lines += [f"update add {WWW} 5 A {one}" for one in after]
    return "\n".join([*lines, "send", ""])


async def speed(servers: Servers) -> dict[str, Any]:
    """Time changes until they are visible, ours and nsupdate's taking turns."""
    bind = Bind(servers)
    await bind.start()
    counts: Counter[str] = Counter()
    channel = DnsChannel(declared(), [bind.server()], counts)
    ours: list[float] = []
    theirs: list[float] = []
    theirs_open: list[float] = []
    applied: list[float] = []
    seen: tuple[str, ...] = ()

    def records(shares: dict[str, float]) -> tuple[str, ...]:
        return tuple(sorted(text for _, text in bind.server().render(shares, ADDRESSES)))

    opened = subprocess.Popen(
        ["nsupdate", "-k", str(bind.key_file)], stdin=subprocess.PIPE, text=True
    )
    watch = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.dns_watch", str(BIND), WWW],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert opened.stdin is not None
    assert watch.stdin is not None
    assert watch.stdout is not None
    turn = 0
    for _ in range(ROUNDS):
        for way, times in enumerate((ours, theirs, theirs_open)):
            turn += 1
            shares = PAIRS[turn % 2]
            wanted = records(shares)
            # what was seen last is what the others left there
            await channel.read()
            watch.stdin.write(" ".join(wanted) + "\n")
            watch.stdin.flush()
            assert watch.stdout.readline() == "watching\n"
            began = time.monotonic()
            if way == 0:
                await channel.apply(shares)
                applied.append((time.monotonic() - began) * 1000)
            elif way == 1:
                subprocess.run(
                    ["nsupdate", "-k", str(bind.key_file)],
                    input=nsupdate_text(seen, wanted),
                    text=True,
                    check=True,
                )
            else:
                opened.stdin.write(nsupdate_text(seen, wanted))
                opened.stdin.flush()
            times.append((float(watch.stdout.readline()) - began) * 1000)
            seen = wanted
    watch.stdin.close()
    watch.wait(5)
    opened.stdin.close()
    opened.wait(5)
    medians = [statistics.median(times) for times in (ours, theirs, theirs_open)]
    return {
        "ours_ms": medians[0],
        "nsupdate_ms": medians[1],
        "nsupdate_open_ms": medians[2],
        "read_back_ms": statistics.median(applied),
        "rounds": len(ours),
        "counts": dict(counts),
    }


async def refusals(servers: Servers) -> dict[str, Any]:
    """Show what is refused, by whom, and that nothing has changed by it."""
    bind = Bind(servers)
    await bind.start()
    before = bind.transfer()
    key = bind.server()
    found: dict[str, Any] = {}
    unsigned = dns.update.UpdateMessage(ZONE)
    unsigned.add(WWW, 5, "A", EAST[0])
    found["unsigned"] = dns.rcode.to_text(dns.query.udp(unsigned, HERE, 2, BIND).rcode())
    secret = base64.b64encode(secrets.token_bytes(32)).decode()
    change = (WWW, frozenset[tuple[str, str]](), frozenset({("A", EAST[0])}), 5)
    wrong = bind.server(TsigKey("foresteer.", "hmac-sha256", secret))
    found["wrong_secret"] = await kind_of(wrong.swap(*change))
    unknown = bind.server(TsigKey("nobody.", "hmac-sha256", secret))
    found["unknown_key"] = await kind_of(unknown.swap(*change))
    from controller.act.dns import read_tsig_key

    stranger = bind.server(read_tsig_key(bind.other_file))
    found["not_granted"] = await kind_of(stranger.swap(*change))
    found["other_name"] = await kind_of(key.swap(OUTSIDE_NAME, *change[1:]))
    elsewhere = Rfc2136Server(
        "bind", "elsewhere.example.", read_tsig_key(bind.key_file), address=HERE, port=BIND
    )
    found["no_zone"] = await kind_of(elsewhere.swap("www.elsewhere.example.", *change[1:]))
    found["no_zone_read"] = await kind_of(elsewhere.read("www.elsewhere.example."))
    found["stale"] = await kind_of(
        key.swap(WWW, frozenset({("A", WEST[0])}), frozenset({("A", EAST[0])}), 5)
    )
    found["outside"] = await kind_of(DnsChannel(declared(), [key], Counter()).apply({"north": 1.0}))
    with contextlib.suppress(DnsError):
        DnsChannel(declared("www.example."), [key], Counter())
        found["foreign_name"] = "taken"
    found["unchanged"] = bind.transfer() == before

    # what may be done changes this name, and the serial, and nothing else
    counts: Counter[str] = Counter()
    channel = DnsChannel(declared(), [key], counts)
    await channel.apply(PAIRS[0])
    after = bind.transfer()
    found["differs"] = sorted(one for one in {*before, *after} if before.get(one) != after.get(one))
    found["answer"] = after[f"{WWW} A"].split()
    # another writer in between: it is seen, said, and the declared state put back
    subprocess.run(
        ["nsupdate", "-k", str(bind.key_file)],
        input=f"server {HERE} {BIND}\nupdate add {WWW} 5 A {WEST[3]}\nsend\n",
        text=True,
        check=True,
    )
    await channel.apply(PAIRS[1])
    found["conflicts"] = counts["conflicts"]
    found["after_conflict"] = ask(BIND, WWW)
    found["read"] = dict(await channel.read())

    # away: an error with a name, the last state kept; back: right again
    servers.stop("named", kill=True)
    quick = DnsChannel(declared(), [bind.server(timeout_s=0.2)], counts)
    found["away"] = await kind_of(quick.apply(PAIRS[0]))
    await bind.start()
    found["kept"] = ask(BIND, WWW)
    await quick.apply(PAIRS[0])
    found["back"] = ask(BIND, WWW)
    await quick.withdraw({})
    found["withdrawn"] = ask(BIND, WWW)
    found["zone_after"] = {
        name: text for name, text in bind.transfer().items() if not name.endswith("SOA")
    } == {name: text for name, text in before.items() if not name.endswith("SOA")}
    found["counts"] = dict(counts)
    return found


async def weighted(servers: Servers) -> dict[str, Any]:
    """Give PowerDNS weights, and count what 1,000 clients get."""
    pdns = Pdns(servers)
    await pdns.start()
    pdns.make_zone()
    counts: Counter[str] = Counter()
    two = {"east": EAST[:1], "west": WEST[:1]}
    name = Name("web", WWW, two, 5)
    channel = DnsChannel(name, [pdns.server()], counts)
    found: dict[str, Any] = {}
    times = []
    for east in (0.5, 0.8):
        began = time.perf_counter()
        await channel.apply({"east": east, "west": 1 - east})
        times.append((time.perf_counter() - began) * 1000)
    found["apply_ms"] = times[-1]
    await until(lambda: ask(PDNS, WWW), "an answer")
    answers = [
        ask(PDNS, WWW, f"127.1.{number // 250}.{number % 250 + 1}") for number in range(1000)
    ]
    found["east"] = sum(answer == [EAST[0]] for answer in answers) / len(answers)
    found["one_address_each"] = all(len(answer) == 1 for answer in answers)
    same = [ask(PDNS, WWW, "127.1.2.3") for _ in range(20)]
    found["client_keeps_answer"] = all(answer == same[0] for answer in same)
    found["read"] = dict(await channel.read())
    found["fresh"] = dict(await DnsChannel(name, [pdns.server()], Counter()).read())
    found["wrong_key"] = await kind_of(pdns.server("wrong").read(WWW))
    found["no_zone"] = await kind_of(pdns.server(zone="nowhere.example.").read(WWW))
    # both at once: BIND by addresses, PowerDNS by weights
    bind = Bind(servers)
    await bind.start()
    both = DnsChannel(declared(), [bind.server(), pdns.server()], counts)
    await both.apply(PAIRS[0])
    found["both"] = [ask(BIND, WWW), dict(await both.read())]
    # a change of somebody else's is found, and put right
    path = f"/api/v1/servers/localhost/zones/{ZONE}"
    record = {"content": "A \"pickwhashed({{1, '203.0.113.66'}})\"", "disabled": False}
    rrset = {"name": WWW, "type": "LUA", "ttl": 5, "changetype": "REPLACE", "records": [record]}
    found["meddled"] = pdns.call("PATCH", path, {"rrsets": [rrset]})
    await both.apply(PAIRS[1])
    found["conflicts"] = counts["conflicts"]
    found["healed"] = dict(await both.read())
    servers.stop("pdns", kill=True)
    found["away"] = await kind_of(channel.apply({"east": 1.0}))
    await pdns.start()
    await channel.apply({"east": 1.0})
    found["back"] = ask(PDNS, WWW)
    await channel.withdraw({})
    found["withdrawn"] = ask(PDNS, WWW)
    return found

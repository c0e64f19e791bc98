"""What is done between ExaBGP and real routers; see names_lab and bgp_routers."""

import asyncio
import os
import signal
import statistics
import time
from collections import Counter
from typing import Any

from bus import Instance, SystemClock
from controller.act.bgp import (
    AllowList,
    Announcement,
    BgpChannel,
    BgpError,
    Damping,
    Learned,
    Neighbour,
    Prefix,
    Speaker,
    Speaking,
)
from tests.integration.bgp_routers import (
    BIRD,
    FRR,
    INNER_BIRD,
    INNER_FRR,
    LOCAL_AS,
    OUR_BIRD,
    OUR_FRR,
    PEER_AS,
    Bird,
    Frr,
    Monitor,
    ip,
    links,
    via,
)
from tests.integration.names_lab import Servers, until

WEB = "203.0.113.0/24"
OURS = (WEB, "10.200.0.0/16")
NEIGHBOURS = (
    Neighbour(BIRD, OUR_BIRD, PEER_AS, "east", 3),
    Neighbour(FRR, OUR_FRR, PEER_AS, "west", 3),
)
ROUNDS = 40
MANY = 250


class Side:
    """Our side: a speaker, what it learned, and a web service's prefix."""

    def __init__(self, servers: Servers, **settings: Any) -> None:
        self.instance = Instance(servers.directory / "instance")
        self.counts: Counter[str] = Counter()
        allow = AllowList(OURS, {4: 25, 6: 48})
        places = {one.address: one.location for one in NEIGHBOURS}
        damping = Damping(half_life_s=2.0, suppress=2.5, reuse=1.5)
        learned = Learned(places, allow.ours, damping, self.counts)
        speaking = Speaking(LOCAL_AS, OUR_BIRD, NEIGHBOURS, **settings)
        self.speaker = Speaker(
            self.instance, speaking, allow, learned, SystemClock(), self.counts, owners=("web",)
        )

    def channel(self, **settings: Any) -> BgpChannel:
        return BgpChannel(Prefix("web", WEB, **settings), NEIGHBOURS, self.speaker)

    async def up(self, *neighbours: str) -> float:
        wanted = set(neighbours or (BIRD, FRR))
        return await until(lambda: self.speaker.up >= wanted, f"sessions with {wanted}", 30)

    async def end(self) -> None:
        await self.speaker.close()
        await self.speaker.child.stop()


async def network(servers: Servers) -> tuple[Bird, Frr]:
    """Start the triangle's routers."""
    links()
    bird, frr = Bird(servers), Frr(servers)
    bird.start()
    await frr.start()
    return bird, frr


async def kind_of(job: Any) -> str:
    try:
        await job
    except BgpError as error:
        return f"{error.kind}: {error}"
    return ""


async def chosen(bird: str, frr: str, what: str) -> float:
    """Wait until both routers' kernels send the web's traffic by these next hops."""
    try:
        return await until(lambda: (via("bird", WEB), via("frr", WEB)) == (bird, frr), what)
    except AssertionError as error:
        raise AssertionError(f"{error}: {ip('-n bird route')} / {ip('-n frr route')}") from error


async def shifts(servers: Servers) -> dict[str, Any]:
    """Show that shares move traffic: by MED, prepending, parts; and what is refused."""
    bird, _ = await network(servers)
    side = Side(servers)
    await side.speaker.start()
    found: dict[str, Any] = {"sessions_s": await side.up()}
    await until(lambda: len(side.speaker.paths()) == 3, "three prefixes are learned")
    found["learned"] = [
        [one.prefix, one.neighbour, one.next_hop, list(one.as_path), one.med,
         list(one.communities), one.location]
        for one in side.speaker.paths()
    ]  # fmt: skip
    channel = side.channel(communities=("65000:42", "no-export"))
    await channel.apply({"east": 1.0})
    await chosen(OUR_BIRD, INNER_BIRD, "all by east")
    found["attributes"] = bird.attributes(WEB)
    await channel.apply({"east": 0.25, "west": 0.75})
    found["by_med_s"] = await chosen(INNER_FRR, OUR_FRR, "all by west")
    found["med_west"] = bird.attributes(WEB)["med"]
    found["read"] = dict(await channel.read())
    # back by prepending: from here on no MED
    prepending = side.channel(how="prepend")
    await prepending.apply({"east": 1.0})
    found["by_prepending_s"] = await chosen(OUR_BIRD, INNER_BIRD, "all by east again")
    # both halves of the prefix, one by each location
    await side.channel(split_bits=1).apply({"east": 0.5, "west": 0.5})
    await until(
        lambda: (
            (via("frr", "203.0.113.0/25"), via("bird", "203.0.113.128/25"))
            == (INNER_BIRD, INNER_FRR)
        ),
        "a half by each",
    )
    await side.channel(withdraw_at_zero=True).apply({"west": 1.0})
    await chosen(INNER_FRR, OUR_FRR, "only west announces")
    halves = (("frr", "203.0.113.0/25"), ("bird", "203.0.113.128/25"))
    await until(lambda: not any(via(*half) for half in halves), "the halves are gone")
    # what is not ours is refused by ourselves, and nothing of it goes out
    before = side.speaker.status()["announced"]
    kept = [Announcement(BIRD, WEB), Announcement(FRR, WEB)]
    for name, prefix in (("stranger", "198.18.0.0/24"), ("wider", "203.0.112.0/23"),
                         ("longer", "203.0.113.0/26"), ("untidy", "203.0.113.1/24")):  # fmt: skip
        found[name] = await kind_of(
            side.speaker.announce("web", [*kept, Announcement(BIRD, prefix)])
        )
    found["unchanged"] = side.speaker.status()["announced"] == before
    found["not_there"] = via("bird", "198.18.0.0/24")
    found["no_neighbour"] = await kind_of(side.channel().apply({"north": 1.0}))
    await side.speaker.announce("web", [])
    await chosen("", "", "withdrawn")
    found["counts"] = dict(side.counts)
    await side.end()
    return found


async def speed(servers: Servers) -> dict[str, Any]:
    """Time announcements until BIRD's kernel has the route, one by one and 250 at once."""
    bird, _ = await network(servers)
    side = Side(servers)
    await side.speaker.start()
    await side.up()
    monitor = Monitor(servers, "bird")
    await monitor.ready()
    began: dict[str, float] = {}
    routes: list[Announcement] = []
    for number in range(ROUNDS):
        prefix = f"10.200.{number}.0/24"
        routes.append(Announcement(BIRD, prefix, med=10))
        began[prefix] = time.time()
        await side.speaker.announce("web", routes)
        await until(lambda prefix=prefix: prefix in monitor.times(), prefix)
        await asyncio.sleep(0.01)
    times = monitor.times()
    single = sorted((times[prefix] - began[prefix]) * 1000 for prefix in began)
    await side.speaker.announce("web", [])
    await until(lambda: not via("bird", "10.200.39.0/24"), "all gone")
    many = [Announcement(BIRD, f"10.200.{number}.0/24", med=20) for number in range(MANY)]
    start = time.time()
    await side.speaker.announce("web", many)
    taken_ms = (time.time() - start) * 1000
    wanted = {one.prefix for one in many}

    def there() -> bool:
        seen = monitor.times()
        return all(seen.get(one, 0) >= start for one in wanted)

    await until(there, "all there")
    times = monitor.times()
    whole_ms = (max(times[one] for one in wanted) - start) * 1000
    monitor.close()
    await side.end()
    return {
        "p50_ms": statistics.median(single),
        "p90_ms": single[int(len(single) * 0.9)],
        "many_ms": whole_ms,
        "many_taken_ms": taken_ms,
        "many": MANY,
        "protocols": bird.ask("show protocols"),
    }


async def restarts(servers: Servers) -> dict[str, Any]:
    """Kill each side, and the brain, and show that routes are right again by themselves."""
    bird, _ = await network(servers)
    side = Side(servers)
    await side.speaker.start()
    await side.up()
    channel = side.channel()
    await channel.apply({"east": 1.0})
    await chosen(OUR_BIRD, INNER_BIRD, "all by east")
    found: dict[str, Any] = {}
    # ExaBGP dies: it is started again, and says all again
    first = side.speaker.child.pid
    assert first is not None
    began = time.monotonic()
    os.kill(first, signal.SIGKILL)
    await until(lambda: via("bird", WEB) == "", "routes go with ExaBGP")
    await chosen(OUR_BIRD, INNER_BIRD, "back after ExaBGP")
    found["speaker_s"] = time.monotonic() - began
    found["another"] = side.speaker.child.pid not in (None, first)
    # a shift while a neighbour is away is there when it is back
    servers.stop("bird", kill=True)
    await until(lambda: BIRD not in side.speaker.up, "BIRD is away")
    await channel.apply({"west": 1.0})
    began = time.monotonic()
    bird.start()
    await chosen(INNER_FRR, OUR_FRR, "right after BIRD came back")
    await side.up()
    await until(lambda: bird.attributes(WEB).get("med") == "100", "west's MED")
    both = "show route for 203.0.113.0 all"
    await until(lambda: "BGP.med: 200" in bird.ask(both), "east is announced to BIRD as well")
    found["neighbour_s"] = time.monotonic() - began
    # the brain dies: ExaBGP holds; the next brain goes on from there, and learns anew
    held = side.speaker.child.pid
    await until(lambda: len(side.speaker.paths()) == 3, "three prefixes are learned again")
    await side.speaker.close()
    await asyncio.sleep(0.5)
    found["held"] = [via("bird", WEB), via("frr", WEB)]
    after = Side(servers)
    monitor = Monitor(servers, "bird")
    await monitor.ready()
    await after.speaker.start()
    await after.up()
    found["adopted"] = after.speaker.child.pid == held
    found["kept_unasked"] = after.speaker.status()["announced"]
    await until(lambda: len(after.speaker.paths()) == 3, "the relay remembers what was learned")
    await after.channel().apply({"west": 1.0})
    await monitor.ready()
    found["untouched"] = WEB not in monitor.times()
    monitor.close()
    # a neighbour that comes and goes is not believed for a while
    for _ in range(3):
        bird.ask("disable ours")
        await until(lambda: BIRD not in after.speaker.up, "down")
        bird.ask("enable ours")
        await after.up()
    found["suppressed"] = after.speaker.status()["suppressed"]
    found["believed"] = sorted({one.neighbour for one in after.speaker.paths()})
    await until(lambda: not after.speaker.status()["suppressed"], "believed again")
    await until(lambda: len(after.speaker.paths()) == 3, "all of it")
    found["counts"] = dict(after.counts)
    await after.end()
    # with the other policy the routes go when the brain does not come back
    last = Side(servers, on_loss="withdraw", loss_s=0.5)
    await last.speaker.start()
    await last.up()
    await last.channel().apply({"east": 1.0})
    await chosen(OUR_BIRD, INNER_BIRD, "all by east once more")
    for task in list(last.speaker._tasks):
        task.cancel()
    last.speaker._path.unlink()
    last.speaker._hang_up()
    assert last.speaker._server is not None
    last.speaker._server.close()
    found["withdrawn_s"] = await chosen("", "", "withdrawn on loss")
    found["sessions_stay"] = "Established" in bird.ask("show protocols ours")
    await last.speaker.child.stop()
    return found

"""Two replicators on real sockets."""

import asyncio
import socket
import time

from dataplane.shadow import Replicator, ShadowEndpoint

from .shadow_world import PRIMARY, SECRET, SHADOW, content, held_by, key_of, put


async def until(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


async def test_connections_reach_a_shadow_over_udp() -> None:
    ends = []
    for host in ("127.0.0.1", "::1"):
        primary, shadow = Replicator(SECRET), Replicator(SECRET)
        receiver = shadow.hold(PRIMARY, SHADOW, 4096)
        table = primary.serve(PRIMARY, 4096)
        ends += [ShadowEndpoint(primary, host, 0), ShadowEndpoint(shadow, host, 0)]
        primary.send_to(PRIMARY, {SHADOW: ends[-1].address}, 1)
        for first in range(0, 3000, 500):
            now = time.monotonic_ns() // 1000
            put(table, {key_of(n): (1, 1, 0, 0) for n in range(first, first + 500)}, now)
            ends[-2].changed()
            await asyncio.sleep(0.002)
        await until(lambda r=receiver, t=table: content(r.replica.rows()) == held_by(t))
        assert receiver.lag.count == 3000 or receiver.counts["snapshots"]
    for end in ends:
        end.close()


async def test_garbage_on_the_socket_is_counted() -> None:
    shadow = Replicator(SECRET)
    end = ShadowEndpoint(shadow, "127.0.0.1", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for size in (0, 5, 40, 2000):
            stranger.sendto(bytes(size), end.address)
    await until(lambda: sum(shadow.counts.values()) == 4)
    assert shadow.counts == {"truncated": 2, "version": 1, "too_long": 1}
    end.close()


async def test_what_the_kernel_does_not_take_is_counted() -> None:
    primary = Replicator(SECRET)
    primary.serve(PRIMARY, 256)
    end = ShadowEndpoint(primary, "127.0.0.1", 0)
    primary.send_to(PRIMARY, {SHADOW: ("255.255.255.255", 9)}, 1)
    end.changed()
    await until(lambda: end.counts["send_failed"] > 0)
    end.close()


async def test_a_shadow_that_is_not_there_yet_does_no_harm() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        address = placeholder.getsockname()
    primary = Replicator(SECRET)
    table = primary.serve(PRIMARY, 256)
    first = ShadowEndpoint(primary, "127.0.0.1", 0)
    primary.send_to(PRIMARY, {SHADOW: address}, 1)
    put(table, {key_of(1): (1, 1, 0, 0)}, 0)
    first.changed()
    await until(lambda: primary.senders[PRIMARY, SHADOW].counts["hellos"] >= 2)
    shadow = Replicator(SECRET)
    receiver = shadow.hold(PRIMARY, SHADOW, 256)
    second = ShadowEndpoint(shadow, *address)
    await until(lambda: len(receiver.replica) == 1)
    first.close()
    second.close()

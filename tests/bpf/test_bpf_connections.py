"""Connections as the agent knows them: from events, put right by sweeps."""

import os
import time
from collections.abc import Iterator

import pytest

from dataplane.connections import Connections, Timeouts
from dataplane.maps import CONNECTION, EVENT_OPENED
from headers.messages import (
    ApplyEngines,
    Backend,
    EdgeCircuit,
    EngineDesired,
    Service,
)
from tests.fuzz.frames import frame, ipv4, tcp
from tests.fuzz.world import Runner, World, make, pin_to_one_processor

ACK, FIN, SYN = 0x10, 0x11, 0x02
VIRTUAL = bytes([10, 9, 0, 1])


def desired(backend: int = 1) -> ApplyEngines:
    """Return one service with two instances behind engine 2, all of it with one of them."""
    service = Service("10.9.0.1", 6, 80, (backend,) * 256)
    circuit = EdgeCircuit(5, 2 << 16, 1 << 28, 1)
    return ApplyEngines(
        1,
        1,
        0,
        7,
        "02:f0:00:00:00:01",
        (EngineDesired(1, (), (circuit,), (), (), (service,)),),
        backends=(Backend(1, 2, 3, (5,) * 256), Backend(2, 2, 4, (5,) * 256)),
        insert_rate=1 << 31,
    )


class Site:
    """A world with one service, and what its agent knows."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.runner = Runner()

    def fresh(self, timeouts: Timeouts | None = None) -> Connections:
        """Begin with empty tables, and an agent that has just started."""
        self.world.forget()
        self.world.configure(desired())
        self.world.forget()
        self.world.state.renew()
        self.world.zero()
        Connections(self.world.maps).read_events()
        return Connections(self.world.maps, timeouts)

    def packet(self, port: int, flags: int, times: int = 1) -> None:
        """Send packets of one connection of the virtual address."""
        data = frame(ipv4(bytes([10, 1, 0, 5]), VIRTUAL, 6, tcp(port, 80, flags)))
        for _ in range(times):
            self.runner.run(self.world.programs["balance"], data, self.world.engines[1].hosts[0])

    def counted(self, reason: str) -> int:
        return self.world.reasons().get((1, reason), (0, 0))[0]

    def backends(self) -> list[int]:
        """Return the backends that connections are held with."""
        kept = self.world.maps.connections.items().values()
        return [int(CONNECTION.unpack(value)[4]) for value in kept]

    def held(self) -> int:
        return len(self.world.maps.connections.items())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    base = tmp_path_factory.mktemp("connections")
    everywhere = os.sched_getaffinity(0)
    # a flow's packets come to one processor, as a network card sees to
    pin_to_one_processor()
    site = Site(make(base, "cn"))
    yield site
    os.sched_setaffinity(0, everywhere)
    site.world.close()


def test_connection_is_entered_at_its_second_packet_and_told_of(site: Site) -> None:
    known = site.fresh()
    site.packet(1000, SYN)
    assert site.held() == 0
    site.packet(1000, SYN)
    assert site.held() == 0
    site.packet(1000, ACK)
    assert site.held() == 1
    events, echoes = known.read_events()
    assert [int(event["kind"]) for event in events] == [EVENT_OPENED]
    assert len(echoes) == 0
    assert (known.known.opened, known.known.closed, known.known.held) == (1, 0, 1)
    site.packet(1000, FIN)
    known.read_events()
    assert known.known.closed == 1


def test_second_packet_goes_where_the_first_went_though_the_table_moved_meanwhile(
    site: Site,
) -> None:
    site.fresh()
    site.packet(1000, SYN)
    site.world.configure(desired(2))
    site.world.age(3)
    site.packet(1000, ACK)
    assert site.backends() == [1]


def test_port_that_is_used_again_goes_where_the_table_says_now(site: Site) -> None:
    # its first packet came to another processor, which remembers nothing of the connection before
    site.fresh()
    site.packet(1000, SYN)
    site.world.configure(desired(2))
    site.world.age(5)
    site.packet(1000, ACK, 2)
    assert site.backends() == [2]


def test_handshakes_length_is_told_when_it_began_with_a_syn(site: Site) -> None:
    known = site.fresh()
    began = time.monotonic_ns()
    site.packet(1000, SYN)
    site.packet(1000, SYN)
    again = time.monotonic_ns()
    while time.monotonic_ns() - again < 3_000_000:
        pass  # a handshake of three milliseconds
    site.packet(1000, ACK)
    most_us = (time.monotonic_ns() - began) // 1000
    site.packet(1001, ACK, 2)
    (opened, other), _ = known.read_events()
    assert 2_900 <= int(opened["sequence"]) <= most_us
    assert int(other["sequence"]) == 0


def test_flood_of_first_packets_enters_nothing(site: Site) -> None:
    site.fresh()
    for port in range(2000, 4000):
        site.packet(port, SYN)
    assert site.held() == 0
    assert site.counted("opened") == 0
    assert site.counted("balanced") == 2000


def test_sweep_takes_out_what_ended_and_what_is_silent(site: Site) -> None:
    known = site.fresh(Timeouts(idle_s=300, closing_s=10))
    for port in (1000, 1001, 1002):
        site.packet(port, ACK, 2)
    site.packet(1001, FIN)
    now = max(CONNECTION.unpack(value)[0] for value in site.world.maps.connections.items().values())
    assert known.sweep(now)
    assert site.held() == 3
    assert known.sweep(now + 11 * 10**9)
    assert site.held() == 2
    assert known.sweep(now + 301 * 10**9)
    assert site.held() == 0
    assert (known.known.removed, known.known.swept, known.known.held) == (3, 3, 0)


def test_lost_events_are_counted_and_repaired_by_the_sweep(site: Site) -> None:
    known = site.fresh()
    # the ring of this world holds fewer events than these
    for port in range(5000, 5400):
        site.packet(port, ACK, 2)
    lost = site.counted("event_lost")
    assert lost > 100
    known.read_events()
    assert known.known.opened == 400 - lost
    assert known.known.held == 400 - lost
    assert known.sweep()
    assert known.known.held == 400
    assert known.known.corrected == lost
    assert sum(known.known.by_backend.values()) == 400


def test_connection_that_begins_anew_is_told_of_again(site: Site) -> None:
    known = site.fresh()
    site.packet(1000, ACK, 2)
    site.packet(1000, FIN)
    site.packet(1000, SYN)
    known.read_events()
    assert (known.known.opened, known.known.closed) == (2, 1)
    assert site.held() == 1


def test_packets_reach_the_table_also_when_most_go_by_the_cache(site: Site) -> None:
    site.fresh()
    site.packet(1000, ACK, 500)
    waiting = sum(packets for packets, _ in site.world.waiting().values())
    (value,) = site.world.maps.connections.items().values()
    # the first packet only chose, the second entered
    assert CONNECTION.unpack(value)[2] + waiting == 499


def test_own_ring_layout_needs_aligned_records(site: Site) -> None:
    from dataplane.ringbuf import RingBuffer

    with pytest.raises(ValueError, match="not aligned"):
        RingBuffer(site.world.maps.events, 81)
    assert RingBuffer(site.world.maps.events, 80).waiting() >= 0


def test_a_full_table_goes_on_serving_by_buckets(site: Site) -> None:
    site.fresh()
    for port in range(1000, 2100):
        site.packet(port, ACK, 2)
    assert site.held() == site.world.maps.connections.entries
    assert site.counted("table_full") == 1100 - site.held()
    assert site.counted("balanced") == 2200

"""The budget of new connections: what one packet does to it, to the token."""

import os
import time
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from dataplane.maps import mapped
from dataplane.twin.balance import _within_budget
from dataplane.twin.memory import Memory
from dataplane.twin.tables import Domain, Tables
from headers.messages import (
    Backend,
    EdgeCircuit,
    EngineDemand,
    EngineDesired,
    Hop,
    InstanceHere,
    Service,
)
from tests.bpf.conftest import ROUTER_MAC, Plane, desired

SECOND = 1_000_000_000
_DTYPE = np.dtype([("at_ns", "<u8"), ("tokens", "<u8")])


def serving(generation: int, **changes: object) -> Any:
    """Return a state with a service behind circuit 5."""
    one = EngineDesired(
        1,
        (EngineDemand("10.2.0.0/16", (5,) * 256),),
        (EdgeCircuit(5, 2 << 16, 1 << 28, 1),),
        (),
        (),
        services=(
            Service("10.9.0.1", 6, 80, (1,) * 256),
            Service("fd09::1", 6, 80, (1,) * 256),
        ),
        instances=(InstanceHere(7, "02:00:00:00:01:07"),),
    )
    two = EngineDesired(2, (), (), (Hop(5, 1, deliver=True),), ())
    return desired(
        generation,
        engines=(one, two),
        backends=(Backend(1, 2, 3, (5,) * 256),),
        **changes,
    )


@pytest.fixture
def service(plane: Plane) -> Iterator[Plane]:
    """The plane with a service; everything runs on one processor, whose budget it is."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    mapped(plane.maps.fresh_flows, np.dtype(("<u8", 2)))[:] = 0
    yield plane
    os.sched_setaffinity(0, allowed)
    for key in plane.maps.connections.items():
        plane.maps.connections.remove(key)


def ack(sport: int) -> bytes:
    return bytes(
        Ether(src="02:00:00:00:00:01", dst=ROUTER_MAC)
        / IP(src="10.1.0.1", dst="10.9.0.1")
        / TCP(sport=sport, dport=80, flags="A")
    )


TOKENS = (0, SECOND - 1, SECOND // 2, SECOND, 5 * SECOND, 1 << 62)
AGO = (0, SECOND // 4, SECOND - 30_000_000, 10 * SECOND)


@pytest.mark.parametrize("rate", [0, 1, 2, 9, 10, 100, 1_000_000, (1 << 32) - 1])
def test_budget_is_counted_to_the_token(service: Plane, rate: int) -> None:
    service.state.apply(serving(2, insert_rate=rate))
    budgets = mapped(service.maps.budgets, _DTYPE)[min(os.sched_getaffinity(0)) :]
    port = service.engines[1].hosts[0]
    for number, (tokens, ago) in enumerate(product(TOKENS, AGO)):
        packet = ack(1000 + number)
        service.run("mark", packet, port)
        held = len(service.maps.connections.items())
        then = time.monotonic_ns() - ago
        budgets[0] = (then, tokens)
        begun = time.monotonic_ns()
        service.run("mark", packet, port)
        ended = time.monotonic_ns()
        now = int(budgets["at_ns"][0])
        assert begun <= now <= ended
        twin = Memory(Tables(domain=Domain(0, 0, rate, 0)), budget_ns=then, tokens=tokens)
        entered = _within_budget(twin, now)
        assert int(budgets["tokens"][0]) == twin.tokens
        assert len(service.maps.connections.items()) == held + entered


def test_flood_gets_the_burst_and_then_the_rate(service: Plane) -> None:
    service.state.apply(serving(2, insert_rate=100))
    mapped(service.maps.budgets, _DTYPE)[:] = np.zeros(1, _DTYPE)
    before, begun = service.reasons(1), time.monotonic()
    for sport in range(2000, 2150):
        for _ in range(2):
            service.run("mark", ack(sport), service.engines[1].hosts[0])
    took = time.monotonic() - begun
    opened = service.reasons(1)["opened"] - before["opened"]
    assert 11 <= opened <= 11 + 100 * took + 1

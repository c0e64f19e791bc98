"""A network of three locations in a triangle, as the tests of the brain use it."""

import pytest

from headers.files.network import Engine, Location, Network, NetworkLink
from headers.messages import Host, NetworkLinks, SwitchInfo, SwitchPort

# the triangle's cables: (location, port) to (location, port), and back
CABLES = {("a", "b"): (2, 2), ("b", "c"): (3, 2), ("c", "a"): (3, 3)}
DPID = {"a": 1, "b": 2, "c": 3}


def location(name: str, number: int) -> Location:
    return Location(
        name,
        number,
        f"10.{number}.0.0/16",
        f"10.{number}.255.254",
        Engine(f"e{number}", number, (f"e{number}h",), f"e{number}f", 1),
    )


def wires() -> tuple[tuple[int, int, int, int], ...]:
    """Every directed link as (dpid, port, dpid, port)."""
    found = []
    for (one, other), (out, into) in CABLES.items():
        found += [(DPID[one], out, DPID[other], into), (DPID[other], into, DPID[one], out)]
    return tuple(found)


def switch(dpid: int, *, down: tuple[int, ...] = ()) -> SwitchInfo:
    return SwitchInfo(
        dpid,
        tuple(
            SwitchPort(port, f"s{dpid}-eth{port}", "02:00:00:00:00:01", port not in down, 0)
            for port in (1, 2, 3)
        ),
    )


@pytest.fixture
def network() -> Network:
    ends = [*CABLES, *((other, one) for one, other in CABLES)]
    return Network(
        "triangle",
        tuple(location(name, number) for name, number in DPID.items()),
        tuple(NetworkLink(src, dst, 20e6) for src, dst in ends),
    )


@pytest.fixture
def discovered() -> NetworkLinks:
    """What the southbound says when everything is there."""
    hosts = tuple(
        Host(f"10.{dpid}.0.1", f"02:00:00:00:01:{dpid:02x}", dpid, 1) for dpid in DPID.values()
    )
    return NetworkLinks(tuple(switch(dpid) for dpid in DPID.values()), wires(), (), hosts, {})

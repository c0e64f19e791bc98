"""Measured round trips and losses over the API."""

import math
from dataclasses import replace

from controller.state import PathQuality

GOOD = PathQuality(12.5, 0.4, 0.1, 10, 1.0)
LOST = PathQuality(math.inf, 0.0, 1.0, 5, 1.0)


async def test_links_circuits_and_clients_are_given_and_what_is_infinite_is_null(connect, view):
    last = view.last()
    links = tuple(
        replace(x, quality={"a>b": GOOD, "b>d": LOST}.get(x.name)) for x in last.snapshot.links
    )
    snapshot = replace(
        last.snapshot,
        links=links,
        circuit_quality={3: GOOD},
        client_quality={("192.0.2.0/24", "b"): GOOD},
    )
    view.ticks.append(replace(last, snapshot=snapshot))
    async with connect(view) as client:
        found = (await client.get("/api/v1/quality")).json()
    assert set(found["links"]) == {"a>b", "b>d"}
    assert found["links"]["a>b"]["rtt_ms"] == 12.5
    assert found["links"]["b>d"]["rtt_ms"] is None
    assert found["links"]["b>d"]["loss"] == 1.0
    assert found["circuits"]["3"]["samples"] == 10
    assert found["clients"][0]["client"] == "192.0.2.0/24"
    assert found["clients"][0]["place"] == "b"

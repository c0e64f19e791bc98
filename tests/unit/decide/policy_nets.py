"""A small network with services, for the tests of policies."""

from dataclasses import replace

from decide_nets import DIAMOND, DIAMOND_NODES, demands_of, forecast_of, snapshot_of

from controller.decide import plan
from controller.decide.policy import with_layers
from controller.state import Instance, Policies, Service

MBPS = 1e6
LINKS = tuple(
    replace(x, capacity_bps=x.capacity_bps * MBPS, delay_ms=5.0 * x.metric) for x in DIAMOND
)
DEMANDS = demands_of(DIAMOND_NODES, a_d=40.0, b_d=30.0, a_b=10.0) * MBPS
WEB = Service(
    "web", "10.9.0.1", 6, 80,
    (Instance("w1", "d", "10.4.0.1"), Instance("w2", "d", "10.4.0.2", 3.0),
     Instance("w3", "b", "10.2.0.1")),
    {"tier": "front"},
)  # fmt: skip
DB = Service(
    "db", "10.9.0.2", 6, 5432,
    (Instance("d1", "d", "10.4.0.3"), Instance("d2", "b", "10.2.0.2"),
     Instance("d3", "c", "10.3.0.2")),
)  # fmt: skip
REGIONS = {"a": "north", "b": "north", "c": "south", "d": "south"}


def decide(layers, *, time_s=0.0, scale=1.0, previous=None, services=(WEB, DB), links=LINKS,
           frozen=False, surges=None):  # fmt: skip
    demands = DEMANDS * scale
    snapshot = replace(
        snapshot_of(DIAMOND_NODES, links, demands), time_s=time_s, services=services,
        regions=REGIONS, surges=surges or {},
    )  # fmt: skip
    policies = with_layers(Policies(frozen=frozen), layers)
    return plan(snapshot, forecast_of(demands), policies, previous)


def spread(made, service, source):
    """Return the shares of a service's locations for clients at a source."""
    place = {x.name: x.location for one in (WEB, DB) for x in one.instances}
    split = next(x for x in made.services if (x.service, x.src) == (service, source))
    shares = {}
    for name, share in zip(split.instances, split.shares, strict=True):
        shares[place[name]] = shares.get(place[name], 0.0) + share
    return shares

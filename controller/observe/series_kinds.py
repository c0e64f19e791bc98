"""What kinds of series there are: their units, how often they are looked at, who may see them."""

from dataclasses import dataclass

LIMIT = 1e18
"""No value of any kind is larger: it would be an error of the one who measured."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of series.

    ``fast``: forecast every ``fast_ms`` for seconds ahead, else with the loop's ticks. ``pushed``:
    values may come from outside. ``sensitive``: about users or their places, refused unless the
    configuration permits it. ``most``: the largest value that makes sense.
    """

    name: str
    unit: str
    fast: bool = False
    pushed: bool = False
    sensitive: bool = False
    least: float = 0.0
    most: float = LIMIT


KINDS = {
    kind.name: kind
    for kind in (
        Kind("class_demand", "bit/s"),
        Kind("class_mix", "share", most=1.0),
        Kind("link_load", "bit/s"),
        Kind("link_free", "bit/s"),
        Kind("link_latency", "s", pushed=True, most=3600.0),
        Kind("link_loss", "share", pushed=True, most=1.0),
        Kind("path_latency", "s", pushed=True, most=3600.0),
        Kind("path_loss", "share", pushed=True, most=1.0),
        Kind("path_free", "bit/s", pushed=True),
        Kind("service_load", "bit/s", fast=True),
        Kind("service_packets", "1/s", fast=True),
        Kind("connections", "connections", fast=True, pushed=True),
        Kind("connection_rate", "1/s", fast=True, pushed=True),
        Kind("requests", "1/s", fast=True, pushed=True),
        Kind("duration", "s", fast=True, pushed=True, most=1e6),
        Kind("engine_packets", "1/s", fast=True),
        Kind("tenant", "bit/s", pushed=True, sensitive=True),
        Kind("user_group", "bit/s", pushed=True, sensitive=True),
        Kind("client_prefix", "bit/s", pushed=True, sensitive=True),
    )
}
"""By name. Demands between locations are the loop's own (``Forecast.demands_bps``)."""

SENSITIVE = tuple(kind.name for kind in KINDS.values() if kind.sensitive)
SIGNAL = "signal"
"""Outside signals are no kind: nobody forecasts them (``SignalBook``)."""

"""The remapping agent: services' shares to names and prefixes, by staged shifts."""

from controller.act.remap.agent import Care, Convergence, RemapAgent, wrong_way
from controller.act.remap.channel import Channel, Shares, distance, normal
from controller.act.remap.shift import Phase, Ramp, Shift
from controller.act.remap.wanted import by_location

__all__ = [
    "Care",
    "Channel",
    "Convergence",
    "Phase",
    "Ramp",
    "RemapAgent",
    "Shares",
    "Shift",
    "by_location",
    "distance",
    "normal",
    "wrong_way",
]

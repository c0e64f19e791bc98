"""Prefixes: services' shares as announcements to neighbours, and what these announce to us."""

from controller.act.bgp.channel import BgpChannel, Prefix, routes_of
from controller.act.bgp.child import Neighbour, Speaking
from controller.act.bgp.damping import Damping, Flaps
from controller.act.bgp.errors import BgpError
from controller.act.bgp.learned import Learned
from controller.act.bgp.routes import AllowList, Announcement, announce_command, is_community
from controller.act.bgp.speaker import Speaker

__all__ = [
    "AllowList",
    "Announcement",
    "BgpChannel",
    "BgpError",
    "Damping",
    "Flaps",
    "Learned",
    "Neighbour",
    "Prefix",
    "Speaker",
    "Speaking",
    "announce_command",
    "is_community",
    "routes_of",
]

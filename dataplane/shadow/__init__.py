"""Replication of connection state to shadow engines, from agent to agent.

``docs/replication.md`` is the specification. ``Replicator`` is the whole machine without input,
output and clock; ``ShadowEndpoint`` puts it on a UDP socket; ``Feed`` fills a table from an engine,
``PromotedTable`` brings a replica into the tables of an engine's programs; ``Shadowing`` is all of
this for one agent, as the notes say.
"""

from dataplane.shadow.feed import Feed
from dataplane.shadow.promoted import PromotedTable
from dataplane.shadow.replicator import Replicator
from dataplane.shadow.shadowing import Shadowing, Where
from dataplane.shadow.table import ConnectionTable
from dataplane.shadow.udp import ShadowEndpoint

__all__ = [
    "ConnectionTable",
    "Feed",
    "PromotedTable",
    "Replicator",
    "ShadowEndpoint",
    "Shadowing",
    "Where",
]

"""Between brain and agents: whose connections are replicated to where, and how far they have come.

The connections themselves go from agent to agent (``headers/replication``), not over the bus.
"""

from dataclasses import dataclass, field

from headers.messages.codec import message


@dataclass(frozen=True, slots=True)
class ShadowPlace:
    """An engine that is a shadow, and where its agent takes datagrams."""

    engine: int
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class ShadowAssignment:
    """An engine's shadows, the best first; ``ownership``: of its flows, grows at a takeover."""

    engine: int
    ownership: int
    shadows: tuple[ShadowPlace, ...]


@message("assign_shadows")
@dataclass(frozen=True, slots=True)
class AssignShadows:
    """Brain to agents: who is whose shadow.

    Agents pass it on to each other as notes, and of two the newer by ``term``, then ``generation``,
    holds. It is meant to hold for ``expires_s`` (0: for ever); an agent that hears nothing newer
    goes on with it.
    """

    term: int
    generation: int
    expires_s: float
    assignments: tuple[ShadowAssignment, ...]


@message("shadows_assigned")
@dataclass(frozen=True, slots=True)
class ShadowsAssigned:
    """Agent to brain: how many of the assignments were news, or why none was taken."""

    generation: int
    news: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class StreamReport:
    """One stream of connections, as one end sees it (docs/replication.md).

    ``role``: of this end, ``primary`` or ``shadow``; ``phase``: connecting, snapshot, following or
    fenced; ``held``: connections on the shadow, ``unheld``: those without room there; ``lag_ms``:
    99th percentile from a connection's first packet to its entry on the shadow; ``behind_ms``: how
    old the oldest change may be that the shadow lacks, -1 for unknown; ``rtt_ms``: round trip;
    ``compared``, ``diverged``: buckets compared and found different (both as the shadow counts
    them, and repaired as the primary does); ``counts``: everything else.
    """

    primary: int
    shadow: int
    role: str
    phase: str
    held: int
    unheld: int
    lag_ms: float
    behind_ms: float
    rtt_ms: float
    compared: int
    diverged: int
    counts: dict[str, int] = field(default_factory=dict)

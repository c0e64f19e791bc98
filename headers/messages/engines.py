"""Between brain and engine agents."""

from dataclasses import dataclass

from headers.messages.codec import message


@dataclass(frozen=True, slots=True)
class EngineDemand:
    """Traffic of one engine to one prefix; ``buckets``: 256 circuit numbers, 0 for unmarked."""

    prefix: str
    buckets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EdgeCircuit:
    """A circuit that starts at an engine: its number and what goes into C1, C2 and SI."""

    spi: int
    c1: int
    c2: int
    si: int


@dataclass(frozen=True, slots=True)
class Hop:
    """What an engine does with a circuit that reaches it with service index ``si``.

    ``deliver``: take the header off and hand the packet to its host; else forward it out of the
    fabric port to ``next_mac``.
    """

    spi: int
    si: int
    deliver: bool
    next_mac: str = "00:00:00:00:00:00"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A host behind an engine: its address and MAC address."""

    address: str
    mac: str


@dataclass(frozen=True, slots=True)
class EngineDesired:
    """All that one engine should hold."""

    number: int
    demands: tuple[EngineDemand, ...]
    circuits: tuple[EdgeCircuit, ...]
    hops: tuple[Hop, ...]
    neighbours: tuple[Neighbour, ...]


@message("apply_engines")
@dataclass(frozen=True, slots=True)
class ApplyEngines:
    """Brain to agent: hold the engines to this state. An older term is refused."""

    term: int
    generation: int
    epoch: int
    forecast: int
    router_mac: str
    engines: tuple[EngineDesired, ...]


@message("engine_applied")
@dataclass(frozen=True, slots=True)
class EngineApplied:
    """Agent to brain: what was written, and what differed when it was read back."""

    generation: int
    written: int
    removed: int
    moved_buckets: int
    mismatches: int
    error: str = ""


@message("counter_request")
@dataclass(frozen=True, slots=True)
class CounterRequest:
    """Brain to agent: send your counters."""

    number: int = 0


@dataclass(frozen=True, slots=True)
class DemandCounter:
    """What an engine saw of a demand since its maps were made; bytes as on the core's wire."""

    engine: int
    prefix: str
    packets: int
    bytes: int


@message("counter_report")
@dataclass(frozen=True, slots=True)
class CounterReport:
    """Agent to brain: all counters at ``time_s`` (monotonic clock of the machine).

    ``reasons``: per engine, packets by the names in dataplane/maps.py.
    """

    agent: str
    time_s: float
    generation: int
    demands: tuple[DemandCounter, ...]
    reasons: dict[int, dict[str, int]]


@message("agent_status")
@dataclass(frozen=True, slots=True)
class AgentStatus:
    """Agent to all, every second: which engines it serves and what state they hold."""

    agent: str
    engines: tuple[int, ...]
    term: int
    generation: int
    started_s: float
    version: str
    refused: dict[str, int]

"""Between brain and engine agents."""

from dataclasses import dataclass, field

from headers.messages.codec import message
from headers.messages.replication import StreamReport


@dataclass(frozen=True, slots=True)
class EngineDemand:
    """Traffic of one engine to one prefix, or of one application class of it.

    ``buckets``: 256 circuit numbers, 0 for unmarked; ``backups``: as many, or none: the circuit to
    use while the engine at the end of the first is down. ``application_class`` 0 is everything that
    has no demand of its own, and must be there for the others to be. ``more``: further prefixes
    that go the same way, and are counted with it (of class 0 only: the classes follow).
    """

    prefix: str
    buckets: tuple[int, ...]
    backups: tuple[int, ...] = ()
    application_class: int = 0
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Backend:
    """An instance that services may use: behind which engine, and the circuits that lead there.

    ``buckets`` and ``backups`` as in a demand; empty where the instance is behind this very engine.
    """

    number: int
    engine: int
    instance: int
    buckets: tuple[int, ...] = ()
    backups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """A port of a virtual address: 256 backend numbers, and as many second choices or none."""

    address: str
    protocol: int
    port: int
    buckets: tuple[int, ...]
    backups: tuple[int, ...] = ()
    application_class: int = 0


@dataclass(frozen=True, slots=True)
class InstanceHere:
    """An instance behind an engine: its number there, its MAC address, its VLAN (0: none)."""

    number: int
    mac: str
    vlan: int = 0


@dataclass(frozen=True, slots=True)
class ApplicationClass:
    """What belongs to a class, and what the header says of it.

    ``ports``: pairs of protocol and destination port (0 to 65535); ``source_ports`` likewise;
    ``dscp``: 0 to 63. ``application`` (16 bits) and ``priority`` (4 bits, 0 the lowest).
    """

    number: int
    application: int
    priority: int = 0
    ports: tuple[tuple[int, int], ...] = ()
    source_ports: tuple[tuple[int, int], ...] = ()
    dscp: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FlowRule:
    """One flow of an engine, by its five values, and its application class."""

    engine: int
    source: str
    destination: str
    protocol: int
    source_port: int
    destination_port: int
    application_class: int


@dataclass(frozen=True, slots=True)
class Grant:
    """A customer's own circuit number, the circuit that it stands for, and its highest priority."""

    customer: int
    circuit: int
    stands_for: int
    max_priority: int = 0


@dataclass(frozen=True, slots=True)
class Probe:
    """An echo to send: out on one circuit, back on another, from one engine to another."""

    engine: int
    target: int
    out_spi: int
    out_si: int
    back_spi: int
    back_si: int


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
    """A host behind an engine: its address, its MAC address, its VLAN (0: untagged)."""

    address: str
    mac: str
    vlan: int = 0


@dataclass(frozen=True, slots=True)
class EngineDesired:
    """All that one engine should hold."""

    number: int
    demands: tuple[EngineDemand, ...]
    circuits: tuple[EdgeCircuit, ...]
    hops: tuple[Hop, ...]
    neighbours: tuple[Neighbour, ...]
    services: tuple[Service, ...] = ()
    instances: tuple[InstanceHere, ...] = ()


@message("apply_engines")
@dataclass(frozen=True, slots=True)
class ApplyEngines:
    """Brain to agent: hold the engines to this state. An older term is refused.

    ``epoch``: of the keys to mark with; ``insert_rate``: connections entered per second and
    processor at most; ``probes``: sent all the time, to see who lives; ``measured``: sent in turn,
    to see what circuits are worth.
    """

    term: int
    generation: int
    epoch: int
    forecast: int
    router_mac: str
    engines: tuple[EngineDesired, ...]
    backends: tuple[Backend, ...] = ()
    classes: tuple[ApplicationClass, ...] = ()
    rules: tuple[FlowRule, ...] = ()
    grants: tuple[Grant, ...] = ()
    probes: tuple[Probe, ...] = ()
    insert_rate: int = 100_000
    measured: tuple[Probe, ...] = ()


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
    application_class: int = 0


@dataclass(frozen=True, slots=True)
class ServiceCounter:
    """What an engine saw of a virtual address's port, and its connections as they were swept."""

    engine: int
    address: str
    protocol: int
    port: int
    packets: int
    bytes: int
    connections: int = 0


@dataclass(frozen=True, slots=True)
class CircuitCounter:
    """What arrived on a circuit at its engines of one machine."""

    circuit: int
    packets: int
    bytes: int


@dataclass(frozen=True, slots=True)
class EchoReport:
    """What echoes told of an engine: round trip of the last in seconds, how many were lost."""

    engine: int
    target: int
    round_trip_s: float
    sent: int
    received: int
    down: bool


@dataclass(frozen=True, slots=True)
class CircuitProbe:
    """What came of one echo on a circuit (and back on another): its round trip, -1 for lost."""

    spi: int
    rtt_ms: float


@dataclass(frozen=True, slots=True)
class Handshakes:
    """Connections that clients of a prefix opened with an instance: how many, and the median time.

    ``engine`` and ``instance``: where that is, as in Backend.
    """

    client: str
    engine: int
    instance: int
    rtt_ms: float
    count: int


@message("counter_report")
@dataclass(frozen=True, slots=True)
class CounterReport:
    """Agent to brain: all counters at ``time_s`` (monotonic clock of the machine).

    ``reasons``: per engine, packets by the names in dataplane/maps.py; ``applications``: packets
    and bytes by application type.
    """

    agent: str
    time_s: float
    generation: int
    demands: tuple[DemandCounter, ...]
    reasons: dict[int, dict[str, int]]
    services: tuple[ServiceCounter, ...] = ()
    circuits: tuple[CircuitCounter, ...] = ()
    applications: dict[int, tuple[int, int]] = field(default_factory=dict)


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
    programs: str = ""
    epoch: int = 0
    connections: int = 0
    events: int = 0
    events_lost: int = 0
    wrong_tags_per_s: float = 0.0
    alarms: tuple[str, ...] = ()
    echoes: tuple[EchoReport, ...] = ()
    measured: tuple[CircuitProbe, ...] = ()
    handshakes: tuple[Handshakes, ...] = ()
    streams: tuple[StreamReport, ...] = ()
    connections_most: int = 0

"""Between brain and southbound, over the Unix socket."""

from dataclasses import dataclass

from headers.messages.codec import message


@dataclass(frozen=True, slots=True)
class EdgePort:
    """A switch port that faces an engine: the hosts' prefix and their gateway's address."""

    port: int
    prefix: str
    gateway: str


TURN_BACK = 0xFFFFFFF8
"""As a label's ``backup_port``: back out of the port that the packet came in by."""


@dataclass(frozen=True, slots=True)
class Label:
    """Packets of circuit ``spi`` go out of ``port`` (the port they came in at is allowed).

    ``in_port``: only those that came in there (0: anywhere). ``backup_port``: where they go, with
    the protection bit set, while ``port`` is dead (0: nowhere else, TURN_BACK: whence they came,
    which ``in_port`` must say).
    A number with the protection bit (1 << 23) is a circuit's protection path. ``generation``: the
    circuit's.
    """

    spi: int
    port: int
    in_port: int = 0
    backup_port: int = 0
    generation: int = 0


@dataclass(frozen=True, slots=True)
class FilterRule:
    """One rule of a filter: 0 and empty match everything; prefixes, protocol, ports."""

    priority: int
    allow: bool
    source: str = ""
    destination: str = ""
    protocol: int = 0
    source_port: int = 0
    destination_port: int = 0


@dataclass(frozen=True, slots=True)
class Filter:
    """What this switch lets through of circuit ``spi``; the rest as ``allow_rest`` says."""

    spi: int
    rules: tuple[FilterRule, ...]
    allow_rest: bool = True
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Route:
    """Unmarked packets to ``prefix`` go out of ``port``; the longest prefix counts.

    ``mac``: of the router outside that they are handed to there, empty for a link of the core.
    """

    prefix: str
    port: int
    mac: str = ""


@dataclass(frozen=True, slots=True)
class SwitchDesired:
    """All that one switch should hold."""

    dpid: int
    edge_ports: tuple[EdgePort, ...]
    labels: tuple[Label, ...]
    routes: tuple[Route, ...]
    filters: tuple[Filter, ...] = ()


@message("apply_switches")
@dataclass(frozen=True, slots=True)
class ApplySwitches:
    """Brain to southbound: hold the switches to this state. An older term is refused."""

    term: int
    generation: int
    router_mac: str
    switches: tuple[SwitchDesired, ...]


@dataclass(frozen=True, slots=True)
class RefusedCircuit:
    """A circuit that a switch would not take, and the switch's own reason."""

    spi: int
    reason: str


@dataclass(frozen=True, slots=True)
class SwitchApplied:
    """What it took to bring one switch there; ``mismatches``: differences found on read-back.

    ``added``: flows and groups that were written, ``removed``: flows that went.

    ``refused``: circuits that this switch does not hold as asked. ``foreign``: flows there that
    are not ours, and were left alone.
    """

    dpid: int
    connected: bool
    added: int
    removed: int
    mismatches: int
    error: str = ""
    refused: tuple[RefusedCircuit, ...] = ()
    foreign: int = 0


@message("applied")
@dataclass(frozen=True, slots=True)
class Applied:
    """Southbound to brain: the answer to ApplySwitches."""

    generation: int
    switches: tuple[SwitchApplied, ...]
    error: str = ""


@dataclass(frozen=True, slots=True)
class SwitchPort:
    """A port as the switch describes it; ``speed_bps`` 0 where unknown."""

    number: int
    name: str
    mac: str
    up: bool
    speed_bps: int


@dataclass(frozen=True, slots=True)
class SwitchInfo:
    """A connected switch."""

    dpid: int
    ports: tuple[SwitchPort, ...]


@dataclass(frozen=True, slots=True)
class Host:
    """A host that was heard of at an edge port."""

    address: str
    mac: str
    dpid: int
    port: int


@message("network_links")
@dataclass(frozen=True, slots=True)
class NetworkLinks:
    """Southbound to brain, on every change: switches, links (dpid, port, dpid, port), hosts.

    ``links`` are confirmed now; ``lost`` were confirmed once and are not any more.
    """

    switches: tuple[SwitchInfo, ...]
    links: tuple[tuple[int, int, int, int], ...]
    lost: tuple[tuple[int, int, int, int], ...]
    hosts: tuple[Host, ...]
    refused: dict[str, int]


@dataclass(frozen=True, slots=True)
class PortCounter:
    """A port's totals since the switch began to count."""

    dpid: int
    port: int
    tx_bytes: int
    tx_packets: int
    tx_dropped: int
    rx_bytes: int
    rx_packets: int


@message("port_counters")
@dataclass(frozen=True, slots=True)
class PortCounters:
    """Southbound to brain: one switch's port counters, received at ``time_s`` (monotonic)."""

    time_s: float
    rows: tuple[PortCounter, ...]


@dataclass(frozen=True, slots=True)
class LinkProbe:
    """What came of one probe of the link at a switch's port: its round trip, -1 for lost."""

    dpid: int
    port: int
    rtt_ms: float


@message("link_probes")
@dataclass(frozen=True, slots=True)
class LinkProbes:
    """Southbound to brain: probes that ended since the last one, at ``time_s`` (monotonic)."""

    time_s: float
    rows: tuple[LinkProbe, ...]

"""The values that go round the loop: Snapshot, Forecast, Plan, Decision.

All are immutable. Arrays inside them are never written after they are made. Demands are
matrices [source, destination] in the order of ``Snapshot.nodes``; rates are bits per second on
the wire of the core (the steering header included).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from controller.layers import Layers, Ruling

Matrix = NDArray[np.float64]

BUCKETS = 256
"""Entries of a demand's bucket table: the finest share of a demand is 1/256."""

UNSTEERED = 0
"""The circuit number that means "leave the packet unmarked"; real circuits start at 1."""


@dataclass(frozen=True, slots=True)
class PathQuality:
    """What probes through the data plane say of a link, a circuit or a way to a client.

    ``rtt_ms``: the median round trip of the last probes; ``jitter_ms``: the mean difference of
    one to the next (RFC 3550, section 6.4.1, without its smoothing); ``loss``: the share that did
    not come back, 0 to 1; ``samples``: how many this is from; ``age_s``: how old the newest is.
    """

    rtt_ms: float
    jitter_ms: float
    loss: float
    samples: int
    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class LinkState:
    """A directed link as observed.

    ``name`` is ``"SRC>DST"``, and for the second and further parallel ones ``"SRC>DST/2"``.
    ``rate_bps`` is the mean rate over the last interval, from port counters. ``delay_ms``: the
    propagation delay as the inventory says; ``quality``: what probes measured. ``risk_groups``:
    names of what takes several links down at once (a duct, a building). ``trusted``: encrypted, or
    in the operator's own hands. ``price_per_gb`` is paid above ``commitment_bps``.
    """

    name: str
    src: str
    dst: str
    capacity_bps: float
    metric: float = 1.0
    delay_ms: float | None = None
    up: bool = True
    rate_bps: float = 0.0
    quality: PathQuality | None = None
    risk_groups: tuple[str, ...] = ()
    trusted: bool = True
    price_per_gb: float = 0.0
    commitment_bps: float = 0.0


@dataclass(frozen=True, slots=True)
class EngineState:
    """A forwarding engine as its agent reports it."""

    name: str
    location: str
    alive: bool
    generation: int


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance of a service at a location; ``address`` is the host's own.

    ``capacity``: relative to the other instances of the service. ``healthy``: takes connections.
    ``number``: from 1, given to an address once and for as long as any service has it; connections
    are held by it.
    """

    name: str
    location: str
    address: str
    capacity: float = 1.0
    healthy: bool = True
    number: int = 0


@dataclass(frozen=True, slots=True)
class Service:
    """A port of a virtual address, and the instances that answer there.

    ``protocol``: IP protocol number. ``labels``: what policies may match it by. ``dscp``: of its
    packets, where it has one of its own. ``name``s are unique, so are (address, protocol, port).
    """

    name: str
    address: str
    protocol: int
    port: int
    instances: tuple[Instance, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    dscp: int | None = None


@dataclass(frozen=True, slots=True)
class ExternalPath:
    """A destination outside, as a neighbouring network announces it.

    ``location``: where that neighbour is attached, empty where it is not declared. ``med``: None
    where none was sent. ``communities``: as ``65000:1``, or with three numbers for large ones.
    """

    prefix: str
    neighbour: str
    next_hop: str
    as_path: tuple[int, ...] = ()
    med: int | None = None
    communities: tuple[str, ...] = ()
    location: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """A circuit's path that a switch refused, and why; it is left alone for a while."""

    src: str
    dst: str
    links: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """One numbered picture of the network at ``time_s`` (seconds since the epoch).

    ``demands_bps``: [N, N], the mean over the last interval. ``history_bps``: [T, N, N], the
    recent intervals, oldest first; its last row is ``demands_bps``. ``step_s``: the interval's
    length on the network's clock; ``data_step_s``: what one interval stands for in the data's own
    time (300 for a 5-minute matrix replayed in 2 s, else equal to ``step_s``).
    ``circuit_quality``: by circuit number; ``client_quality``: by (client prefix, location or
    instance), from handshakes. ``refused``: paths that switches refused lately. ``regions``: of
    locations, where declared. ``surges``: demands seen or expected within seconds to be at least
    this many bit/s, which the forecast does not know of yet. ``services``: by name. ``external``:
    what neighbouring networks announce, of those believed at present.
    """

    number: int
    time_s: float
    step_s: float
    data_step_s: float
    nodes: tuple[str, ...]
    links: tuple[LinkState, ...]
    demands_bps: Matrix
    history_bps: Matrix
    engines: tuple[EngineState, ...] = ()
    circuit_quality: Mapping[int, PathQuality] = field(default_factory=dict)
    client_quality: Mapping[tuple[str, str], PathQuality] = field(default_factory=dict)
    refused: tuple[Refused, ...] = ()
    regions: Mapping[str, str] = field(default_factory=dict)
    surges: Mapping[tuple[str, str], float] = field(default_factory=dict)
    services: tuple[Service, ...] = ()
    external: tuple[ExternalPath, ...] = ()

    def usable_links(self) -> tuple[LinkState, ...]:
        """Return the links that are up."""
        return tuple(link for link in self.links if link.up)


@dataclass(frozen=True, slots=True)
class Drift:
    """Whether forecasts have become worse than they used to be, and by which factor.

    ``severity``: from 0 (none) to 5 (certain and extreme), see docs/anomalies.md.
    """

    alarm: bool = False
    ratio: float = 1.0
    severity: float = 0.0


@dataclass(frozen=True, slots=True)
class Skill:
    """How the candidates did on their own recent, matured past at one horizon.

    ``loss``: mean pinball loss per forecaster, relative to the mean demand (no unit), and of
    ``mix``, what was given out; ``weights``: how much each is believed; ``used`` names the one
    that is believed most.
    """

    horizon_steps: int
    used: str
    loss: Mapping[str, float]
    scored: int
    weights: Mapping[str, float] = field(default_factory=dict)
    drift: Drift = Drift()


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that is wrong, or will be, with a series (or with all of a kind: no name).

    ``what``: an anomaly's kind (``models.anomaly.KINDS``), ``high`` or ``low`` (a threshold will be
    crossed), or ``drift`` (forecasts have become worse). ``certain``: from 0 to 1; ``severity``:
    from 0 to 5. ``expected_s``: in how many seconds it is expected, 0 for what is here.
    """

    kind: str
    name: str
    what: str
    time_s: float
    certain: float
    severity: float
    expected_s: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class SeriesForecast:
    """Quantiles of every series of one kind, with the skill behind them and what is odd.

    ``quantiles``: [S, H, Q] in ``unit``; ``values``: [S], the last interval, NaN for gaps.
    ``above`` and ``below``: [S, H], the probability of having crossed the threshold by then, 0
    where there is none. ``time_s``: when the last interval ended, in seconds since the epoch.
    """

    kind: str
    unit: str
    time_s: float
    step_s: float
    names: tuple[str, ...]
    horizons_s: tuple[float, ...]
    levels: tuple[float, ...]
    values: Matrix
    quantiles: Matrix
    skill: tuple[Skill, ...]
    above: Matrix
    below: Matrix
    alarms: tuple[Alarm, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """Quantiles of every demand at every horizon, with the measured skill behind them.

    ``demands_bps``: [H, Q, N, N], not decreasing along Q. ``horizons_steps``: [H] in intervals.
    ``levels``: [Q], the quantiles' levels, increasing, in (0, 1). ``alarms``: what is wrong with
    any series of any kind; ``kinds``: the last forecast of each kind beside the demands.
    """

    number: int
    snapshot: int
    horizons_steps: tuple[int, ...]
    levels: tuple[float, ...]
    demands_bps: Matrix
    skill: tuple[Skill, ...]
    model: str = ""
    alarms: tuple[Alarm, ...] = ()
    kinds: Mapping[str, SeriesForecast] = field(default_factory=dict)

    def quantile(self, horizon_steps: int, level: float) -> Matrix:
        """Return [N, N] in bit/s, interpolated between the two nearest levels.

        Raises:
            KeyError: the horizon was not forecast.
        """
        if horizon_steps not in self.horizons_steps:
            raise KeyError(f"horizon {horizon_steps} is not among {self.horizons_steps}")
        fan = self.demands_bps[self.horizons_steps.index(horizon_steps)]
        at = float(np.interp(level, self.levels, np.arange(len(self.levels))))
        low = int(at)
        high = min(low + 1, len(self.levels) - 1)
        matrix: Matrix = fan[low] + (at - low) * (fan[high] - fan[low])
        return matrix


@dataclass(frozen=True, slots=True)
class Circuit:
    """A pre-positioned path of links from one location to another; ``spi`` is its number.

    ``generation``: the plan that it was made or changed by; what is older never replaces it.
    ``backup``: the links of a disjoint path that switches go over to by themselves, from the same
    source to the same destination; empty where there is none. ``name``: what an operator calls it,
    empty for those that the loop made. ``reserved_bps``: what it keeps free for itself.
    """

    spi: int
    src: str
    dst: str
    links: tuple[str, ...]
    generation: int = 1
    backup: tuple[str, ...] = ()
    name: str = ""
    reserved_bps: float = 0.0


@dataclass(frozen=True, slots=True)
class Split:
    """How one demand is spread: ``shares[i]`` of it on circuit ``spis[i]``; they add up to 1.

    ``buckets`` is the table of BUCKETS circuit numbers that realises the shares at the edge;
    ``backups``: as many (or none), the circuit to use while the engine at the first one's end is
    down, 0 for none.
    """

    src: str
    dst: str
    spis: tuple[int, ...]
    shares: tuple[float, ...]
    buckets: tuple[int, ...]
    backups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceSplit:
    """How connections from one location to a service are spread over its instances.

    ``instances`` by name, ``shares`` adding up to 1 (both empty where none may be used).
    ``buckets``: BUCKETS places in ``instances``. ``reason``: why so, in words.
    """

    service: str
    src: str
    instances: tuple[str, ...]
    shares: tuple[float, ...]
    buckets: tuple[int, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FirewallRule:
    """What a circuit lets through or refuses; empty or 0 matches everything.

    ``priority``: higher ones are asked first, 0 to 999; no two rules of a circuit share one.
    ``source`` and ``destination``: prefixes; ``protocol``: IP protocol number; ports: of TCP, UDP
    or SCTP. ``direction``: ``forward`` (on the circuit), ``reverse`` (on the circuits of the
    operator's that lead back, matched with ends exchanged) or ``both``.
    """

    name: str
    allow: bool
    priority: int = 100
    source: str = ""
    destination: str = ""
    protocol: int = 0
    source_port: int = 0
    destination_port: int = 0
    direction: str = "forward"


@dataclass(frozen=True, slots=True)
class CircuitFilter:
    """The rules of one circuit of a plan, highest priority first, and what the rest gets."""

    spi: int
    rules: tuple[FirewallRule, ...]
    allow_rest: bool = True
    generation: int = 1


@dataclass(frozen=True, slots=True)
class Weights:
    """What the terms of a path's cost weigh.

    Per ms, per share of capacity that is short, per hop, per untrusted link, and per unit of money
    for a GB.
    """

    latency: float = 1.0
    shortage: float = 100.0
    hops: float = 0.1
    security: float = 10.0
    money: float = 1.0


@dataclass(frozen=True, slots=True)
class PathConstraints:
    """What a path must keep, whatever it costs.

    ``trusted_only``: no link that is not trusted. ``forbidden_regions``: regions that a path must
    not pass (its ends may lie there). ``avoid_links``: by name. ``max_latency_ms``: one way.
    """

    trusted_only: bool = False
    forbidden_regions: tuple[str, ...] = ()
    avoid_links: tuple[str, ...] = ()
    max_latency_ms: float | None = None


@dataclass(frozen=True, slots=True)
class CircuitRequest:
    """A circuit that an operator or an intent asks for.

    ``path``: names of links, empty for the one that costs least. ``share``: how much of the demand
    from ``src`` to ``dst`` it carries, 0 to 1. ``reserved_bps``: kept free for it on every link.
    ``rules`` and ``allow_rest``: its firewall. ``priority``: higher ones are placed first.
    """

    name: str
    src: str
    dst: str
    path: tuple[str, ...] = ()
    share: float = 1.0
    reserved_bps: float = 0.0
    priority: int = 0
    rules: tuple[FirewallRule, ...] = ()
    allow_rest: bool = True
    constraints: PathConstraints = PathConstraints()


@dataclass(frozen=True, slots=True)
class Policies:
    """What operators ask for, of routing; all have defaults that suit a backbone.

    ``quantile``: the forecast level that demands are placed at. ``horizon_steps``: how far ahead
    weights are set. ``paths``: candidate paths per demand. ``slack``: how much above the least
    maximum utilisation the second stage may go, as a factor. ``iterations``: of the solver.

    ``hedge``: which part of any one demand's burst (from ``quantile`` to the highest level
    forecast) every link must have room for. ``robust_above``: where the forecast's 80 % interval
    is wider than this share of the traffic, or its skill drifts, the hedge is ``robust_hedge`` and
    the last ``recent`` matrices must fit as well; these must also from ``recent_above`` on.

    ``churn_price``: what moving all traffic once costs, in units of the second stage's cost.
    ``path_price``: likewise, what one unit of path cost (``weights``) costs for all traffic.
    ``move_limit``: the share of the traffic that may move in one plan, but for what must.
    ``premium``: pairs of locations whose demands are placed first. ``steered``: demands that are
    optimised at most, those that meet the busiest links; others follow the plain routes.
    ``protect``: whether circuits get a backup. ``frozen``: nothing moves but what must.
    ``layers``: the policies of the three layers, whose global one is worked into these already.
    """

    quantile: float = 0.75
    horizon_steps: int = 1
    paths: int = 8
    slack: float = 1.005
    mode: str = "act"
    iterations: int = 50_000
    hedge: float = 0.25
    robust_above: float = 0.7
    robust_hedge: float = 1.0
    recent: int = 6
    recent_above: float = 0.5
    churn_price: float = 10.0
    path_price: float = 0.0
    move_limit: float = 1.0
    weights: Weights = Weights()
    constraints: PathConstraints = PathConstraints()
    premium: tuple[tuple[str, str], ...] = ()
    steered: int = 4000
    protect: bool = True
    frozen: bool = False
    requests: tuple[CircuitRequest, ...] = ()
    layers: Layers = field(default_factory=Layers)


@dataclass(frozen=True, slots=True)
class Exit:
    """Where traffic to prefixes outside leaves the network.

    ``prefixes``: in order, adjacent ones joined. ``gateways``: by location, the neighbour's address
    that they are handed to there. ``sources``: by location, where its engine has its traffic leave
    (itself, where it has a gateway of its own that is best). ``location``: where unmarked traffic
    is routed to; it is one for all sources, so that routes cannot go in circles.
    """

    prefixes: tuple[str, ...]
    gateways: Mapping[str, str]
    sources: Mapping[str, str]
    location: str


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The whole desired state of the network, with the reason for it.

    ``routes[node][destination]`` is the name of the link that unmarked traffic takes. ``method``
    says how the splits were found (``two-stage``, ``previous`` or ``igp``), ``reason`` in words.
    ``utilisation`` maps link names to what the plan predicts, as a share of capacity. ``services``:
    how each location's connections to each service are spread; ``ruling``: which policies said so.
    ``exits``: of traffic to prefixes that neighbouring networks announce.
    """

    number: int
    snapshot: int
    forecast: int
    circuits: tuple[Circuit, ...]
    splits: tuple[Split, ...]
    routes: Mapping[str, Mapping[str, str]]
    utilisation: Mapping[str, float]
    max_utilisation: float
    method: str
    reason: str
    moved_buckets: int = 0
    iterations: int = 0
    notes: tuple[str, ...] = ()
    filters: tuple[CircuitFilter, ...] = ()
    services: tuple[ServiceSplit, ...] = ()
    ruling: Ruling = field(default_factory=Ruling)
    exits: tuple[Exit, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What acting did: counts of what was added and removed, differences found on read-back.

    ``refused``: circuits that a switch refused, whose traffic was left where it was.
    """

    flows_added: int = 0
    flows_removed: int = 0
    circuits_added: int = 0
    circuits_removed: int = 0
    buckets_moved: int = 0
    rule_errors: int = 0
    act_ms: float = 0.0
    errors: tuple[str, ...] = ()
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What the journal keeps of one tick: the values' numbers, times in ms, and the outcome."""

    tick: int
    time_s: float
    snapshot: int
    forecast: int
    plan: int
    reason: str
    observe_ms: float
    predict_ms: float
    decide_ms: float
    outcome: Outcome = field(default_factory=Outcome)

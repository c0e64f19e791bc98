"""The three layers of policies, and what comes of them, as values; see docs/policies.md.

Checked where they are loaded (controller/policies/document.py); here they only hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

DIVERT, ATTRACT, PIN, LIMIT, DROP = ACTIONS = ("divert", "attract", "pin", "limit", "drop")
OPERATOR, LOOP = "operator", "loop"


@dataclass(frozen=True, slots=True)
class Bound:
    """A threshold: it binds when P(utilisation beyond it) > ``probability`` within ``horizon_s``.

    ``utilisation``: of a location, as a share of its capacity.
    """

    utilisation: float
    probability: float = 0.7
    horizon_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Objectives:
    """What the three objectives weigh: least latency, least maximum utilisation, least cost."""

    latency: float = 0.0
    utilisation: float = 1.0
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Global:
    """The global layer; None leaves what the configuration says.

    ``high``, ``low``: from when on the loop diverts from a location, and attracts back. ``step``:
    the share that one decision of the loop adds or takes back, ``most``: what it diverts at most.
    ``hold_s``: how long a rule of the loop stands before it is adjusted again. ``premium``: pairs
    of locations whose demands are placed first. ``capacities_bps``: of locations, in bit/s.
    """

    objectives: Objectives | None = None
    high: Bound | None = None
    low: Bound | None = None
    step: float = 0.25
    most: float = 0.75
    hold_s: float = 30.0
    premium: tuple[tuple[str, str], ...] = ()
    move_limit: float | None = None
    churn_price: float | None = None
    trusted_only: bool = False
    forbidden_regions: tuple[str, ...] = ()
    max_latency_ms: float | None = None
    capacities_bps: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Match:
    """Which services are meant: all that is given must fit, an empty one fits every service.

    ``services``: names. ``prefixes``: of the virtual address. ``protocol``: IP protocol number.
    ``ports``: (first, last). ``labels``: all of them, with these values.
    """

    services: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    protocol: int | None = None
    ports: tuple[tuple[int, int], ...] = ()
    dscp: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServicePolicy:
    """What holds for the services that it matches.

    Hard constraints: ``allowed_locations``, ``allowed_regions`` (empty: all),
    ``forbidden_locations``, ``forbidden_regions``, ``max_latency_ms`` (one way, predicted),
    ``trusted_only``. Wishes: ``nearest`` (else over all allowed ones by capacity), ``pin`` (only
    these locations, if one of them may be used), ``min_bandwidth_bps`` (free on the way, if any
    location has it). ``over_granular``: granular rules do not touch these services. ``priority``:
    of two policies' wishes the higher one's counts.
    """

    name: str
    match: Match = Match()
    priority: int = 100
    nearest: bool = True
    pin: tuple[str, ...] = ()
    allowed_locations: tuple[str, ...] = ()
    forbidden_locations: tuple[str, ...] = ()
    allowed_regions: tuple[str, ...] = ()
    forbidden_regions: tuple[str, ...] = ()
    max_latency_ms: float | None = None
    min_bandwidth_bps: float = 0.0
    trusted_only: bool = False
    over_granular: bool = False


@dataclass(frozen=True, slots=True)
class GranularRule:
    """While ``condition`` holds at a location, do ``action``; see docs/policies.md.

    ``condition``: a CEL expression, empty: always. ``until``: one that ends it; empty: it ends when
    the condition does not hold. ``at``: locations where it is asked, empty:
    everywhere. ``to``: where to, empty: the least loaded allowed one. ``sources``: of clients'
    locations, empty: all. ``share``: how much is moved, or is left by ``limit``. ``lifetime_s``:
    for how long it stands after what keeps it last held. ``expires_s``: when it ends whatever
    holds (seconds since the epoch). ``demands``: pairs of locations whose whole traffic is meant,
    instead of services; ``path``: the links that it is pinned to.
    """

    name: str
    action: str
    condition: str = ""
    match: Match = Match()
    at: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    share: float = 1.0
    priority: int = 100
    lifetime_s: float = 60.0
    expires_s: float | None = None
    demands: tuple[tuple[str, str], ...] = ()
    path: tuple[str, ...] = ()
    until: str = ""
    written_by: str = OPERATOR


@dataclass(frozen=True, slots=True)
class Layers:
    """All policies in force; ``version``: of the document that they are from, 0 for none."""

    version: int = 0
    general: Global = Global()
    services: tuple[ServicePolicy, ...] = ()
    rules: tuple[GranularRule, ...] = ()


@dataclass(frozen=True, slots=True)
class ActiveRule:
    """A granular rule in force at a location (empty for rules about demands).

    ``share``: at present. ``targets``: where it leads, by what is known now. ``why``: what held.
    ``since_s`` and ``until_s``: seconds since the epoch; None: until it is withdrawn.
    ``changed_s``: when its share was last adjusted.
    """

    name: str
    action: str
    location: str
    share: float
    written_by: str
    why: str
    since_s: float
    until_s: float | None
    changed_s: float
    targets: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """What it does, and why it is in force."""
        where = f" at {self.location}" if self.location else ""
        to = f" to {', '.join(self.targets)}" if self.targets else ""
        return f"{self.name}: {self.action} {100 * self.share:.0f} %{where}{to}: {self.why}"


@dataclass(frozen=True, slots=True)
class RefusedRule:
    """A rule, or a part of one, that has no effect, and why.

    ``location``: where it would have held, ``service``: which one it may not touch (empty: all).
    """

    name: str
    location: str
    service: str
    why: str

    @property
    def words(self) -> str:
        """What has no effect, and why."""
        what = f" for {self.service}" if self.service else ""
        return f"{self.name}{what}: {self.why}"


@dataclass(frozen=True, slots=True)
class Ruling:
    """What policies came to in one decision; ``layers``: the version that it is by."""

    layers: int = 0
    active: tuple[ActiveRule, ...] = ()
    refused: tuple[RefusedRule, ...] = ()
    notes: tuple[str, ...] = ()

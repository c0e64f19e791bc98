"""What the API needs of the brain. Everything is read at once, in the brain's own thread."""

from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from controller.state import Decision, Forecast, Plan, Snapshot

if TYPE_CHECKING:
    from controller.api.decisions import Explainer
    from controller.api.health import Modes
    from controller.api.operate import Operations
    from controller.api.policy import PolicyOperations
    from controller.api.series import Desk
    from controller.journal import Realised

HEALTHY = "ok"


@dataclass(frozen=True, slots=True)
class Place:
    """A location and, where known, its coordinates in degrees, its region and its prefix."""

    name: str
    lat: float | None = None
    lon: float | None = None
    region: str = ""
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    """What network or data this is, and whether the traffic is made up."""

    name: str
    synthetic: bool


@dataclass(frozen=True, slots=True)
class Status:
    """How the brain is.

    ``components``: HEALTHY, or what is wrong with it in words, by the name of the part (bus,
    southbound, decide worker, model …). ``details``: further figures, shown by the API as they are.
    """

    instance: str
    mode: str
    ready: bool
    skipped_ticks: int
    rule_errors: int
    components: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shadowed:
    """An engine, who holds its connections too, and how far they have come.

    ``shared``: shadows that may fail together with it; ``missing``: so many fewer than wanted.
    ``streams``: what the ends say (headers.messages.StreamReport's fields), with ``agent``, whose
    end that is. ``problem``: why its agent took nothing, empty when it did.
    """

    engine: str
    stage: str
    shadows: tuple[str, ...]
    generation: int
    shared: tuple[str, ...] = ()
    missing: int = 0
    streams: tuple[Mapping[str, Any], ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Came:
    """What came of the decision of a tick; ``number``: the journal's; see journal.Realised."""

    number: int
    tick: int
    time_s: float
    realised: "Realised"


class Round(Protocol):
    """All that one tick produced (``controller.loop.Tick`` is one)."""

    @property
    def number(self) -> int:
        """The tick's number; of an event, that of the tick before."""
        ...

    @property
    def event(self) -> str:
        """What caused it, empty for a tick."""
        ...

    @property
    def snapshot(self) -> Snapshot:
        """What was seen."""
        ...

    @property
    def forecast(self) -> Forecast:
        """What was expected."""
        ...

    @property
    def plan(self) -> Plan:
        """What was decided."""
        ...

    @property
    def decision(self) -> Decision:
        """When, why, and what came of it."""
        ...


class View(Protocol):
    """The brain as the API sees it."""

    def status(self) -> Status:
        """Return how the brain is."""
        ...

    def label(self) -> Label | None:
        """Return what network this is; None before one is known."""
        ...

    def places(self) -> Sequence[Place]:
        """Return the locations; empty before a network is known."""
        ...

    def last(self) -> Round | None:
        """Return the last tick; None before the first."""
        ...

    def recent(self) -> Sequence[Round]:
        """Return the ticks that are remembered, oldest first."""
        ...

    def version(self) -> Hashable:
        """Return what changes with every picture and every plan."""
        ...

    def decided(self) -> Sequence[Round]:
        """Return the decisions that are remembered, of ticks and of events, oldest first."""
        ...

    def journaled(self, plan: int) -> int | None:
        """Return the journal's number of the decision that made a plan, if it is known."""
        ...

    def came(self) -> Sequence[Came]:
        """Return what came of the decisions of which that is known, oldest first."""
        ...

    def shadowed(self) -> Sequence[Shadowed]:
        """Return the engines that have shadows, or should."""
        ...

    def thresholds(self) -> Mapping[str, Mapping[str, float | None]]:
        """Return when series are too high or too low, by kind."""
        ...

    def explainer(self) -> "Explainer | None":
        """Return what answers for decisions; None without a journal."""
        ...

    def modes(self) -> "Modes | None":
        """Return what changes the brain's mode; None where nothing does."""
        ...

    def desk(self) -> "Desk | None":
        """Return what is behind the series, events and forecasts of kinds; None without."""
        ...

    def operations(self) -> "Operations | None":
        """Return what takes operators' requests; None without."""
        ...

    def policies(self) -> "PolicyOperations | None":
        """Return what takes policies and services; None without."""
        ...

    def subscribe(self) -> AsyncIterator[Round]:
        """Return an iterator of ticks to come. It is read all the time and closed at the end."""
        ...

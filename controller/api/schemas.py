"""What answers look like, for the OpenAPI document: a schema and an example of each.

Answers are made as plain values (``wire.py``); these models describe them and are checked against
real answers by the tests.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Problem(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "There is no location 'Atlantis'.",
                    "instance": "/api/v1/forecast/Atlantis/Paris",
                }
            ]
        }
    )

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None


class Whole(BaseModel):
    """Any answer: fields may be added, so others are let through."""

    model_config = ConfigDict(extra="allow")


class Paged(Whole):
    """A part of a list: how many there are, and the cursor of the next part, null at the end."""

    total: int
    next: str | None


class Data(BaseModel):
    """What is replayed or measured."""

    name: str
    synthetic: bool


class StatusBody(Whole):
    """How the brain is."""

    instance: str
    mode: str
    ready: bool
    tick: int | None
    time_s: float | None
    step_s: float | None
    skipped_ticks: int
    rule_errors: int
    components: dict[str, str]
    data: Data | None
    details: dict[str, Any]


class HealthBody(BaseModel):
    """Whether it is well."""

    status: str = Field(pattern="^(ok|degraded)$")
    problems: dict[str, str]


class NodeBody(Whole):
    """A location."""

    name: str
    lat: float | None
    lon: float | None


class LinkBody(Whole):
    """A link as last seen, and what the plan in force expects of it (shares of its capacity)."""

    name: str
    src: str
    dst: str
    capacity_bps: int | None
    metric: float
    delay_ms: float | None
    up: bool
    rate_bps: int | None
    observed: float | None
    forecast: float | None


class TopologyBody(Whole):
    """Locations and links."""

    tick: int | None
    nodes: list[NodeBody]
    links: list[LinkBody]


class DemandsBody(Whole):
    """Matrices [source][destination] in bit/s."""

    tick: int
    nodes: list[str]
    observed_bps: list[list[int | None]]
    forecast_bps: list[list[int | None]]
    horizon_steps: int
    step_s: float


class FanBody(Whole):
    """One demand: its past, and quantiles [horizon][level]."""

    tick: int
    src: str
    dst: str
    history_bps: list[int | None]
    horizons_steps: list[int]
    levels: list[float]
    quantiles_bps: list[list[int | None]]
    model: str


class CircuitBody(Whole):
    """A circuit and what it carries."""

    spi: int
    src: str
    dst: str
    links: list[str]
    backup: list[str]
    generation: int
    buckets: int
    share: float | None


class CircuitsBody(Paged):
    """Circuits of the plan in force."""

    tick: int
    plan: int
    circuits: list[CircuitBody]


class SplitBody(Whole):
    """How one demand is spread."""

    src: str
    dst: str
    parts: list[dict[str, Any]]


class SplitsBody(Paged):
    """How demands are spread over circuits."""

    tick: int
    splits: list[SplitBody]


class FrameBody(Whole):
    """Links in one interval, in the order of their names: shares of capacity."""

    tick: int
    time_s: float
    up: list[bool]
    observed: list[float | None]
    forecast: list[float | None]


class AheadBody(Whole):
    """Links at one horizon if the plan in force stays: the median, and a cautious figure."""

    horizon_steps: int
    ahead_s: float
    expected: list[float | None]
    high: list[float | None]


class LinkHistoryBody(Paged):
    """Links through time: ``past`` newest first, ``ahead`` nearest first."""

    tick: int
    step_s: float
    links: list[str]
    past: list[FrameBody]
    ahead: list[AheadBody]


class CameBody(Whole):
    """What came of a decision: the worst link's load under it, at best, and had it only reacted."""

    number: int
    tick: int
    time_s: float
    utilisation: float | None
    optimum: float | None
    reactive: float | None
    lost_bps: float | None
    regret: float | None
    regret_of_reacting: float | None


class HindsightBody(Paged):
    """What came of decisions, newest first, and what that is on average."""

    summary: dict[str, float | int | None]
    decisions: list[CameBody]


class DecisionBody(Whole):
    """A decision: when, why, what it took."""

    tick: int
    time_s: float
    plan: int
    method: str
    reason: str


class DecisionsBody(Paged):
    """Decisions, newest first."""

    decisions: list[DecisionBody]


class ExplainedBody(Whole):
    """A decision, demand or circuit from the journal: facts, and the same in words."""

    words: list[str]
    facts: dict[str, Any]


class EnginesBody(Paged):
    """Forwarding engines."""

    engines: list[dict[str, Any]]


class ExitBody(Whole):
    """Prefixes outside, who announces them, and where traffic to them leaves.

    ``gateways``: location to the neighbour's address there; ``sources``: where a location's
    traffic leaves; ``location``: where unmarked traffic is routed to. ``announced``: what
    neighbours say, the best and the rest.
    """

    prefixes: list[str]
    location: str
    gateways: dict[str, str]
    sources: dict[str, str]
    announced: list[dict[str, Any]]


class ExitsBody(Paged):
    """Exits of the plan in force."""

    tick: int
    plan: int
    exits: list[ExitBody]


class ShadowedBody(Whole):
    """An engine, who holds its connections too, and how far they have come.

    ``shared``: shadows that may fail together with it; ``missing``: so many fewer than wanted.
    ``streams``: what each end says of a stream (docs/replication.md): lag and delay in ms.
    """

    engine: str
    stage: str
    shadows: list[str]
    generation: int
    shared: list[str]
    missing: int
    problem: str
    streams: list[dict[str, Any]]


class ShadowsBody(Paged):
    """Engines and their shadows."""

    engines: list[ShadowedBody]


class LocationsBody(Paged):
    """Locations with their prefixes."""

    locations: list[dict[str, Any]]


class ThresholdsBody(Whole):
    """Thresholds by kind of series."""

    thresholds: dict[str, dict[str, float | None]]


class ModeBody(BaseModel):
    """What the brain may do."""

    mode: str = Field(pattern="^(observe|advise|act)$")


class FrozenBody(BaseModel):
    """Whether everything stands still but what must move."""

    frozen: bool


class RequestsBody(Paged):
    """Circuits that operators asked for."""

    circuits: list[dict[str, Any]]


class RulesBody(Whole):
    """A circuit's firewall, and what is odd in it."""

    rules: list[dict[str, Any]]
    allow_rest: bool
    findings: list[dict[str, Any]]


class SeriesBody(Whole):
    """Series by kind."""

    kinds: dict[str, Any]
    counts: dict[str, Any]


class ForecastsBody(Whole):
    """Quantiles of series."""

    kind: str
    unit: str
    time_s: float
    horizons_s: list[float]
    levels: list[float]
    series: list[dict[str, Any]]


class AlarmsBody(Paged):
    """Alarms, the worst first."""

    alarms: list[dict[str, Any]]


class EventsBody(Paged):
    """Announced events."""

    events: list[dict[str, Any]]


class TakenBody(BaseModel):
    """How many samples were taken, and why others were not."""

    taken: int
    refused: dict[str, int]


class DeletedBody(BaseModel):
    """How many were deleted."""

    deleted: int


class IdBody(BaseModel):
    """What it is called."""

    id: str


class QualityBody(Whole):
    """What probes measured."""

    tick: int
    links: dict[str, Any]
    circuits: dict[str, Any]
    clients: list[dict[str, Any]]


class SessionBody(BaseModel):
    """Who asks: a name, a role (null: none), and by what; the session's secret for changes."""

    name: str
    role: str | None
    by: str
    csrf: str


class TokenBody(Whole):
    """A token: ``token`` is shown once, when it is made."""

    id: str
    name: str
    role: str
    created_s: float
    expires_s: float | None
    token: str | None = None


class TokensBody(BaseModel):
    """What is kept of tokens."""

    tokens: list[TokenBody]


class AuditBody(Paged):
    """Who did what."""

    lines: list[dict[str, Any]]


class VersionBody(Whole):
    """A version of the policies."""

    version: int
    author: str
    time_s: float
    comment: str


class DocumentText(VersionBody):
    """A version with its document."""

    text: str


class VersionsBody(Paged):
    """Versions, newest first."""

    versions: list[VersionBody]


class ServicesBody(Paged):
    """Declared services."""

    services: list[dict[str, Any]]


class RulingsBody(Whole):
    """What the policies came to in the plan in force."""

    plan: int
    version: int
    active: list[dict[str, Any]]
    refused: list[dict[str, Any]]
    services: list[dict[str, Any]]


class AnyBody(Whole):
    """An object."""


DEFAULT = {
    "model": Problem,
    "description": "What was wrong",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def answers(
    model: type[BaseModel] | None = None, status: int = 200, example: Any = None
) -> dict[int | str, dict[str, Any]]:
    """Return what a route may answer, as FastAPI's ``responses`` takes it."""
    if model is None:
        return {"default": DEFAULT}
    good: dict[str, Any] = {"model": model}
    if example is not None:
        good["content"] = {"application/json": {"example": example}}
    return {status: good, "default": DEFAULT}

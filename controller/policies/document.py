"""Policy documents: what operators write, checked, and as the values that the decision takes.

A document is YAML (or a mapping, from the API) with ``global``, ``locations``, ``services`` and
``rules``; docs/policies.md describes every key. What the system cannot do is refused here, not
left out in silence later.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from controller.decide.policy import ConditionError, compile_condition
from controller.layers import (
    Bound,
    Global,
    GranularRule,
    Layers,
    Match,
    Objectives,
    ServicePolicy,
)
from controller.lines import Where, line_of
from controller.policies.errors import PolicyError
from controller.policies.yaml_mapping import load_mapping

LONGEST = 900_000
"""Bytes of a document."""

PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "sctp": 132}

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\s:][^\n\t]*$")]
Share = Annotated[float, Field(gt=0, le=1)]
Seconds = Annotated[float, Field(gt=0, le=31_536_000)]
Names = Annotated[tuple[Name, ...], Field(max_length=1000)]
Demand = Annotated[str, Field(pattern=r"^[^>]+>[^>]+$", max_length=200)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class BoundDoc(_Model):
    """A threshold, with the probability at which it binds, and within which time."""

    utilisation: float = Field(gt=0, le=10)
    probability: float = Field(0.7, gt=0, lt=1)
    within_s: Seconds = 60.0

    def value(self) -> Bound:
        """Return what the decision takes."""
        return Bound(self.utilisation, self.probability, self.within_s)


class ObjectivesDoc(_Model):
    """What least latency, least maximum utilisation and least cost weigh."""

    latency: float = Field(0.0, ge=0, le=1000)
    utilisation: float = Field(0.0, ge=0, le=1000)
    cost: float = Field(0.0, ge=0, le=1000)

    @model_validator(mode="after")
    def _some(self) -> "ObjectivesDoc":
        if not self.latency + self.utilisation + self.cost:
            raise ValueError("one of the objectives must weigh something")
        return self


class GlobalDoc(_Model):
    """The global layer; see controller.layers.Global."""

    objectives: ObjectivesDoc | None = None
    high: BoundDoc | None = None
    low: BoundDoc | None = None
    step: Share = 0.25
    most: Share = 0.75
    hold_s: Seconds = 30.0
    premium: tuple[Demand, ...] = Field((), max_length=10_000)
    move_limit: Share | None = None
    churn_price: float | None = Field(None, ge=0)
    trusted_only: bool = False
    forbidden_regions: Names = ()
    max_latency_ms: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> "GlobalDoc":
        if self.low is not None and self.high is None:
            raise ValueError("low without high: nothing is diverted that could be attracted back")
        if self.low and self.high and self.low.utilisation >= self.high.utilisation:
            raise ValueError("low must lie below high, or rules come and go with every decision")
        if self.step > self.most:
            raise ValueError("step is more than most")
        return self

    def value(self, capacities_bps: Mapping[str, float]) -> Global:
        """Return what the decision takes."""
        return Global(
            Objectives(**self.objectives.model_dump()) if self.objectives else None,
            self.high.value() if self.high else None,
            self.low.value() if self.low else None,
            self.step,
            self.most,
            self.hold_s,
            tuple(_pair(one) for one in self.premium),
            self.move_limit,
            self.churn_price,
            self.trusted_only,
            self.forbidden_regions,
            self.max_latency_ms,
            dict(capacities_bps),
        )


class LocationDoc(_Model):
    """What is declared of a location."""

    capacity_bps: float = Field(gt=0)


class MatchDoc(_Model):
    """Which services are meant; see controller.layers.Match."""

    services: Names = ()
    prefixes: tuple[str, ...] = Field((), max_length=1000)
    protocol: int | str | None = None
    ports: tuple[int | str, ...] = Field((), max_length=1000)
    dscp: int | None = Field(None, ge=0, le=63)
    labels: dict[str, str] = Field(default_factory=dict, max_length=100)

    @field_validator("prefixes")
    @classmethod
    def _are_prefixes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            ip_network(one)
        return value

    @field_validator("protocol")
    @classmethod
    def _is_protocol(cls, value: int | str | None) -> int | None:
        if isinstance(value, str):
            if value.lower() not in PROTOCOLS:
                raise ValueError(f"{value!r} is none of {', '.join(PROTOCOLS)}, nor a number")
            return PROTOCOLS[value.lower()]
        if value is not None and not 0 <= value <= 255:
            raise ValueError("a protocol's number is 0 to 255")
        return value

    @field_validator("ports")
    @classmethod
    def _are_ports(cls, value: tuple[int | str, ...]) -> tuple[int | str, ...]:
        for one in value:
            _ports(one)
        return value

    def value(self) -> Match:
        """Return what the decision takes."""
        protocol = self.protocol if isinstance(self.protocol, int) else None
        ports = tuple(_ports(one) for one in self.ports)
        return Match(self.services, self.prefixes, protocol, ports, self.dscp, self.labels)


class ServiceDoc(_Model):
    """A service policy; see controller.layers.ServicePolicy."""

    name: Name
    match: MatchDoc = MatchDoc()
    priority: int = Field(100, ge=0, le=1000)
    spread: Literal["nearest", "capacity"] = "nearest"
    pin: Names = ()
    allowed_locations: Names = ()
    forbidden_locations: Names = ()
    allowed_regions: Names = ()
    forbidden_regions: Names = ()
    max_latency_ms: float | None = Field(None, gt=0)
    min_bandwidth_bps: float = Field(0.0, ge=0)
    trusted_only: bool = False
    over_granular: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> "ServiceDoc":
        for allowed, forbidden, what in (
            (self.allowed_locations, self.forbidden_locations, "locations"),
            (self.allowed_regions, self.forbidden_regions, "regions"),
        ):
            both = sorted(set(allowed) & set(forbidden))
            if both:
                raise ValueError(f"{both[0]} is among the allowed and the forbidden {what}")
        off = [
            one
            for one in self.pin
            if one in self.forbidden_locations
            or (self.allowed_locations and one not in self.allowed_locations)
        ]
        if off:
            raise ValueError(f"it pins to {off[0]}, which it does not allow")
        return self

    def value(self) -> ServicePolicy:
        """Return what the decision takes."""
        fields = self.model_dump(exclude={"match", "spread"})
        return ServicePolicy(
            match=self.match.value(), nearest=self.spread == "nearest", **fields
        )  # fmt: skip


class RuleDoc(_Model):
    """A granular rule; see controller.layers.GranularRule."""

    name: Name
    action: Literal["divert", "attract", "pin", "limit", "drop"]
    when: str = ""
    until: str = ""
    match: MatchDoc | None = None
    at: Names = ()
    to: Names = ()
    sources: Names = ()
    share: Share = 1.0
    priority: int = Field(100, ge=1, le=1000)
    lifetime_s: Seconds = 60.0
    expires_s: float | None = Field(None, gt=0)
    demands: tuple[Demand, ...] = Field((), max_length=1000)
    path: Names = ()

    @field_validator("when", "until")
    @classmethod
    def _holds_or_not(cls, value: str) -> str:
        if value:
            try:
                compile_condition(value)
            except ConditionError as error:
                raise ValueError(str(error)) from error
        return value

    @model_validator(mode="after")
    def _can_be_done(self) -> "RuleDoc":
        action = self.action
        if self.demands:
            if action not in ("pin", "drop"):
                raise ValueError(
                    f"{action} is about services' connections; whole demands can be pinned or"
                    " dropped only (paths are the loop's to choose)"
                )
            if self.match is not None or self.sources or self.to:
                raise ValueError("a rule about demands has no match, sources or to")
        elif self.path:
            raise ValueError(
                "a path needs demands: services' connections have no path of their own"
            )
        if self.until and not self.when:
            raise ValueError("until needs a condition that begins it (when)")
        if self.path and action != "pin":
            raise ValueError("only pin takes a path")
        if action in ("divert", "limit") and not self.at and not self.when:
            raise ValueError(f"{action} needs a condition (when), or a location (at)")
        if action == "attract" and not self.at and not self.when:
            raise ValueError("attract needs a condition (when), or a location (at)")
        if action in ("attract", "limit", "drop") and self.to:
            raise ValueError(f"{action} takes no to")
        if action == "pin" and not self.demands and not self.to and not self.at:
            raise ValueError("pin needs locations to pin to (to)")
        both = sorted(set(self.at) & set(self.to))
        if action == "divert" and both:
            raise ValueError(f"it diverts from {both[0]} to {both[0]}")
        if action == "drop" and self.share != 1.0:
            raise ValueError("drop is for all or nothing: it takes no share")
        return self

    def value(self) -> GranularRule:
        """Return what the decision takes."""
        fields = self.model_dump(exclude={"match", "when", "demands"})
        return GranularRule(
            condition=self.when,
            match=self.match.value() if self.match else Match(),
            demands=tuple(_pair(one) for one in self.demands),
            **fields,
        )


class Document(_Model):
    """A whole policy document."""

    version: Literal[1] = 1
    general: GlobalDoc = Field(GlobalDoc(), alias="global")
    locations: dict[Name, LocationDoc] = Field(default_factory=dict)
    services: tuple[ServiceDoc, ...] = Field((), max_length=20_000)
    rules: tuple[RuleDoc, ...] = Field((), max_length=20_000)

    def layers(self, version: int = 0) -> Layers:
        """Return what the decision takes."""
        capacities = {name: one.capacity_bps for name, one in self.locations.items()}
        return Layers(
            version,
            self.general.value(capacities),
            tuple(one.value() for one in self.services),
            tuple(one.value() for one in self.rules),
        )


@dataclass(frozen=True, slots=True)
class Known:
    """What there is, so that policies for what does not exist are refused; None: not known."""

    locations: Collection[str] | None = None
    links: Collection[str] | None = None
    regions: Collection[str] | None = None
    services: Collection[str] | None = None


def parse(text: str, name: str = "policies", known: Known | None = None) -> Document:
    """Return a checked document.

    Raises:
        PolicyError: it is too long, no YAML, has an unknown key or a value that is not allowed, is
            about what does not exist, or contradicts itself.
    """
    if len(text.encode()) > LONGEST:
        raise PolicyError(f"{name}: {len(text.encode())} bytes; {LONGEST} may be")
    content = load_mapping(text, name)
    try:
        document = Document.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        what = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            what = "there is no such key"
        raise PolicyError(_at(text, name, tuple(first["loc"]), what)) from error
    for where, what in _wrong(document, known or Known()):
        raise PolicyError(_at(text, name, where, what))
    return document


def to_text(content: Mapping[str, Any]) -> str:
    """Return a mapping, as the API takes it, as YAML."""
    return yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)


def _at(text: str, name: str, where: Where, what: str) -> str:
    key = ".".join(str(part) for part in where)
    return f"{name}:{line_of(text, where)}: {key + ': ' if key else ''}{what}"


def _wrong(document: Document, known: Known) -> Iterator[tuple[Where, str]]:
    """Yield what is wrong between a document's parts, and with what it is about."""
    for layer in ("services", "rules"):
        seen: set[str] = set()
        for at, one in enumerate(getattr(document, layer)):
            if one.name in seen:
                yield (layer, at, "name"), f"{one.name!r} is there twice"
            seen.add(one.name)
    yield from _contradictions(document)
    yield from _missing(document, known)


def _contradictions(document: Document) -> Iterator[tuple[Where, str]]:
    """Yield rules of one priority of which one undoes the other wherever both hold."""
    always = [(at, one) for at, one in enumerate(document.rules) if not one.when and one.at]
    diverts = [(at, one) for at, one in always if one.action == "divert"]
    for at, one in always:
        for _, other in diverts:
            same = (one.priority, one.match) == (other.priority, other.match)
            if not same or one is other or set(one.sources) != set(other.sources):
                continue
            if one.action == "attract" and set(one.at) & set(other.at):
                yield ("rules", at), f"it attracts to where {other.name!r} always diverts from"
            if (
                one.action == "divert"
                and set(one.to) & set(other.at)
                and set(other.to) & set(one.at)
            ):
                yield ("rules", at), f"it diverts to where {other.name!r} always diverts from"


def _missing(document: Document, known: Known) -> Iterator[tuple[Where, str]]:
    """Yield what a document is about and does not exist."""

    def of(names: Collection[str] | None, given: Collection[str], where: Where, what: str) -> Any:
        for one in given:
            if names is not None and one not in names:
                yield where, f"there is no {what} {one!r}"

    yield from of(known.locations, document.locations, ("locations",), "location")
    general = document.general
    yield from of(
        known.regions, general.forbidden_regions, ("global", "forbidden_regions"), "region"
    )
    ends = [end for one in general.premium for end in _pair(one)]
    yield from of(known.locations, ends, ("global", "premium"), "location")
    for at, policy in enumerate(document.services):
        where: Where = ("services", at)
        for key in ("pin", "allowed_locations", "forbidden_locations"):
            yield from of(known.locations, getattr(policy, key), (*where, key), "location")
        for key in ("allowed_regions", "forbidden_regions"):
            yield from of(known.regions, getattr(policy, key), (*where, key), "region")
        given = policy.match.services
        yield from of(known.services, given, (*where, "match", "services"), "service")
    for at, rule in enumerate(document.rules):
        where = ("rules", at)
        for key in ("at", "to", "sources"):
            yield from of(known.locations, getattr(rule, key), (*where, key), "location")
        ends = [end for one in rule.demands for end in _pair(one)]
        yield from of(known.locations, ends, (*where, "demands"), "location")
        yield from of(known.links, rule.path, (*where, "path"), "link")
        given = rule.match.services if rule.match else ()
        yield from of(known.services, given, (*where, "match", "services"), "service")


def _pair(text: str) -> tuple[str, str]:
    src, _, dst = text.partition(">")
    return src, dst


def _ports(given: int | str) -> tuple[int, int]:
    """Return a port, or a range like ``8000-8010``, as its first and last.

    Raises:
        ValueError: it is neither.
    """
    first, dash, last = str(given).partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise ValueError(f"{given!r} is no port, nor a range like 8000-8010")
    low, high = int(first), int(last or first)
    if not 1 <= low <= high <= 65535:
        raise ValueError(f"{given!r} is not between 1 and 65535")
    return low, high

"""The brain's configuration: one YAML file, checked on load, frozen after."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from controller.config_outside import Bgp, Dns, Shifting
from controller.errors import ConfigError
from controller.lines import line_of
from controller.observe.series_kinds import KINDS
from controller.state import PathConstraints, Policies, Weights

LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")


class Privacy(BaseModel):
    """Series about users or their places: none, unless permitted here, and not for longer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    permit: tuple[Literal["tenant", "user_group", "client_prefix"], ...] = ()
    retention_s: float = Field(86_400.0, ge=60)


class Threshold(BaseModel):
    """When a series of a kind is too high or too low, in the kind's unit.

    ``share``: too high from this share of a link's capacity on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    high: float | None = Field(None, gt=0)
    low: float | None = Field(None, ge=0)
    share: float | None = Field(None, gt=0)


class Series(BaseModel):
    """Series beside the demands; see docs/series.md.

    ``fast_ms``: how often fast kinds are forecast, 0: not at all. ``fast_horizons_s``: how far
    ahead. ``most``: series per kind. ``thresholds``: by kind. ``events``: a file of planned events.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fast_ms: int = Field(1000, ge=0, le=60_000)
    fast_horizons_s: tuple[Annotated[float, Field(gt=0, le=3600)], ...] = Field(
        (5.0, 10.0, 30.0), min_length=1, max_length=8
    )
    most: int = Field(2000, ge=1, le=100_000)
    thresholds: dict[str, Threshold] = Field(
        default_factory=lambda: {"link_load": Threshold(high=None, low=None, share=0.9)}
    )
    events: Path | None = None

    @field_validator("fast_ms")
    @classmethod
    def _not_too_often(cls, value: int) -> int:
        if 0 < value < 100:
            raise ValueError("0 (never) or at least 100 ms")
        return value

    @field_validator("thresholds")
    @classmethod
    def _known_kinds(cls, value: dict[str, Threshold]) -> dict[str, Threshold]:
        unknown = [kind for kind in value if kind not in KINDS]
        if unknown:
            raise ValueError(f"there is no kind {unknown[0]!r}; there are {', '.join(KINDS)}")
        return value


class LearningSettings(BaseModel):
    """Whether the model is tuned on the network's own past while running; see docs/learning.md.

    ``retrain_every_s`` and ``cool_down_s`` are times of the data's own clock; ``limit_s`` and
    ``memory_mib`` are what the retraining process may take.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    retrain_every_s: float = Field(86_400.0, gt=0)
    cool_down_s: float = Field(6 * 3600.0, gt=0)
    limit_s: int = Field(1800, ge=1)
    memory_mib: int = Field(4096, ge=256)


class Routing(BaseModel):
    """How decisions are made; see docs/deciding.md and controller.state.Policies for each.

    ``weights``: of a path's cost terms. ``trusted_only``, ``forbidden_regions``,
    ``max_latency_ms``: what every path must keep. ``premium``: demands as ``A>B``, placed first.
    ``move_limit``: the share of the traffic that may move in one plan. ``surge_ms``: how often
    demands are looked at between ticks, 0: never.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hedge: float = Field(0.25, ge=0, le=10)
    robust_above: float = Field(0.7, ge=0)
    robust_hedge: float = Field(1.0, ge=0, le=10)
    recent: int = Field(6, ge=0, le=8)
    recent_above: float = Field(0.5, ge=0)
    churn_price: float = Field(10.0, ge=0)
    path_price: float = Field(0.0, ge=0)
    move_limit: float = Field(0.5, gt=0, le=1)
    weights: dict[Literal["latency", "shortage", "hops", "security", "money"], float] = Field(
        default_factory=dict
    )
    trusted_only: bool = False
    forbidden_regions: tuple[str, ...] = ()
    max_latency_ms: float | None = Field(None, gt=0)
    premium: tuple[Annotated[str, Field(pattern=r"^[^>]+>[^>]+$")], ...] = ()
    steered: int = Field(Policies().steered, ge=1)
    protect: bool = True
    iterations: int = Field(50_000, ge=1)
    surge_ms: int = Field(250, ge=0, le=60_000)

    @field_validator("weights")
    @classmethod
    def _not_negative(cls, value: dict[str, float]) -> dict[str, float]:
        wrong = [name for name, weight in value.items() if not 0 <= weight < float("inf")]
        if wrong:
            raise ValueError(f"{wrong[0]} weighs {value[wrong[0]]}: it must not be below 0")
        return value

    @field_validator("surge_ms")
    @classmethod
    def _not_too_often(cls, value: int) -> int:
        if 0 < value < 50:
            raise ValueError("0 (never) or at least 50 ms")
        return value


class Api(BaseModel):
    """Who may ask the API; see docs/api.md.

    ``anonymous``: what one may do from this machine without a token. ``names``: under which the
    API is asked for, beside loopback's and ``page_host``. ``certificate``, ``key``: PEM files, for
    TLS; without them the API is served on loopback only. ``client_ca``: clients must show a
    certificate of this authority. The rates are requests per second and person.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    anonymous: Literal["none", "viewer"] = "viewer"
    names: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    reads_per_s: float = Field(5000.0, gt=0)
    changes_per_s: float = Field(50.0, gt=0)
    logins_per_s: float = Field(5.0, gt=0)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a certificate needs its key, and a key its certificate")
        if self.client_ca is not None and self.certificate is None:
            raise ValueError("client_ca needs a certificate: clients show theirs under TLS only")
        return self


class Config(BaseModel):
    """All settings, with defaults that suit a backbone.

    ``tick_s``: how often the loop runs. ``data_step_s``: what a tick stands for in the data's own
    time (a 5-minute matrix replayed in 2 s), else equal to ``tick_s``. ``quantile``, ``paths``,
    ``slack``, ``mode``: see controller.state.Policies. ``horizons_steps``: what is forecast.
    ``page_host``, ``page_port``: where the page is served, the next free port if that is taken.
    ``journal_ticks``, ``journal_mib``: what the journal keeps at most.
    ``key_epoch_s``: how long a key epoch lasts. ``routing``: how decisions are made.
    ``learning``: whether and when the model is retrained.
    ``api``: who may ask the API. ``dns``, ``bgp``: names and prefixes that follow plans, by
    shifts as ``shifting`` says.
    ``series``, ``privacy``: what is forecast beside the demands, and what may be.
    ``log_format``: of the brain's log, lines for people or JSON lines; left out: as the
    environment's FORESTEER_LOG_FORMAT says, which is for the other processes.
    ``hold``: wait for a start time instead of ticking at once (the demo's replay sets it).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tick_s: float = Field(5.0, ge=0.5, le=3600)
    data_step_s: float | None = Field(None, gt=0)
    quantile: float = Field(0.75, gt=0, lt=1)
    paths: int = Field(8, ge=1, le=64)
    slack: float = Field(1.005, ge=1.0, le=2.0)
    mode: Literal["observe", "advise", "act"] = "act"
    horizons_steps: tuple[Annotated[int, Field(ge=1)], ...] = Field((1, 3, 12), min_length=1)
    page_host: str = "127.0.0.1"
    page_port: int = Field(8080, ge=0, le=65535)
    journal_ticks: int = Field(20_000, ge=10)
    journal_mib: float = Field(512.0, gt=0)
    key_epoch_s: float = Field(3600.0, ge=10)
    log_format: Literal["", "text", "json"] = ""
    hold: bool = False
    routing: Routing = Routing()
    learning: LearningSettings = LearningSettings()
    series: Series = Series()
    privacy: Privacy = Privacy()
    api: Api = Api()
    dns: Dns = Dns()
    bgp: Bgp = Bgp()
    shifting: Shifting = Shifting()

    @model_validator(mode="after")
    def _not_in_the_clear(self) -> Self:
        if self.page_host not in LOOPBACK_HOSTS and self.api.certificate is None:
            raise ValueError(
                f"page_host {self.page_host} is not loopback: tokens would go in the clear;"
                " api needs a certificate and its key"
            )
        return self

    def policies(self) -> Policies:
        """Return what the decision stage needs of it."""
        routing = self.routing
        return Policies(
            self.quantile,
            self.horizons_steps[0],
            self.paths,
            self.slack,
            self.mode,
            routing.iterations,
            routing.hedge,
            routing.robust_above,
            routing.robust_hedge,
            routing.recent,
            routing.recent_above,
            routing.churn_price,
            routing.path_price,
            routing.move_limit,
            replace(Weights(), **routing.weights),
            PathConstraints(
                routing.trusted_only, routing.forbidden_regions, (), routing.max_latency_ms
            ),
            tuple((src, dst) for src, _, dst in (one.partition(">") for one in routing.premium)),
            routing.steered,
            routing.protect,
        )


def load_config(path: Path | None) -> Config:
    """Read a configuration file; without one, the defaults.

    Raises:
        ConfigError: unreadable, not YAML, an unknown key, or a value that is not allowed.
    """
    if path is None:
        return Config()
    try:
        text = path.read_text()
        content = yaml.safe_load(text) or {}
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: not a list of settings")
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        line = line_of(text, first["loc"])
        raise ConfigError(f"{path}:{line}: {key}: {first['msg']}") from error

"""One retraining: tune the champion on all but the end of a history, judge on the end, decide."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from headers.files.history import History
from models.errors import ForecastError, ModelError, TrainingError
from models.neural import OnnxForecaster
from models.neural.tuning import STEPS, Settings, refusal, tune
from models.registry.errors import RegistryError
from models.registry.judging import BLOCK, LEAST_BLOCKS, judge
from models.registry.registry import Loaded, Registry
from models.registry.version import Verdict, Version

HELD_S = 86_400.0
HELD_SHARE = 0.25
"""What is held back: the last day, but no more than this share of the history."""

HORIZONS = (1, 3, 12)

LATELY = 0.5
"""The share of the windows that is drawn from the latest time where drift asked."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to retrain: ``kind`` and ``group`` name the model, ``horizons`` are judged.

    ``held_s``: length of the held-back end, in the data's own time; ``lately_s``: where given,
    half of what is learned comes from so long before it.
    """

    kind: str = "demand"
    group: str = "all"
    horizons: tuple[int, ...] = HORIZONS
    held_s: float = HELD_S
    lately_s: float | None = None
    seed: int = 1
    steps: int = STEPS
    settings: Settings | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """``promoted`` says whether there is a new champion; ``why`` says it in words.

    ``version`` is the candidate's name, empty where none was made.
    """

    promoted: bool
    version: str
    why: str
    verdict: Verdict | None = None


def held_intervals(count: int, step_s: float, order: Order) -> int:
    """Return how many intervals at the end are held back."""
    block = max(BLOCK, *order.horizons)
    wanted = min(round(order.held_s / step_s), int(HELD_SHARE * count))
    return max(wanted, LEAST_BLOCKS * block)


def _settings(order: Order) -> Settings:
    chosen = order.settings or Settings()
    if order.lately_s is None:
        return chosen
    return dataclasses.replace(chosen, recent=LATELY, recent_s=order.lately_s)


def retrain(
    history: History,
    registry: Registry,
    order: Order,
    *,
    now_s: float,
    say: Callable[[str], None] = print,
) -> Outcome:
    """Tune a candidate from the champion, add it, and promote it if it is better.

    Raises:
        RegistryError: the registry cannot be written, or there is no model to begin with.
    """
    loaded = registry.load(order.kind, order.group)
    for problem in loaded.problems:
        say(problem)
    if loaded.forecaster is None:
        raise RegistryError("there is no model to tune: restore the shipped one from the release")
    while registry.champion(order.kind, order.group) != loaded.version:
        registry.roll_back(order.kind, order.group, why="its file is bad", now_s=now_s)
    held = held_intervals(len(history.values), history.step_s, order)
    past = history.values[: max(0, len(history.values) - held)]
    reason = refusal(past, history.step_s)
    if reason:
        return Outcome(False, "", f"not enough history before the held-back end: {reason}")
    try:
        candidate = tune(
            loaded.forecaster,
            past,
            history.step_s,
            seed=order.seed,
            steps=order.steps,
            settings=_settings(order),
            say=say,
        )
    except (TrainingError, ModelError) as error:
        return Outcome(False, "", f"no candidate: {error}")
    if candidate.card.sha256 == loaded.forecaster.card.sha256:
        return Outcome(False, "", "tuning found nothing that is better even on the past")
    return consider(history, registry, order, loaded, candidate, now_s=now_s)


def consider(
    history: History,
    registry: Registry,
    order: Order,
    champion: Loaded,
    candidate: OnnxForecaster,
    *,
    now_s: float,
) -> Outcome:
    """Judge a candidate against the champion on the history's end, add it, promote it if better.

    Raises:
        RegistryError: the registry cannot be written, or there is no champion.
    """
    if champion.forecaster is None:
        raise RegistryError("there is no model to judge against")
    held = held_intervals(len(history.values), history.step_s, order)
    try:
        verdict = judge(
            history.values,
            champion.forecaster,
            candidate,
            horizons=order.horizons,
            step_s=history.step_s,
            held=held,
            against=champion.version,
        )
    except (ForecastError, ModelError) as error:
        return Outcome(False, "", f"the candidate could not be judged: {error}")
    added = registry.add(
        candidate,
        Version(
            name="",
            sha256=candidate.card.sha256,
            parent=champion.version,
            parent_sha256=str(candidate.card.recipe.get("parent", "")),
            kind=order.kind,
            group=order.group,
            intervals=len(history.values) - held,
            series=history.values.shape[1],
            step_s=history.step_s,
            first_s=history.start_s,
            seed=order.seed,
            made_s=now_s,
            verdict=verdict,
        ),
    )
    if not verdict.better:
        return Outcome(False, added.name, verdict.why, verdict)
    try:
        registry.promote(added.name, now_s=now_s)
    except RegistryError as error:
        return Outcome(False, added.name, str(error), verdict)
    return Outcome(True, added.name, verdict.why, verdict)

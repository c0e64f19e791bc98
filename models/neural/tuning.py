"""Tuning: the network's head goes on learning on one network's own history, without torch.

What is seen of a window stays as it was trained on many networks; only what is made of it, some
thousand weights, is moved, by Adam on the pinball loss, and pulled back to the parent's. Blocks of
the past are held back, a fifth of it: the weights that do best there are kept, averaged over the
last steps, and the parent's where nothing is better. A seed repeats the result to the bit on one
machine.

Windows are drawn, not the history copied: half a year takes the memory of ten days.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError, TrainingError
from models.neural.cards import sha256_of
from models.neural.features import FINE, LOOK, features
from models.neural.forecaster import OnnxForecaster, open_model
from models.neural.head import PRIOR, TRAINED, Array, Shown, Weights, loss_of, slopes_of
from models.neural.onnxfile import read_weights, write_weights
from models.neural.samples import HORIZON_MAX, TARGET_LIMIT
from models.windows import LIMIT, repair

NAME = "tuned"
STEPS = 1000
OWN = "own history"

LEAST_S = 3 * 86_400.0
LEAST_INTERVALS = 500
"""A history that is shorter is not tuned on: by the clock, and in intervals."""

LEAST_FILLED = 0.5
"""Share of a history's values that must be there."""

SERIES = 256
"""Series that are drawn at most from one origin."""

PART = 2048
"""Held-back windows that are looked at together."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How tuning is done; chosen on Abilene, 1-7 March 2004 judged by 8-10 March.

    ``windows`` drawn at most, each with ``horizons`` targets, the share ``recent`` of them from
    the last ``recent_s``. ``block_s``: one block of so long out of ``one_in`` is held back, and at
    most ``judged`` windows of those are looked at, every ``every`` steps; ``patience`` looks
    without a better one end it. ``batch`` windows a step, at the learning rate ``rate`` that falls
    to 0; ``pull``: the part of the way back to the parent's weights that is gone at every step, in
    learning rates; ``average``: how fast the averaged weights follow. A target counts by the
    series' mean to the power ``volume``, and by its horizon to the power minus ``near``: far ahead
    a week of history teaches that week.
    """

    windows: int = 100_000
    horizons: int = 6
    recent: float = 0.2
    recent_s: float = 3 * 86_400.0
    block_s: float = 3 * 3600.0
    one_in: int = 5
    judged: int = 10_000
    every: int = 50
    patience: int = 12
    batch: int = 512
    rate: float = 3e-3
    pull: float = 0.5
    average: float = 0.02
    volume: float = 0.5
    near: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """A history ``values`` [T, S], NaN or nonsense in gaps, in intervals of ``step_s``."""

    values: NDArray[np.floating]
    step_s: float


@dataclass(frozen=True, slots=True)
class Fit:
    """``step`` whose weights were kept, 0 for the parent's; ``ratio`` of the held-back losses."""

    step: int
    ratio: float


def refusal(past: NDArray[np.floating], step_s: float) -> str:
    """Return why a history [T, S] is not enough to tune on, or nothing where it is."""
    count = len(past)
    if count < LEAST_INTERVALS or count * step_s < LEAST_S:
        return (
            f"{count} intervals of {step_s:g} s: tuning takes at least {LEAST_INTERVALS}"
            f" and {LEAST_S / 86_400.0:g} days"
        )
    # a sample of rows tells enough, and spares a copy of half a year
    rows = past[:: max(1, count // 1000)]
    good = (rows >= 0.0) & (rows <= LIMIT)
    if not rows.size or good.mean() < LEAST_FILLED:
        return f"less than {100 * LEAST_FILLED:g} % of the history's values are there"
    if not (good & (rows > 0.0)).any():
        return "there is no traffic in the history"
    return ""


def tune(
    network: OnnxForecaster,
    past: NDArray[np.floating],
    step_s: float,
    *,
    name: str = NAME,
    seed: int = 1,
    steps: int = STEPS,
    settings: Settings | None = None,
    say: Callable[[str], None] = print,
) -> OnnxForecaster:
    """Return the network with a head tuned on a history; its card names the parent.

    ``past``: [T, S], oldest first, NaN for gaps, float32 or float64; all series are tuned on
    together. ``step_s``: an interval in the data's own time. At most ``steps`` steps are made.
    Memory is bounded by ``settings``, not by the history.

    Raises:
        TrainingError: the history is not enough (see ``refusal``).
        ModelError: the network's file has no head that can be tuned.
    """
    reason = refusal(past, step_s)
    if reason:
        raise TrainingError(reason)
    chosen = settings or Settings()
    parent = head_of(network)
    rng = np.random.default_rng(seed)
    history = Past(past, step_s)
    train, judge = _split(*_draw(network, history, chosen, rng), len(past), step_s, chosen, rng)
    weights, kept = _fit(parent, train, judge, steps, chosen, rng, say)
    return _made(network, weights, kept, history, name=name, seed=seed, steps=steps)


def head_of(network: OnnxForecaster) -> dict[str, Array]:
    """Return the weights of a network's head, and the fixed part of its mix.

    Raises:
        ModelError: the file has none.
    """
    try:
        return dict(read_weights(network.content, (*TRAINED, PRIOR)))
    except ValueError as error:
        raise ModelError(
            f"{network.model} cannot be tuned ({error}): make one with 'foresteer train'"
        ) from error


def held_back(
    count: int, step_s: float, chosen: Settings, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return [T], which intervals are held back: of so many blocks in a row one, by lot."""
    block = np.arange(count) // max(1, round(chosen.block_s / step_s))
    group, member = block // chosen.one_in, block % chosen.one_in
    taken = rng.integers(0, chosen.one_in, int(group[-1]) + 1)
    held: NDArray[np.bool_] = member == taken[group]
    return held


def _split(
    shown: Shown,
    targets: NDArray[np.int64],
    count: int,
    step_s: float,
    chosen: Settings,
    rng: np.random.Generator,
) -> tuple[Shown, Shown]:
    """Return the same windows with what is trained on, and some with what is held back."""
    held = held_back(count + HORIZON_MAX, step_s, chosen, rng)[targets]
    train = dataclasses.replace(shown, truth=np.where(held, np.float32(np.nan), shown.truth))
    judge = dataclasses.replace(shown, truth=np.where(held, shown.truth, np.float32(np.nan)))
    some = np.flatnonzero(~np.isnan(judge.truth).all(axis=1))
    return train, judge.take(rng.permutation(some)[: chosen.judged])


def _draw(
    network: OnnxForecaster, past: Past, chosen: Settings, rng: np.random.Generator
) -> tuple[Shown, NDArray[np.int64]]:
    """Return what the head is shown of windows that end anywhere in the past, and [B, H], of when.

    Each looks back as far as it can. Windows that end near each other are looked at together
    where there are few series.
    """
    count, series = past.values.shape
    last = count - 1
    origins = max(1, chosen.windows // min(series, SERIES))
    lately = max(FINE, last - int(chosen.recent_s / past.step_s))
    first = np.where(rng.random(origins) < chosen.recent, lately, FINE)
    drawn = np.sort(rng.integers(first, last))
    many = max(1, SERIES // series)
    found = [
        _look(network, past, drawn[at : at + many], chosen, rng)
        for at in range(0, len(drawn), many)
    ]
    names = [field.name for field in dataclasses.fields(Shown)]
    shown = Shown(*(np.concatenate([getattr(one, name) for one, _ in found]) for name in names))
    return shown, np.concatenate([targets for _, targets in found])


def _look(
    network: OnnxForecaster,
    past: Past,
    origins: NDArray[np.int64],
    chosen: Settings,
    rng: np.random.Generator,
) -> tuple[Shown, NDArray[np.int64]]:
    """Return the windows of all series (or of some, by lot) that end at ``origins``."""
    horizons = np.exp(rng.uniform(0.0, np.log(HORIZON_MAX + 0.99), chosen.horizons)).astype(int)
    horizons[0] = 1
    series = past.values.shape[1]
    columns = np.arange(series)
    if series > SERIES:
        columns = np.sort(rng.choice(series, SERIES, replace=False))
    length = min(LOOK, int(origins[0]) + 1)
    windows = [past.values[at + 1 - length : at + 1, columns] for at in origins]
    rows, _ = repair(np.concatenate(windows, axis=1).T)
    shown = features(rows.T, tuple(horizons.tolist()), past.step_s)
    targets = np.repeat(origins, len(columns))[:, None] + horizons
    ends = [np.minimum(at + horizons, len(past.values) - 1) for at in origins]
    came = np.concatenate([past.values[end][:, columns] for end in ends], axis=1)
    came = np.where(len(past.values) > targets.T, came, np.nan)
    scale = np.where(shown.scale > 0.0, shown.scale, 1.0)
    good = (came >= 0.0) & (came <= LIMIT) & (shown.scale > 0.0)
    truth = np.where(good, np.minimum(came / scale, TARGET_LIMIT), np.nan).T
    seen = Shown(
        network.look(shown)[1],
        shown.ahead,
        shown.basis,
        shown.extra,
        shown.unrest,
        truth.astype(np.float32),
        np.outer(shown.scale**chosen.volume, horizons**-chosen.near).astype(np.float32),
    )
    return seen, targets


def _fit(
    parent: Weights,
    train: Shown,
    judge: Shown,
    steps: int,
    chosen: Settings,
    rng: np.random.Generator,
    say: Callable[[str], None],
) -> tuple[dict[str, Array], Fit]:
    """Return the tuned weights and how they did on what was held back."""
    first = least = _mean_loss(parent, judge)
    if not first > 0.0:
        return dict(parent), Fit(0, 1.0)
    now = {name: np.array(value) for name, value in parent.items()}
    mean = {name: np.array(value) for name, value in parent.items()}
    moments = {name: (np.zeros_like(now[name]), np.zeros_like(now[name])) for name in TRAINED}
    best, at = dict(parent), 0
    for step in range(1, steps + 1):
        _, slopes = slopes_of(now, train.take(rng.integers(0, len(train), chosen.batch)))
        rate = chosen.rate * 0.5 * (1.0 + np.cos(np.pi * step / steps))
        _move(now, parent, slopes, moments, step, rate, chosen.pull)
        for name in TRAINED:
            mean[name] += chosen.average * (now[name] - mean[name])
        if step % chosen.every and step < steps:
            continue
        loss = _mean_loss(mean, judge)
        if loss < least:
            best, least, at = {name: value.copy() for name, value in mean.items()}, loss, step
        say(f"step {step} of {steps}: held-back loss {loss / first:.4f} of the parent's")
        if step - at >= chosen.patience * chosen.every:
            break
    return best, Fit(at, least / first)


def _mean_loss(weights: Weights, shown: Shown) -> float:
    """Return the loss over all windows, 0 without any; in parts that fit into the cache."""
    starts = range(0, len(shown), PART)
    parts = [shown.take(np.arange(at, min(at + PART, len(shown)))) for at in starts]
    losses = [loss_of(weights, part) * len(part) for part in parts]
    return sum(losses) / max(len(shown), 1)


def _move(
    now: dict[str, Array],
    parent: Weights,
    slopes: Weights,
    moments: dict[str, tuple[Array, Array]],
    step: int,
    rate: float,
    pull: float,
) -> None:
    """Make one step of Adam (Kingma and Ba 2015), and a step back to the parent."""
    for name in TRAINED:
        mean, square = moments[name]
        mean += 0.1 * (slopes[name] - mean)
        square += 0.001 * (slopes[name] ** 2 - square)
        size = np.sqrt(square / (1.0 - 0.999**step)) + 1e-8
        now[name] -= rate * (mean / (1.0 - 0.9**step) / size)
        now[name] -= rate * pull * (now[name] - parent[name])


def _made(
    network: OnnxForecaster,
    weights: Weights,
    fit: Fit,
    past: Past,
    *,
    name: str,
    seed: int,
    steps: int,
) -> OnnxForecaster:
    """Return the forecaster with other weights; its card tells where it comes from."""
    changed = {one: weights[one].astype(np.float32) for one in TRAINED}
    content = write_weights(network.content, changed)
    card = dataclasses.replace(
        network.card,
        name=name,
        sha256=sha256_of(content),
        size_bytes=len(content),
        recipe={"parent": network.card.sha256, "seed": seed, "steps": steps, "kept": fit.step},
        data=[
            *(one for one in network.card.data if one.get("name") != OWN),
            {
                "name": OWN,
                "licence": "the network's own",
                "synthetic": False,
                "intervals": [f"{len(past.values)} of {past.step_s:g} s"],
                "series": past.values.shape[1],
            },
        ],
        skill={"held_back_loss_over_parent": round(fit.ratio, 5)},
        reproduce="foresteer retrain, with the same parent, history and seed",
    )
    return open_model(Path(f"{name}.onnx"), content, card)

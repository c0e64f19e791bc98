"""Shards of a forecast: how series are split, and how one shard is computed, wherever that is.

Both the brain and the workers compute a shard by ``compute``, from float32 windows and to float32
quantiles, and the split depends on the question alone, never on who is there to answer. So what
comes back from any number of workers is what the brain would have computed by itself, to the last
bit, as long as all run the same model on processors of the same kind.

A forecaster that looks at all series together (``last`` and ``ewma`` share their smoothing and the
shape of their errors) would give other answers for a part of them. Such a one is never split.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models import QUANTILES, Forecaster

Array = NDArray[np.float64]
Window = NDArray[np.float32]
Answers = dict[str, Array]
Errors = dict[str, str]

WIRE = np.dtype("<f4")
"""Numbers of windows and quantiles on the wire."""

SHARD_MAX = 128
"""Series of one shard: enough for the network to run at its best (more gained nothing), and few
enough that chance, which deals them out, treats workers alike."""

PAYLOAD_MAX = (1 << 20) - (64 << 10)
"""Bytes of numbers in one message: NATS' default limit less room for the envelope."""

STEPS_MAX = 100_000
"""The furthest horizon that a worker is asked for."""

POOLED = frozenset({"last", "ewma"})
"""Forecasters that look at all series together and do not say so themselves."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Series ``start`` up to, not including, ``stop``."""

    start: int
    stop: int


def splits(forecaster: Forecaster) -> bool:
    """Return whether each series' forecast depends on that series alone."""
    return bool(getattr(forecaster, "per_series", forecaster.name not in POOLED))


def identity(forecaster: Forecaster) -> str:
    """Return what two forecasters of one name must have in common; empty where that is nothing."""
    card = getattr(forecaster, "card", None)
    return str(getattr(card, "sha256", "") or getattr(forecaster, "model", ""))


def split(series: int, length: int, forecasters: int, horizons: int) -> tuple[Shard, ...]:
    """Return the shards of ``series`` windows of ``length``; none where one does not fit a message.

    Question and answer of each fit into one message.
    """
    width = max(length, forecasters * horizons * len(QUANTILES), 1) * WIRE.itemsize
    size = min(SHARD_MAX, PAYLOAD_MAX // width)
    if not size:
        return ()
    return tuple(Shard(at, min(at + size, series)) for at in range(0, series, size))


def compute(
    forecasters: Iterable[Forecaster], window: Window, horizons: tuple[int, ...], step_s: float
) -> tuple[dict[str, Window], Errors]:
    """Return each forecaster's quantiles [S, H, Q] as float32, and why the others have none.

    What a forecaster raises is its answer: the others go on.
    """
    found: dict[str, Window] = {}
    errors: Errors = {}
    wide = window.astype(np.float64)
    for forecaster in forecasters:
        try:
            quantiles = forecaster.forecast(wide, horizons, step_s)
        except Exception as error:  # a forecaster's fault, whatever it is, costs that one only
            errors[forecaster.name] = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        else:
            found[forecaster.name] = quantiles.astype(WIRE)
    return found, errors


def narrow(window: Array) -> Window:
    """Return a window [S, L] as it goes on the wire; what float32 cannot hold becomes infinite."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(window, dtype=WIRE)


def join(
    parts: Sequence[tuple[Shard, Mapping[str, Window]]], names: Iterable[str], series: int
) -> Answers:
    """Return [S, H, Q] by name, of those that every part has."""
    joined = {}
    for name in names:
        pieces = [(shard, found[name]) for shard, found in parts if name in found]
        if len(pieces) < len(parts) or not pieces:
            continue
        whole = np.empty((series, *pieces[0][1].shape[1:]))
        for shard, piece in pieces:
            whole[shard.start : shard.stop] = piece
        joined[name] = whole
    return joined


def ask_local(
    forecasters: Sequence[Forecaster], window: Array, horizons: tuple[int, ...], step_s: float
) -> tuple[Answers, Errors]:
    """Forecast here and now: the same answers as a pool of workers gives.

    ``window``: [S, L], oldest first, NaN in gaps. Returns quantiles [S, H, Q] by forecaster, with
    the precision of float32, and by name why a forecaster has none.
    """
    narrowed = narrow(window)
    apart = [one for one in forecasters if splits(one)]
    whole = [one for one in forecasters if not splits(one)]
    everything = Shard(0, len(narrowed))
    found, errors = compute(whole, narrowed, horizons, step_s)
    answers = join([(everything, found)], found, len(narrowed))
    parts = []
    shards = shards_of(narrowed, len(apart), horizons) if apart else ()
    for shard in shards:
        sound = [one for one in apart if one.name not in errors]
        piece, wrong = compute(sound, narrowed[shard.start : shard.stop], horizons, step_s)
        errors |= wrong
        parts.append((shard, piece))
    answers |= join(parts, (one.name for one in apart), len(narrowed))
    return answers, errors


def shards_of(window: Window, forecasters: int, horizons: tuple[int, ...]) -> tuple[Shard, ...]:
    """Return how a window is split; in one piece where it is empty or of the wrong shape."""
    if window.ndim != 2 or not len(window):
        return (Shard(0, len(window)),)
    series, length = window.shape
    return split(series, length, forecasters, len(horizons)) or (Shard(0, series),)

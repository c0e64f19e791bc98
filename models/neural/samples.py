"""What a model is trained on: windows drawn from many kinds of series, reproducibly.

No torch here, so that the preparation of data can be tested where nothing is trained.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.neural.features import LOOK, features
from models.neural.recipe import INPUTS

Array = NDArray[np.float64]

HORIZON_MAX = 48
"""The furthest horizon, in steps, that a model is trained for."""

LEAST_PAST = 12
"""Real intervals that a training window holds at least; before them its first value stands."""

BLOCK = 512
"""Windows that are cut from one set at once."""

POOL = 96
"""Blocks that are mixed before batches are drawn from them."""

TARGET_LIMIT = 1e4
"""What came is cut there, in units of the window's mean: one burst must not own a training."""


@dataclass(frozen=True, slots=True, eq=False)
class SeriesSet:
    """Series of one kind: ``values`` [T, S] in any unit, not negative; an interval is ``step_s``.

    ``share``: how much of the training is drawn from it. ``licence`` goes into the model's card.
    ``start``: the first interval that counts where a set is for validation; those before it are
    the past that forecasts start from.
    """

    name: str
    values: Array
    step_s: float
    share: float
    licence: str
    start: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What the network is shown of B windows, and what came after them.

    ``inputs``: arrays in the order of ``recipe.INPUTS``, [B, ...] each. ``targets``: float32
    [B, H], in the windows' own scale.
    """

    inputs: tuple[NDArray[np.float32], ...]
    targets: NDArray[np.float32]

    def take(self, which: NDArray[np.int64]) -> "Batch":
        """Return the windows with these numbers."""
        return Batch(tuple(one[which] for one in self.inputs), self.targets[which])


def aggregate(values: Array, bins: int) -> Array:
    """Return [T // bins, S]: the means of ``bins`` intervals each; a rest at the end is dropped."""
    whole = len(values) // bins * bins
    means: Array = values[:whole].reshape(-1, bins, values.shape[1]).mean(axis=1)
    return means


def join(batches: Sequence[Batch]) -> Batch:
    """Return all windows of several batches with the same number of horizons."""
    inputs = zip(*(one.inputs for one in batches), strict=True)
    return Batch(
        tuple(np.concatenate(parts) for parts in inputs),
        np.concatenate([one.targets for one in batches]),
    )


def show(rows: Array, targets: Array, horizons: tuple[int, ...], step_s: float) -> Batch:
    """Return windows ``rows`` [L, B] as the network sees them, with what came, ``targets`` [H, B].

    Windows without any traffic are left out.
    """
    seen = features(rows, horizons, step_s)
    alive = seen.scale > 0.0
    scaled = np.minimum(targets[:, alive] / seen.scale[alive], TARGET_LIMIT)
    return Batch(
        tuple(getattr(seen, name)[alive] for name in INPUTS),
        np.ascontiguousarray(scaled.T, dtype=np.float32),
    )


class WindowSampler:
    """Draws windows from sets of series; a seed repeats the draw.

    Series are drawn by the square root of their volume (the large ones decide how good a forecast
    is for a network, the small ones are many). Some windows hold the sum of several series, as a
    link does. Half of the blocks look back as far as the set allows, the others less, as after a
    start of the program.
    """

    def __init__(self, sets: tuple[SeriesSet, ...], seed: int) -> None:
        """Keep the sets; those too short for LEAST_PAST and the furthest horizon are left out."""
        self._rng = np.random.default_rng(seed)
        self._sets = tuple(s for s in sets if len(s.values) > 2 * LEAST_PAST + HORIZON_MAX)
        if not self._sets:
            raise ValueError(
                f"no set of series is longer than {2 * LEAST_PAST + HORIZON_MAX} intervals"
            )
        shares = np.array([s.share for s in self._sets])
        self._shares = shares / shares.sum()
        self._chances = []
        for one in self._sets:
            volume = np.sqrt(one.values.mean(axis=0)) + 1e-12
            self._chances.append(volume / volume.sum())

    def batches(self, size: int, horizons: int, count: int) -> Iterator[Batch]:
        """Yield ``count`` batches of ``size`` windows with ``horizons`` random horizons each."""
        while count > 0:
            pool = join([self.block(BLOCK, horizons) for _ in range(POOL)])
            order = self._rng.permutation(len(pool.targets))
            for first in range(0, len(order) - size + 1, size):
                if count > 0:
                    yield pool.take(order[first : first + size])
                count -= 1

    def block(self, size: int, horizons: int) -> Batch:
        """Return up to ``size`` windows of one set, with one look-back and the same horizons."""
        rng = self._rng
        which = int(rng.choice(len(self._sets), p=self._shares))
        one = self._sets[which]
        drawn = np.exp(rng.uniform(0.0, np.log(HORIZON_MAX + 0.99), horizons)).astype(np.int64)
        drawn[0] = 1
        most = min(LOOK, max(int(0.8 * len(one.values)) - HORIZON_MAX, 2 * LEAST_PAST))
        length = most
        if rng.random() < 0.5:
            length = int(np.exp(rng.uniform(np.log(LEAST_PAST), np.log(most))))
        origins = rng.integers(length - 1, len(one.values) - HORIZON_MAX, size)
        at = np.concatenate([np.arange(1 - length, 1), drawn])[:, None] + origins[None, :]
        rows = np.zeros(at.shape)
        members = np.where(rng.random(size) < 0.25, rng.integers(2, 6, size), 1)
        for part in range(int(members.max())):
            column = rng.choice(one.values.shape[1], size, p=self._chances[which])
            rows += np.where((part < members)[None, :], one.values[at, column[None, :]], 0.0)
        return show(rows[:length], rows[length:], tuple(int(h) for h in drawn), one.step_s)

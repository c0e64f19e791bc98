"""What a model is trained on: windows drawn from many kinds of series, reproducibly.

No torch here, so that the preparation of data can be tested where nothing is trained.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

HORIZON_MAX = 48
"""The furthest horizon, in steps, that a model is trained for."""

LEAST_PAST = 12
"""Real intervals that a training window holds at least; before them its first value stands."""


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
    """Scaled windows and what came after them.

    ``windows``: float32 [B, L], each divided by its own mean. ``horizons``: int64 [H] in steps.
    ``steps_s``: float32 [B]. ``targets``: float32 [B, H], divided by the same means.
    """

    windows: NDArray[np.float32]
    horizons: NDArray[np.int64]
    steps_s: NDArray[np.float32]
    targets: NDArray[np.float32]


def aggregate(values: Array, bins: int) -> Array:
    """Return [T // bins, S]: the means of ``bins`` intervals each; a rest at the end is dropped."""
    whole = len(values) // bins * bins
    means: Array = values[:whole].reshape(-1, bins, values.shape[1]).mean(axis=1)
    return means


def scale_windows(windows: Array) -> tuple[NDArray[np.float32], Array]:
    """Return windows [B, L] over their own means (float32), and the means [B] (0: silent)."""
    means = windows.mean(axis=1)
    safe = np.where(means > 0.0, means, 1.0)
    return (windows / safe[:, None]).astype(np.float32), means


class WindowSampler:
    """Draws batches from sets of series; a seed repeats the draw.

    Series are drawn by the square root of their volume (the large ones decide how good a forecast
    is for a network, the small ones are many). Some windows hold the sum of several series, as a
    link does; some begin late, their front filled with the first value, as after a start of the
    program.
    """

    def __init__(self, sets: tuple[SeriesSet, ...], window: int, seed: int) -> None:
        """Keep the sets; those too short for LEAST_PAST and the furthest horizon are left out."""
        self._window = window
        self._rng = np.random.default_rng(seed)
        self._sets = tuple(s for s in sets if len(s.values) > LEAST_PAST + HORIZON_MAX)
        if not self._sets:
            raise ValueError(
                f"no set of series is longer than {LEAST_PAST + HORIZON_MAX} intervals"
            )
        shares = np.array([s.share for s in self._sets])
        self._shares = shares / shares.sum()
        self._chances = []
        for one in self._sets:
            volume = np.sqrt(one.values.mean(axis=0))
            self._chances.append(volume / volume.sum())

    def draw(self, size: int, horizons: int) -> Batch:
        """Return ``size`` windows with targets at ``horizons`` random horizons (1 always)."""
        rng = self._rng
        drawn = np.exp(rng.uniform(0.0, np.log(HORIZON_MAX + 0.99), horizons)).astype(np.int64)
        drawn[0] = 1
        parts = []
        for which, number in enumerate(rng.multinomial(size, self._shares)):
            if number:
                parts.append((self._cut(which, int(number)), self._sets[which].step_s))
        blocks = np.concatenate([block for block, _ in parts])
        steps = np.concatenate([np.full(len(block), step) for block, step in parts])
        alive = blocks[:, : self._window].mean(axis=1) > 0.0
        blocks, steps = blocks[alive], steps[alive]
        front = blocks[:, : self._window]
        windows, means = scale_windows(front)
        safe = np.where(means > 0.0, means, 1.0)
        targets = blocks[:, self._window - 1 + drawn] / safe[:, None]
        keep = means > 0.0
        return Batch(
            windows[keep],
            drawn,
            steps.astype(np.float32)[keep],
            np.minimum(targets, 1e4).astype(np.float32)[keep],
        )

    def _cut(self, which: int, number: int) -> Array:
        """Return [number, window + HORIZON_MAX] from one set."""
        rng = self._rng
        values = self._sets[which].values
        length = self._window + HORIZON_MAX
        # before its first interval a series is taken to have been as it was then
        starts = rng.integers(LEAST_PAST - self._window, len(values) - length + 1, number)
        late = np.where(rng.random(number) < 0.2, rng.integers(0, self._window, number), 0)
        late = np.minimum(late, self._window - LEAST_PAST)
        begins = np.maximum(starts + late, 0)
        at = np.maximum(starts[:, None] + np.arange(length)[None, :], begins[:, None])
        block = np.zeros((number, length))
        members = np.where(rng.random(number) < 0.25, rng.integers(2, 6, number), 1)
        for part in range(int(members.max())):
            column = rng.choice(values.shape[1], number, p=self._chances[which])
            block += np.where((part < members)[:, None], values[at, column[:, None]], 0.0)
        return block

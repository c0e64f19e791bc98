"""The sets that a shipped model may be trained on, and the parts of them that are held back.

Only sets whose licence lets a model made from them be given on: GÉANT and Facebook's PoD matrices
(FIGRET) and the 1998 World Cup's request counts, all MIT, and made-up series. Others (SNDlib's
Abilene: academic use; NASA-HTTP: no licence stated) are for measuring only and are never read here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headers.files import load_matrices, load_rates
from models.datasets.grid import slots
from models.datasets.synthetic import generate_series
from models.neural.samples import SeriesSet, aggregate

Array = NDArray[np.float64]

GEANT_TRAINING_INTERVALS = 400

INTERVALS = 2600
"""Length of a made-up set: nine days at five minutes."""

PAST = 320
"""Intervals of past that a validation set has before those that count."""


@dataclass(frozen=True, slots=True)
class Split:
    """Series for training, and the later ones of the same sets that choices are made by."""

    training: tuple[SeriesSet, ...]
    validation: tuple[SeriesSet, ...]


def _demands(path: Path) -> Array:
    """Return [T, S], the demands of a matrix file that are not always 0."""
    tm = load_matrices(path).tm_mbps
    flat = tm.reshape(len(tm), -1)
    return flat[:, flat.mean(axis=0) > 0.0]


def _rates(path: Path) -> Array:
    """Return [T, 1] from a rate file; samples that are missing repeat the last one.

    Raises:
        FileError: the file cannot be read or is no rate file.
    """
    rates = load_rates(path)
    places = slots(rates.time_s, rates.step_s, str(path))
    filled = np.searchsorted(places, np.arange(places[-1] + 1), side="right") - 1
    return rates.value[filled][:, None]


def _later(name: str, values: Array, step_s: float, cut: int) -> SeriesSet:
    """Return what comes from ``cut`` on for validation, with enough past to forecast from."""
    first = max(0, cut - PAST)
    return SeriesSet(name, values[first:], step_s, 1.0, "MIT", start=cut - first)


def _geant(folder: Path) -> tuple[list[SeriesSet], list[SeriesSet]]:
    values = _demands(folder / "geant_15min.npz")
    cut = GEANT_TRAINING_INTERVALS
    return (
        [SeriesSet("geant", values[:cut], 900.0, 2.5, "MIT")],
        [SeriesSet("geant", values, 900.0, 1.0, "MIT", start=cut)],
    )


def _facebook(folder: Path) -> tuple[list[SeriesSet], list[SeriesSet]]:
    values = _demands(folder / "facebook_pod_b.npz")
    cut = len(values) // 2
    return (
        [SeriesSet("facebook_pod_b", values[:cut], 1.0, 0.4, "MIT")],
        [_later("facebook_pod_b", values[: cut + 400], 1.0, cut)],
    )


def _worldcup(folder: Path) -> tuple[list[SeriesSet], list[SeriesSet]]:
    values = _rates(folder / "worldcup98_1min.npz")
    cut = int(len(values) * 0.8)
    training = [
        SeriesSet("worldcup98", aggregate(values[:cut], minutes), 60.0 * minutes, 0.1, "MIT")
        for minutes in (1, 5, 15)
    ]
    five, cut = aggregate(values, 5), cut // 5 + 1
    return training, [_later("worldcup98", five[: cut + 2000], 300.0, cut)]


PERMITTED: dict[str, Callable[[Path], tuple[list[SeriesSet], list[SeriesSet]]]] = {
    "geant": _geant,
    "facebook_pod_b": _facebook,
    "worldcup98": _worldcup,
}


def load_permitted(folder: Path) -> Split:
    """Read the measured sets from a folder, split by time into training and validation.

    Raises:
        FileError: a file is missing or is not what its name says.
    """
    parts = [read(folder) for read in PERMITTED.values()]
    return Split(
        tuple(one for training, _ in parts for one in training),
        tuple(one for _, validation in parts for one in validation),
    )


def made_up_sets(seed: int, groups: int = 60, share: float = 5.0) -> Split:
    """Return groups of made-up series of many styles and steps; every sixth group is held back."""
    steps = (300.0, 300.0, 900.0, 60.0, 300.0, 5.0)
    sets = []
    for group in range(groups):
        step_s = steps[(group // 6 + group) % len(steps)]
        values = generate_series(24, INTERVALS, step_s, seed * 1000 + group)
        sets.append(SeriesSet("synthetic", values, step_s, share / groups, "made here", PAST))
    return Split(
        tuple(s for number, s in enumerate(sets) if number % 6),
        tuple(s for number, s in enumerate(sets) if not number % 6),
    )

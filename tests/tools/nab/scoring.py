"""The benchmark's score of one or more series: what is earned and lost at a threshold.

Per anomaly window only the earliest detection earns, the more the earlier it is; a window without
one costs ``missed``. Every detection outside of windows costs ``false_alarm``, less when it lies
just behind a window. Rows of the probation, in which a detector learns, do not count.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Windows = Sequence[tuple[int, int]]

PROBATION_SHARE = 0.15
PROBATION_ROWS_MAX = 750
"""The share of a series that is not scored, and its upper bound in rows."""

STEEPNESS = 5.0
"""How fast the benchmark's sigmoid falls around a window's end."""

FAR_BEHIND = 3.0
"""From here on, in windows' widths behind a window's end, a detection costs in full."""


@dataclass(frozen=True)
class Profile:
    """What a hit earns, and what a false alarm and a missed window cost."""

    hit: float
    false_alarm: float
    missed: float


@dataclass(frozen=True)
class Gains:
    """What each row of a series changes once the threshold has come down to its score.

    ``start`` is the score when nothing is detected; ``levels`` [N] are the scored rows' scores,
    falling, and ``gains`` [N] what each row adds then.
    """

    start: float
    levels: Array
    gains: Array


def sigmoid(position: Array) -> Array:
    """Return the worth of a detection by its place: about 1 at -1, 0 at 0 (a window's end), -1."""
    worth: Array = 2.0 / (1.0 + np.exp(STEEPNESS * np.minimum(position, FAR_BEHIND))) - 1.0
    return np.where(position > FAR_BEHIND, -1.0, worth)


def probation(rows: int) -> int:
    """Return how many rows at the start of a series are not scored."""
    return int(min(PROBATION_SHARE * rows, PROBATION_ROWS_MAX))


def row_worth(rows: int, windows: Windows, profile: Profile) -> tuple[Array, NDArray[np.int64]]:
    """Return each row's worth [rows] if it is detected, and its window's number or -1 [rows]."""
    worth = np.full(rows, -profile.false_alarm)
    inside = np.full(rows, -1)
    full = float(sigmoid(np.array(-1.0)))
    for number, (first, last) in enumerate(windows):
        end = windows[number + 1][0] if number + 1 < len(windows) else rows
        width = last - first + 1
        at = np.arange(first, last + 1)
        worth[at] = profile.hit * sigmoid((at - last - 1) / width) / full
        inside[at] = number
        behind = np.arange(last + 1, end)
        worth[behind] = profile.false_alarm * sigmoid((behind - last) / (width - 1.0))
    return worth, inside


def gains_of(scores: Array, windows: Windows, profile: Profile) -> Gains:
    """Return what each scored row adds to the score of a series as the threshold falls."""
    worth, inside = row_worth(len(scores), windows, profile)
    begin = probation(len(scores))
    order = begin + np.argsort(-scores[begin:], kind="stable")
    gains = worth[order]
    for number in range(len(windows)):
        rows = np.flatnonzero(inside[order] == number)
        best = np.maximum.accumulate(np.concatenate([[-profile.missed], gains[rows]]))
        gains[rows] = np.diff(best)
    return Gains(-profile.missed * len(windows), scores[order], gains)


def score_at(scores: Array, windows: Windows, profile: Profile, threshold: float) -> float:
    """Return a series' raw score when rows at or above the threshold are detections."""
    found = gains_of(scores, windows, profile)
    return found.start + float(found.gains[found.levels >= threshold].sum())


def best_threshold(parts: Iterable[Gains]) -> tuple[float, float]:
    """Return the threshold that is best for all series together, and the sum of their scores.

    The highest of equally good ones; infinite where detecting nothing is best.
    """
    every = list(parts)
    levels = np.concatenate([part.levels for part in every])
    order = np.argsort(-levels, kind="stable")
    levels = levels[order]
    total = np.cumsum(np.concatenate([part.gains for part in every])[order])
    last_of_level = np.append(levels[1:] != levels[:-1], True)  # all rows of a level come together
    candidates = np.append(math.inf, levels[last_of_level])
    sums = sum(part.start for part in every) + np.append(0.0, total[last_of_level])
    best = int(np.argmax(sums))
    return float(candidates[best]), float(sums[best])


def normalised(raw: float, windows: int, profile: Profile) -> float:
    """Return a raw score on the published scale: 0 detects nothing, 100 is perfect."""
    nothing = -profile.missed * windows
    return 100.0 * (raw - nothing) / (profile.hit * windows - nothing)

"""Candidate against champion on the same held-back intervals, with a statement of confidence.

Both are calibrated online alike (``models.backtest``), both forecast every interval from the same
past. The losses are paired by interval; those of neighbouring intervals go together, so whole
blocks of them are what is counted.
"""

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from models.backtest import backtest
from models.choice import WINDOW
from models.forecaster import Forecaster
from models.quantiles import pinball
from models.registry.version import Verdict
from models.simple import Ewma

Array = NDArray[np.float64]

CHAMPION, CANDIDATE = "champion", "candidate"

MARGIN = 0.002
"""A candidate must be better by this share: who is champion should not change for nothing."""

WORST = 0.01
"""It may be worse at no horizon by more than this share."""

LEAST_BLOCKS = 6
BLOCK = 12
"""Intervals that are counted as one, at least; no fewer than the furthest horizon."""

WARM_UP = 288
"""Intervals before the held-back ones that calibration is given to settle."""


class Renamed(Forecaster):
    """Another's forecasts under another name, so that two of one name can be compared."""

    def __init__(self, other: Forecaster, name: str) -> None:
        super().__init__()
        self.name = name
        self.per_series = other.per_series  # type: ignore[misc]
        self._other = other

    def _quantiles(self, window: Array, horizons: tuple[int, ...], step_s: float) -> Array:
        return self._other.forecast(window, horizons, step_s)


def judge(
    values: NDArray[np.floating],
    champion: Forecaster,
    candidate: Forecaster,
    *,
    horizons: tuple[int, ...],
    step_s: float,
    held: int,
    against: str,
) -> Verdict:
    """Return how the candidate did on the last ``held`` rows of ``values`` [T, S].

    ``against``: the champion's name in the registry.

    Raises:
        ForecastError: there is too little before the held-back rows.
        ModelError: one cannot answer.
    """
    far = max(horizons)
    first = max(0, len(values) - held - far - WARM_UP - WINDOW)
    part = np.asarray(values[first:], dtype=np.float64)
    losses: dict[str, dict[int, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))

    def watch(target: int, horizon: int, fans: dict[str, Array], truth: Array) -> None:
        for name in (CHAMPION, CANDIDATE):
            loss = float(np.nansum(pinball(fans[name], truth)))
            losses[name][horizon][target] = loss

    backtest(
        part,
        (Renamed(champion, CHAMPION), Renamed(candidate, CANDIDATE), Ewma()),
        horizons,
        step_s,
        len(part) - held,
        len(part),
        warm_up=WARM_UP,
        watch=watch,
    )
    return _verdict(
        {h: _row(losses[CHAMPION][h]) for h in horizons},
        {h: _row(losses[CANDIDATE][h]) for h in horizons},
        max(BLOCK, far),
        against,
    )


def _row(by_target: dict[int, float]) -> Array:
    return np.array([by_target[target] for target in sorted(by_target)])


def _verdict(
    champion: dict[int, Array], candidate: dict[int, Array], size: int, against: str
) -> Verdict:
    """Return the verdict on paired losses by horizon; horizons count alike."""
    saved = {h: (champion[h] - candidate[h]) / (champion[h].mean() or 1.0) for h in champion}
    by_horizon = {str(h): round(float(row.mean()), 5) for h, row in saved.items()}
    each: Array = np.mean(list(saved.values()), axis=0)
    blocks = each[: len(each) // size * size].reshape(-1, size).mean(axis=1)
    gain, low = float(each.mean()), lower_bound(blocks)
    worst = min(by_horizon, key=lambda h: by_horizon[h])
    said = f"{100 * gain:.2f} % less loss, with 95 % confidence at least {100 * low:.2f} %"
    if len(blocks) < LEAST_BLOCKS:
        why, better = f"{len(blocks)} blocks of {size} intervals are too few to say", False
    elif gain < MARGIN or not low > 0.0:
        why, better = f"not better enough: {said}", False
    elif by_horizon[worst] < -WORST:
        loss = -100 * by_horizon[worst]
        why, better = f"{said}, but {loss:.2f} % more at {worst} steps", False
    else:
        why, better = f"better: {said}", True
    return Verdict(against, round(gain, 5), round(low, 5), len(blocks), by_horizon, better, why)


def lower_bound(blocks: Array) -> float:
    """Return what the mean of independent values is at least, with 95 % confidence.

    Student's bound; its quantile by Cornish and Fisher's expansion, good to 1 % from 5 values on.
    """
    count = len(blocks)
    if count < 2:
        return -np.inf
    quantile = 1.645 + 1.524 / (count - 1)
    return float(blocks.mean() - quantile * blocks.std(ddof=1) / np.sqrt(count))

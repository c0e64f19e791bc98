"""Back-tests of forecasts: every origin is forecast from its past alone, then scored.

Before anything is measured, each forecaster's way from values to forecast is tried with another
future: where the forecast changes, it has looked ahead, and the back-test refuses.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.choice import WINDOW, Chooser
from models.errors import ForecastError
from models.forecaster import Forecaster
from models.quantiles import MEDIAN, QUANTILES, pinball

Array = NDArray[np.float64]

Predict = Callable[[Array, int], Array]
"""From values [T, S] and an origin (the last interval that may be seen) to quantiles [S, H, Q]."""

INTERVALS = {"50": (0.25, 0.75), "80": (0.1, 0.9), "90": (0.05, 0.95)}

CHOSEN = "chosen"
"""The name of what the choice by skill uses, beside the forecasters' own."""


@dataclass(frozen=True, slots=True)
class Measures:
    """How good forecasts were at one horizon, over all series and origins.

    ``nmae``: error of the median over the sum of what came. ``pinball``: mean over the quantiles,
    relative to the mean volume. ``coverage``: share of values inside the central interval, by its
    per cent, over series that ever carry anything. ``width``: mean width of the 90 % interval,
    relative to the mean volume. ``scored``: values.
    """

    nmae: float
    pinball: float
    coverage: Mapping[str, float]
    width: float
    scored: int


class _Sums:
    """Running sums of one forecaster at one horizon."""

    def __init__(self) -> None:
        self.error = self.loss = self.volume = self.width = 0.0
        self.inside = dict.fromkeys(INTERVALS, 0)
        self.count = self.scored = 0

    def add(self, fan: Array, truth: Array, alive: NDArray[np.bool_]) -> None:
        self.error += float(np.abs(truth - fan[:, MEDIAN]).sum())
        self.loss += float(pinball(fan, truth).sum())
        self.volume += float(truth.sum())
        self.width += float((fan[:, -1] - fan[:, 0]).sum())
        self.scored += len(truth)
        self.count += int(alive.sum())
        for name, (low, high) in INTERVALS.items():
            under, over = fan[:, QUANTILES.index(low)], fan[:, QUANTILES.index(high)]
            self.inside[name] += int(((truth >= under) & (truth <= over) & alive).sum())

    def measures(self) -> Measures:
        volume = self.volume or float("nan")
        count = self.count or float("nan")
        return Measures(
            self.error / volume,
            self.loss / volume,
            {name: inside / count for name, inside in self.inside.items()},
            self.width / volume,
            self.scored,
        )


def from_window(
    forecaster: Forecaster, horizons: tuple[int, ...], step_s: float, window: int = WINDOW
) -> Predict:
    """Return a forecaster's honest way from values to forecast: a copy of the past, no more."""

    def predict(values: Array, origin: int) -> Array:
        past = values[max(0, origin + 1 - window) : origin + 1].T.copy()
        return forecaster.forecast(past, horizons, step_s)

    return predict


def find_leak(predict: Predict, values: Array, origins: Sequence[int]) -> int | None:
    """Return the first origin whose forecast depends on what came after it, or None.

    The future is replaced by values of another size, and hidden as NaN: an honest forecast stays
    the same to the last bit.
    """
    for origin in origins:
        honest = predict(values, origin)
        for future in (values.max() * 3.0 + 1.0, np.nan):
            other = values.copy()
            other[origin + 1 :] = future
            if not np.array_equal(honest, predict(other, origin)):
                return origin
    return None


def backtest(
    values: Array,
    forecasters: Sequence[Forecaster],
    horizons: tuple[int, ...],
    step_s: float,
    start: int,
    stop: int,
    *,
    chosen: bool = True,
) -> dict[int, dict[str, Measures]]:
    """Return measures by horizon and forecaster for targets in [start, stop).

    ``values``: [T, S] without gaps, in any unit. Every target is forecast by every forecaster
    from the ``horizon`` intervals before it; ``chosen`` adds what the choice by skill used.

    Raises:
        ForecastError: there are no targets with a past, or a forecaster looks ahead.
        ModelError: a forecaster cannot answer.
    """
    first = start - max(horizons)
    if values.ndim != 2 or first < 1 or stop > len(values) or start >= stop:
        raise ForecastError(
            f"cannot back-test intervals {start} to {stop} of {len(values)}: at least"
            f" {max(horizons) + 1} must come before, and one be among them"
        )
    ways = {one.name: from_window(one, horizons, step_s) for one in forecasters}
    for name, way in ways.items():
        leak = find_leak(way, values, sorted({first, (first + stop - 2) // 2, stop - 2}))
        if leak is not None:
            raise ForecastError(f"{name} looks ahead: its forecast at {leak} knows what came after")
    if chosen:
        ways[CHOSEN] = _chosen(Chooser(forecasters, horizons), step_s)
    alive = values[start:stop].max(axis=0) > 0.0
    sums = {(h, name): _Sums() for h in horizons for name in ways}
    for origin in range(first, stop - 1):
        for name, way in ways.items():
            fans = way(values, origin)
            for at, horizon in enumerate(horizons):
                if start <= origin + horizon < stop:
                    sums[horizon, name].add(fans[:, at], values[origin + horizon], alive)
    return {h: {name: sums[h, name].measures() for name in ways} for h in horizons}


def _chosen(chooser: Chooser, step_s: float) -> Predict:
    longest = WINDOW + 64

    def predict(values: Array, origin: int) -> Array:
        history = values[max(0, origin + 1 - longest) : origin + 1]
        return chooser.forecast(history, origin, step_s).quantiles

    return predict


def report(results: dict[int, dict[str, Measures]]) -> dict[str, Any]:
    """Return results as they go into a JSON file: horizon (steps) to forecaster to measures."""
    return {
        str(horizon): {name: asdict(measures) for name, measures in by_name.items()}
        for horizon, by_name in results.items()
    }

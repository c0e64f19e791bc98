"""The interface of every forecaster."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from models.quantiles import QUANTILES, settle
from models.windows import check_question, repair

Array = NDArray[np.float64]


class Forecaster(ABC):
    """Turns recent intervals of many series into quantiles of coming ones.

    A forecaster defines ``name`` and ``_quantiles``; what all promise alike (repair, order, sign,
    shape) is kept here. ``repaired`` counts the bad values that were replaced so far. Thread-safe
    but for that counter.
    """

    name: str
    per_series: ClassVar[bool] = False
    """Whether the answer for one series is the same whatever others are in the window."""

    look_back: ClassVar[int | None] = None
    """Intervals that it uses at most; None where it uses what there is."""

    def __init__(self) -> None:
        self.repaired = 0

    def forecast(self, window: Array, horizons: tuple[int, ...], step_s: float = 300.0) -> Array:
        """Return quantiles [S, H, Q] at QUANTILES, in the window's unit.

        ``window``: [S, L], oldest first; NaN marks a gap. ``horizons``: [H] in steps from 1 on.
        ``step_s``: what an interval stands for in the data's own time. The quantiles never cross,
        are finite and never negative, whatever the window holds.

        Raises:
            ForecastError: the question has the wrong shape.
            ModelError: the forecaster cannot answer (a neural one only).
        """
        window = check_question(window, horizons, step_s)
        if not len(window):
            return np.zeros((0, len(horizons), len(QUANTILES)))
        if self.look_back is not None:
            window = window[:, -self.look_back :]
        window, bad = repair(window)
        self.repaired += bad
        return settle(self._quantiles(window, horizons, step_s))

    @abstractmethod
    def _quantiles(self, window: Array, horizons: tuple[int, ...], step_s: float) -> Array:
        """Return [S, H, Q] for a window without bad values."""

"""A picture of a back-test: fans against what came, and how well calibrated they were."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.backtest.run import USED
from models.errors import ForecastError
from models.quantiles import MEDIAN, QUANTILES

Array = NDArray[np.float64]

SHOWN = 3
"""Series in the picture: the largest."""

INTERVALS = 300
"""Intervals in the picture: the last that were measured."""

BLUE, INK = "#2b6cb0", "#1a202c"


class Recorder:
    """Keeps what a picture needs while a back-test runs; ``watch`` is handed to ``backtest``."""

    def __init__(self, values: Array, names: Sequence[str]) -> None:
        """Take the series that will be back-tested, [T, S], and what they are called."""
        volume = np.nan_to_num(values).sum(axis=0)
        self._series = np.argsort(-volume)[: min(SHOWN, values.shape[1])]
        self._names = [names[at] for at in self._series]
        self._fans: dict[int, list[tuple[int, Array, Array]]] = {}
        self._below: dict[int, dict[str, list[Array]]] = {}

    def watch(self, interval: int, horizon: int, fans: dict[str, Array], truth: Array) -> None:
        """Take one interval's fans [S, Q] by name and what came [S]."""
        kept = self._fans.setdefault(horizon, [])
        kept.append((interval, fans[USED][self._series], truth[self._series]))
        del kept[:-INTERVALS]
        good = truth > 0.0  # a silent series is below nothing
        for name, fan in fans.items():
            below = (truth[good, None] <= fan[good]).sum(axis=0)
            sums = self._below.setdefault(horizon, {}).setdefault(
                name, [np.zeros(len(QUANTILES)), np.zeros(1)]
            )
            sums[0] += below
            sums[1] += good.sum()

    def draw(self, path: Path, name: str, step_s: float, synthetic: bool) -> None:
        """Write the picture as PNG.

        Raises:
            ForecastError: matplotlib is not installed (the extra ``peers``), nothing was measured,
                or the file cannot be written.
        """
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ForecastError(
                f"{error.name} is not installed: pictures need the extra packages of"
                " 'pip install foresteer[peers]'"
            ) from error
        if not self._fans:
            raise ForecastError("nothing was measured, so there is nothing to draw")
        horizons = sorted(self._fans)
        rows = len(self._series)
        figure = Figure(figsize=(5.2 * (len(horizons) + 1), 2.6 * rows), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, len(horizons) + 1, squeeze=False)
        for column, horizon in enumerate(horizons):
            for row in range(rows):
                self._fan(axes[row][column], horizon, row, step_s)
        for row in range(rows):
            axes[row][-1].set_visible(row < len(horizons))
            if row < len(horizons):
                self._calibration(axes[row][-1], horizons[row], step_s)
        label = f"{name} (synthetic)" if synthetic else name
        figure.suptitle(f"{label}: forecasts by foresteer against what came", color=INK)
        try:
            figure.savefig(path, format="png", dpi=110)
        except OSError as error:
            raise ForecastError(f"{path}: {error.strerror}") from error

    def _fan(self, axis: Any, horizon: int, row: int, step_s: float) -> None:
        kept = self._fans[horizon]
        at = np.array([interval for interval, _, _ in kept])
        fan = np.stack([one[row] for _, one, _ in kept])
        came = np.array([one[row] for _, _, one in kept])
        for outer, shade in ((0, 0.2), (1, 0.3), (2, 0.4)):
            axis.fill_between(at, fan[:, outer], fan[:, -1 - outer], color=BLUE, alpha=shade, lw=0)
        axis.plot(at, fan[:, MEDIAN], color=BLUE, lw=1.0, label="median")
        axis.plot(at, came, color=INK, lw=0.8, label="what came")
        axis.set_title(f"{self._names[row]}, {_ahead(horizon, step_s)} ahead")
        axis.set_xlabel("interval")
        axis.set_ylim(bottom=0.0)
        if row == 0:
            axis.legend(loc="upper left", frameon=False, fontsize=8)

    def _calibration(self, axis: Any, horizon: int, step_s: float) -> None:
        axis.plot([0, 1], [0, 1], color="#a0aec0", lw=1.0)
        for name, (below, count) in self._below[horizon].items():
            bold = name == USED
            axis.plot(
                QUANTILES,
                below / max(float(count[0]), 1.0),
                marker="o",
                ms=4 if bold else 3,
                lw=1.6 if bold else 0.8,
                color=BLUE if bold else None,
                label=name,
            )
        axis.set_title(f"calibration, {_ahead(horizon, step_s)} ahead")
        axis.set_xlabel("quantile")
        axis.set_ylabel("share of values below")
        axis.legend(loc="upper left", frameon=False, fontsize=8)


def _ahead(horizon: int, step_s: float) -> str:
    seconds = horizon * step_s
    return f"{seconds / 60:g} min" if seconds >= 60.0 else f"{seconds:g} s"

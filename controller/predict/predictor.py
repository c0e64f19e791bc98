"""The predictor: runs the forecasters on a Snapshot's demands and says which were believed."""

import asyncio
import logging
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from bus import Bus
from controller.predict.pool import Pool
from controller.predict.skill import skill_of
from controller.state import Forecast, Snapshot
from models import (
    QUANTILES,
    Chooser,
    Ewma,
    Forecaster,
    LastValue,
    ModelError,
    OnnxForecaster,
    Outlook,
    load_shipped_model,
)

LOG = logging.getLogger("foresteer.predict")

SPARE = 128
"""Intervals beyond the window: for the back-fill, and for ticks that were skipped."""

PARENT, TUNED = "pooled", "tuned"
"""Names of the model as it came, and of what was made of it here."""

Fans = Mapping[str, NDArray[np.float64]]
Inform = Callable[[Snapshot, int, Fans], Fans]


class Predictor:
    """Forecasts every demand at every horizon; without a model the simple forecasters do it.

    Demands of one source are weighed together. Where predictor workers listen on the bus, they do
    the work; nothing is lost when they die.
    """

    def __init__(self, horizons_steps: tuple[int, ...]) -> None:
        self.horizons_steps = horizons_steps
        self.problem = ""
        forecasters: list[Forecaster] = [Ewma(), LastValue()]
        try:
            forecasters.append(load_shipped_model())
        except ModelError as error:
            self.problem = str(error)
            LOG.error("%s; the simple forecasters do without", error)
        self.model = getattr(forecasters[-1], "model", forecasters[-1].name)
        self.chooser = Chooser(forecasters, horizons_steps)
        self._bus: Bus | None = None
        self._pool = Pool(None, forecasters)
        self._offered: list[OnnxForecaster | None] = []
        self._number = 0
        self.outlook: Outlook | None = None
        """What came of the last forecast, for who watches."""
        self.inform: Inform | None = None
        """Tells fans by forecaster, of a snapshot and its interval, what is known beforehand."""

    def connect(self, bus: Bus) -> None:
        """Ask the workers on this bus from now on."""
        self._pool.close()
        self._bus = bus
        self._pool = Pool(bus, self.chooser.forecasters)

    def offer(self, champion: OnnxForecaster | None) -> None:
        """Take a retrained model as one more candidate at the next forecast; None: drop it."""
        self._offered.append(champion)

    def _take_offers(self) -> None:
        """Change the candidates, where no forecast is under way."""
        while self._offered:
            champion = self._offered.pop(0)
            if champion is None:
                self.chooser.dismiss(TUNED)
            elif self.chooser.has(PARENT):
                self.chooser.enlist(champion, PARENT)
            self._pool.close()
            self._pool = Pool(self._bus, self.chooser.forecasters)

    def close(self) -> None:
        """Let the threads go."""
        self._pool.close()

    def warm_up(self, snapshot: Snapshot, interval: int) -> None:
        """Measure the forecasters' skill on the history that there is already."""
        history = self._recent(snapshot)
        if len(history) > max(self.horizons_steps) + 1:
            keys, groups = _names(snapshot)
            self.chooser.warm_up(history, interval, snapshot.data_step_s, keys=keys, groups=groups)

    def _recent(self, snapshot: Snapshot) -> NDArray[np.float64]:
        """Return as much of the history as forecasts and a back-fill of the skill can use."""
        return _series(snapshot, self.chooser.window + SPARE)

    async def forecast(self, snapshot: Snapshot, interval: int) -> Forecast:
        """Return the Forecast; ``interval`` numbers the newest row of the history.

        The arithmetic runs in threads, which do not hold the interpreter's lock in inference.

        Raises:
            ForecastError: the history has the wrong shape, or nobody answered.
        """
        self._take_offers()
        keys, groups = _names(snapshot)
        step_s = snapshot.data_step_s
        window = await asyncio.to_thread(
            self.chooser.prepare, self._recent(snapshot), interval, step_s, keys=keys, groups=groups
        )
        names = [one.name for one in self.chooser.forecasters]
        fans, failed = await self._pool.forecast(names, window, self.horizons_steps, step_s)
        if self.inform is not None:
            fans = dict(await asyncio.to_thread(self.inform, snapshot, interval, fans))
        outlook = await asyncio.to_thread(self.chooser.conclude, fans, failed)
        self.outlook = outlook
        for line in outlook.failed:
            LOG.warning("no forecast by %s", line)
        count = len(snapshot.nodes)
        demands = np.zeros((len(self.horizons_steps), len(QUANTILES), count, count))
        demands[:, :, ~np.eye(count, dtype=bool)] = np.moveaxis(outlook.quantiles, 0, -1)
        self._number += 1
        return Forecast(
            self._number,
            snapshot.number,
            self.horizons_steps,
            QUANTILES,
            demands,
            skill_of(outlook),
            self.model,
        )


def series_of(snapshot: Snapshot) -> tuple[NDArray[np.float64], list[str]]:
    """Return the demands' history [T, S] and what every series is called."""
    return _series(snapshot), [f"{source}>{target}" for source, target in _names(snapshot)[0]]


def _names(snapshot: Snapshot) -> tuple[list[tuple[str, str]], list[int]]:
    """Return what every series is called, and its group: the number of its source."""
    pairs = [(a, b) for a in snapshot.nodes for b in snapshot.nodes if a != b]
    number = {node: at for at, node in enumerate(snapshot.nodes)}
    return pairs, [number[source] for source, _ in pairs]


def _series(snapshot: Snapshot, last: int | None = None) -> NDArray[np.float64]:
    off_diagonal = ~np.eye(len(snapshot.nodes), dtype=bool)
    rows = snapshot.history_bps if last is None else snapshot.history_bps[-last:]
    series: NDArray[np.float64] = rows[:, off_diagonal]
    return series

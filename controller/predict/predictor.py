"""The predictor: runs the forecasters on a Snapshot's demands and says which were believed."""

import asyncio
import logging
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from bus import Bus
from controller.predict.pool import Pool
from controller.state import Drift, Forecast, Skill, Snapshot
from models import QUANTILES, Chooser, Ewma, Forecaster, LastValue, ModelError, load_shipped_model

LOG = logging.getLogger("foresteer.predict")

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
        self._pool = Pool(None, forecasters)
        self._number = 0
        self.inform: Inform | None = None
        """Tells fans by forecaster, of a snapshot and its interval, what is known beforehand."""

    def connect(self, bus: Bus) -> None:
        """Ask the workers on this bus from now on."""
        self._pool.close()
        self._pool = Pool(bus, self.chooser.forecasters)
        self._bus: Bus | None = bus

    def close(self) -> None:
        """Let the threads go."""
        self._pool.close()

    def warm_up(self, snapshot: Snapshot, interval: int) -> None:
        """Measure the forecasters' skill on the history that there is already."""
        history = _series(snapshot)
        if len(history) > max(self.horizons_steps) + 1:
            keys, groups = _names(snapshot)
            self.chooser.warm_up(history, interval, snapshot.data_step_s, keys=keys, groups=groups)

    async def forecast(self, snapshot: Snapshot, interval: int) -> Forecast:
        """Return the Forecast; ``interval`` numbers the newest row of the history.

        The arithmetic runs in threads, which do not hold the interpreter's lock in inference.

        Raises:
            ForecastError: the history has the wrong shape, or nobody answered.
        """
        keys, groups = _names(snapshot)
        step_s = snapshot.data_step_s
        window = await asyncio.to_thread(
            self.chooser.prepare, _series(snapshot), interval, step_s, keys=keys, groups=groups
        )
        names = [one.name for one in self.chooser.forecasters]
        fans, failed = await self._pool.forecast(names, window, self.horizons_steps, step_s)
        if self.inform is not None:
            fans = dict(await asyncio.to_thread(self.inform, snapshot, interval, fans))
        outlook = await asyncio.to_thread(self.chooser.conclude, fans, failed)
        for line in outlook.failed:
            LOG.warning("no forecast by %s", line)
        count = len(snapshot.nodes)
        demands = np.zeros((len(self.horizons_steps), len(QUANTILES), count, count))
        demands[:, :, ~np.eye(count, dtype=bool)] = np.moveaxis(outlook.quantiles, 0, -1)
        self._number += 1
        skill = tuple(
            Skill(
                horizon,
                outlook.used[h],
                dict(outlook.loss[h]),
                outlook.scored[h],
                dict(outlook.weights[h]),
                Drift(outlook.drift[h].alarm, outlook.drift[h].ratio, outlook.drift[h].severity),
            )
            for h, horizon in enumerate(self.horizons_steps)
        )
        return Forecast(
            self._number,
            snapshot.number,
            self.horizons_steps,
            QUANTILES,
            demands,
            skill,
            self.model,
        )


def _names(snapshot: Snapshot) -> tuple[list[tuple[str, str]], list[int]]:
    """Return what every series is called, and its group: the number of its source."""
    pairs = [(a, b) for a in snapshot.nodes for b in snapshot.nodes if a != b]
    number = {node: at for at, node in enumerate(snapshot.nodes)}
    return pairs, [number[source] for source, _ in pairs]


def _series(snapshot: Snapshot) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    off_diagonal = ~np.eye(len(snapshot.nodes), dtype=bool)
    series: np.ndarray[tuple[int, int], np.dtype[np.float64]] = snapshot.history_bps[
        :, off_diagonal
    ]
    return series

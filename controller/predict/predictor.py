"""The predictor: runs the forecasters on a Snapshot's demands and says which were believed."""

import logging

import numpy as np

from controller.state import Forecast, Skill, Snapshot
from models import QUANTILES, Chooser, Ewma, Forecaster, LastValue, ModelError, load_shipped_model

LOG = logging.getLogger("foresteer.predict")


class Predictor:
    """Forecasts every demand at every horizon; without a model the simple forecasters do it."""

    def __init__(self, horizons_steps: tuple[int, ...]) -> None:
        self.horizons_steps = horizons_steps
        self.problem = ""
        forecasters: list[Forecaster] = [LastValue(), Ewma()]
        try:
            forecasters.append(load_shipped_model())
        except ModelError as error:
            self.problem = str(error)
            LOG.error("%s; the simple forecasters do without", error)
        self.model = forecasters[-1].name
        self._chooser = Chooser(forecasters, horizons_steps)
        self._number = 0

    def warm_up(self, snapshot: Snapshot, interval: int) -> None:
        """Measure the forecasters' skill on the history that there is already."""
        history = self._series(snapshot)
        if len(history) > max(self.horizons_steps) + 1:
            self._chooser.warm_up(history, interval, snapshot.data_step_s)

    def forecast(self, snapshot: Snapshot, interval: int) -> Forecast:
        """Return the Forecast; ``interval`` numbers the newest row of the history."""
        count = len(snapshot.nodes)
        off_diagonal = ~np.eye(count, dtype=bool)
        outlook = self._chooser.forecast(self._series(snapshot), interval, snapshot.data_step_s)
        fans = np.zeros((len(self.horizons_steps), len(QUANTILES), count, count))
        fans[:, :, off_diagonal] = np.moveaxis(outlook.quantiles, 0, -1)
        self._number += 1
        skill = tuple(
            Skill(horizon, outlook.used[h], dict(outlook.loss[h]), outlook.scored[h])
            for h, horizon in enumerate(self.horizons_steps)
        )
        return Forecast(
            self._number,
            snapshot.number,
            self.horizons_steps,
            QUANTILES,
            fans,
            skill,
            self.model,
        )

    @staticmethod
    def _series(snapshot: Snapshot) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        off_diagonal = ~np.eye(len(snapshot.nodes), dtype=bool)
        series: np.ndarray[tuple[int, int], np.dtype[np.float64]] = snapshot.history_bps[
            :, off_diagonal
        ]
        return series

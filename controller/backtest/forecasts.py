"""Forecasts for a back-test: those that the loop would have made, each from its past alone."""

import numpy as np

from controller.backtest.network import TestNetwork
from controller.state import Forecast, Matrix
from models import QUANTILES, Ewma, Forecaster, LastValue, ModelError, load_shipped_model
from models.backtest.run import USED, backtest


def forecast_all(network: TestNetwork, horizon: int, start: int, stop: int) -> "Forecasts":
    """Return forecasts ``horizon`` steps ahead of the targets from ``start`` up to ``stop``.

    Without a usable model the simple forecasters do it, as in the loop. The back-test of forecasts
    does the work, and with it comes its check that nobody looks ahead.

    Raises:
        ForecastError: there is not enough past before ``start``, or a forecaster looks ahead.
    """
    forecasters: list[Forecaster] = [Ewma(), LastValue()]
    try:
        forecasters.insert(0, load_shipped_model())
    except ModelError:
        pass
    size = len(network.nodes)
    off = ~np.eye(size, dtype=bool)
    fans: dict[int, np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = {}

    def watch(target: int, _horizon: int, given: dict[str, Matrix], _truth: Matrix) -> None:
        fans[target] = given[USED].astype(np.float32)

    groups = np.repeat(np.arange(size), size - 1).tolist()
    values = network.tm_bps[:, off]
    backtest(
        values, forecasters, (horizon,), network.step_s, start, stop, groups=groups, watch=watch
    )
    return Forecasts(fans, horizon, off)


class Forecasts:
    """Forecasts by their target's interval."""

    def __init__(
        self,
        fans: dict[int, "np.ndarray[tuple[int, ...], np.dtype[np.float32]]"],
        horizon: int,
        off_diagonal: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]",
    ) -> None:
        self._fans = fans
        self._horizon = horizon
        self._off = off_diagonal

    def at(self, origin: int) -> Forecast:
        """Return the forecast that was made at the end of interval ``origin``."""
        demands = np.zeros((1, len(QUANTILES), *self._off.shape))
        demands[0][:, self._off] = self._fans[origin + self._horizon].T
        return Forecast(origin, origin, (self._horizon,), QUANTILES, demands, ())

"""Autoregression by statsmodels: the textbook's forecaster, for comparison.

One model is fitted per series and call, so it is for back-tests and few series, not for the loop.
"""

import warnings

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError
from models.forecaster import Forecaster
from models.quantiles import QUANTILES

Array = NDArray[np.float64]

LOOK_BACK = 600
LAGS = 12

NORMAL = np.array([-1.6449, -1.2816, -0.6745, 0.0, 0.6745, 1.2816, 1.6449])
"""The standard normal distribution's quantiles at QUANTILES."""


class Autoregressive(Forecaster):
    """AR(12) with a constant, fitted by least squares on each series' window; normal quantiles."""

    name = "ar"
    per_series = True

    def __init__(self, lags: int = LAGS) -> None:
        """Make one with so many lags.

        Raises:
            ModelError: statsmodels is not installed (the extra ``peers``).
        """
        super().__init__()
        try:
            from statsmodels.tsa.ar_model import AutoReg
        except ImportError as error:
            raise ModelError(
                f"{error.name} is not installed: autoregression needs the extra packages of"
                " 'pip install foresteer[peers]'"
            ) from error
        self._model = AutoReg
        self._lags = lags

    def _quantiles(self, window: Array, horizons: tuple[int, ...], _step_s: float) -> Array:
        window = window[:, -LOOK_BACK:]
        return np.stack([self._one(series, horizons) for series in window])

    def _one(self, series: Array, horizons: tuple[int, ...]) -> Array:
        flat = np.repeat(series[-1], len(horizons))[:, None] + np.zeros(len(QUANTILES))
        if len(series) < 3 * self._lags or np.ptp(series) == 0.0:
            return flat
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                fitted = self._model(series / series.max(), self._lags).fit()
                coming = fitted.get_prediction(len(series), len(series) + max(horizons) - 1)
                mean, deviation = coming.predicted_mean, coming.se_mean
            except (ValueError, np.linalg.LinAlgError):  # a window it cannot be fitted to
                return flat
        at = np.array(horizons) - 1
        fan: Array = (mean[at, None] + deviation[at, None] * NORMAL) * series.max()
        return np.where(np.isfinite(fan), fan, flat)

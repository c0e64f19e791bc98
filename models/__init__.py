"""Forecasts of traffic: quantiles with a measured skill, usable without any network.

What others use::

    QUANTILES                                     # (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
    LastValue(), Ewma(alpha=None)                 # simple forecasters, never fail
    load_shipped_model() -> OnnxForecaster        # raises ModelError: go on with the simple ones
    load_model(path) -> OnnxForecaster
    forecaster.forecast(window, horizons, step_s=300.0) -> quantiles
        # window [S, L] oldest first, NaN for gaps; horizons in steps; quantiles [S, H, Q]
    forecaster.name, forecaster.repaired          # bad values replaced so far

    Chooser(forecasters, horizons, window=304, memory=48)
    chooser.warm_up(history, interval, step_s)    # optional: back-fills the skill before a tick
    chooser.forecast(history, interval, step_s=300.0) -> Outlook
        # history [T, S] oldest first; interval: the last row's number
    Outlook: horizons, quantiles [S, H, Q], used, loss, scored (per horizon), repaired, failed

    generate_matrices(topology, intervals, step_s, seed, total_mbps=None, start_s=0)
        -> TrafficMatrices                        # made-up traffic, labelled synthetic
    backtest(values, forecasters, horizons, step_s, start, stop), find_leak(...)

    threshold_high(...), threshold_low(...), Detector(...)  # what is wrong: see models/anomaly

Errors: ForecastError (a question of the wrong shape), ModelError (a model file that is missing,
damaged or foreign). Nothing here needs torch but training.
"""

from models.anomaly import Detector, threshold_high, threshold_low
from models.backtest import Measures, backtest, find_leak
from models.choice import Chooser, Outlook
from models.datasets.synthetic import generate_matrices
from models.errors import ForecastError, ModelError, TrainingError
from models.forecaster import Forecaster
from models.neural import OnnxForecaster, load_model, load_shipped_model
from models.quantiles import MEDIAN, QUANTILES, pinball
from models.simple import Ewma, LastValue

__all__ = [
    "MEDIAN",
    "QUANTILES",
    "Chooser",
    "Detector",
    "Ewma",
    "ForecastError",
    "Forecaster",
    "LastValue",
    "Measures",
    "ModelError",
    "OnnxForecaster",
    "Outlook",
    "TrainingError",
    "backtest",
    "find_leak",
    "generate_matrices",
    "load_model",
    "load_shipped_model",
    "pinball",
    "threshold_high",
    "threshold_low",
]

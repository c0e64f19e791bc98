"""The errors of forecasting: each names what was wrong and what to do about it."""


class ForecastError(ValueError):
    """A question that no forecaster can answer: a window or horizons of the wrong shape."""


class ModelError(RuntimeError):
    """A model file is missing, damaged or foreign, or cannot answer; use the simple forecasters."""


class TrainingError(RuntimeError):
    """A model cannot be trained: a package or the data is missing."""

"""Asks the models: from a Snapshot to a Forecast with its measured skill."""

from controller.predict.predictor import Predictor

__all__ = ["Predictor"]

"""Asks the models: from a Snapshot to a Forecast with its measured skill, by workers or here."""

from controller.predict.pool import Pool
from controller.predict.predictor import Predictor
from controller.predict.shards import ask_local

__all__ = ["Pool", "Predictor", "ask_local"]

"""Asks the models: from a Snapshot to a Forecast with its measured skill, by workers or here.

``Learner`` keeps the models learning on what is observed: see docs/learning.md.
"""

from controller.predict.learning import Learner, Learning
from controller.predict.pool import Pool
from controller.predict.predictor import Predictor
from controller.predict.shards import ask_local

__all__ = ["Learner", "Learning", "Pool", "Predictor", "ask_local"]

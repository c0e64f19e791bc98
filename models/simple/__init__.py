"""Forecasters without a model file."""

from models.simple.autoregressive import Autoregressive
from models.simple.moving import Ewma, LastValue
from models.simple.seasonal import Seasonal

__all__ = ["Autoregressive", "Ewma", "LastValue", "Seasonal"]

"""Forecasters without a model file: they never fail."""

from models.simple.moving import Ewma, LastValue

__all__ = ["Ewma", "LastValue"]

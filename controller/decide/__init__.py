"""Deciding: pure functions from what is seen and expected to the whole desired state."""

from controller.decide.errors import DecideError, SolveError
from controller.decide.plan import plan

__all__ = ["DecideError", "SolveError", "plan"]

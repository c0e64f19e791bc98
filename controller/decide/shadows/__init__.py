"""Shadow engines: who holds whose connections too, and how much new traffic they take over."""

from controller.decide.shadows.selection import Assignment, Candidate, Need, choose_shadows
from controller.decide.shadows.shift import (
    Pressure,
    Shifted,
    ShiftLimits,
    divided,
    next_shift,
    wanted_share,
)

__all__ = [
    "Assignment",
    "Candidate",
    "Need",
    "Pressure",
    "ShiftLimits",
    "Shifted",
    "choose_shadows",
    "divided",
    "next_shift",
    "wanted_share",
]

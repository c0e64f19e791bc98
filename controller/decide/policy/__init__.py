"""The policy engine: global, service and granular policies, and what they come to now."""

from controller.decide.policy.condition import FUNCTIONS, VARIABLES, compile_condition
from controller.decide.policy.errors import ConditionError
from controller.decide.policy.objectives import with_layers
from controller.decide.policy.ruling import Begun, begin, rule
from controller.decide.policy.ways import Ways, ways_of

__all__ = [
    "FUNCTIONS",
    "VARIABLES",
    "Begun",
    "ConditionError",
    "Ways",
    "begin",
    "compile_condition",
    "rule",
    "ways_of",
    "with_layers",
]

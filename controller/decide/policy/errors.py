"""The errors of policies."""

from controller.decide.errors import DecideError


class ConditionError(DecideError):
    """A condition is no good; the sentence says what is wrong with it, and where."""

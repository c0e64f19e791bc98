"""The errors of policy documents."""

from controller.errors import ControllerError


class PolicyError(ControllerError):
    """A policy document is wrong; the sentence names document, line and key."""

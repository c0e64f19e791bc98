"""The errors of the bus."""


class BusError(Exception):
    """The message bus cannot be reached or refused."""


class NobodyError(BusError):
    """Nobody listens where something was asked."""


class InstanceError(Exception):
    """The instance's directory or a process of it is not as it should be."""

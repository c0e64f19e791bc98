"""The registry's one error."""


class RegistryError(RuntimeError):
    """The registry cannot do what was asked; the message says why, and what to do."""

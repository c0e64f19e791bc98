"""The errors of the brain: each names what was wrong and what to do."""


class ControllerError(Exception):
    """The brain cannot do what it was asked to do."""


class ConfigError(ControllerError):
    """The configuration is wrong; the sentence names file, key and what is allowed."""


class SouthboundError(ControllerError):
    """The southbound is away or does not answer."""


class RequestError(ControllerError):
    """What an operator asked for cannot be had; the sentence says why, and nothing has changed.

    ``missing``: what it is about is not there.
    """

    def __init__(self, text: str, *, missing: bool = False) -> None:
        super().__init__(text)
        self.missing = missing


class JournalError(ControllerError):
    """The journal cannot be read or written."""

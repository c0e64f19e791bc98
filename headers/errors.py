"""The errors of the formats: each names what was wrong and what to do about it."""


class FormatError(ValueError):
    """Something read (a packet, a message or a file) does not follow its format."""


class PacketError(FormatError):
    """Bytes that are no valid packet of ours; ``reason`` is the name of the counter they go to."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


class MessageError(FormatError):
    """A message between processes that does not follow its schema or version."""


class FileError(FormatError):
    """A file that cannot be read as what it should be; the sentence names the file."""

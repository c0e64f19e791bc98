"""What can go wrong with names; each error has a kind, under which it is counted."""

from controller.errors import ControllerError

KINDS = (
    "refused",
    "not_authoritative",
    "no_zone",
    "signature",
    "prerequisite",
    "outside",
    "timeout",
    "unreachable",
    "server",
    "damaged",
    "mismatch",
)


class DnsError(ControllerError):
    """A name could not be read or changed; ``kind`` is one of KINDS."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


PASSING = ("timeout", "unreachable", "server")
"""Kinds that may be over by the next try."""

"""What can go wrong with announcements; each error has a kind, under which it is counted."""

from controller.errors import ControllerError

KINDS = ("not_ours", "too_specific", "bad_route", "no_neighbour", "speaker_away", "rejected")


class BgpError(ControllerError):
    """A prefix cannot be announced or withdrawn; ``kind`` is one of KINDS."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind

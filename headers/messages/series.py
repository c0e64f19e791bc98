"""From outside to the brain: measurements of series, and signals that may explain them."""

from dataclasses import dataclass

from headers.messages.codec import message


@message("series_push")
@dataclass(frozen=True, slots=True)
class SeriesPush:
    """Values of one series; ``kind`` as in controller/observe/series_kinds.py.

    ``samples``: pairs of a time in seconds since the epoch and a value in the kind's unit. Those of
    a signal may lie in the future: they are announcements.
    """

    kind: str
    name: str
    samples: tuple[tuple[float, float], ...]
    source: str = ""
    destination: str = ""


@message("series_answer")
@dataclass(frozen=True, slots=True)
class SeriesAnswer:
    """How many samples were taken, and how many were not, by reason."""

    taken: int
    refused: dict[str, int]

"""How a shipped model is made: what can be chosen, and what is agreed with who runs it."""

from dataclasses import dataclass

from models.neural.features import SEASONS

OPSET = 17
INPUTS = ("fine", "side", "ahead", "basis", "extra", "unrest")
OUTPUTS = ("quantiles", "seen")
EXTRA = len(SEASONS) + 2
"""What may be added to the basis: each season, the day's course, the week's."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Sizes and settings of one training; together with the data they fix the result.

    ``cell``: ``gru`` or ``lstm``. ``batch``: windows per step, each with ``horizons`` targets.
    ``rate``: peak learning rate of the one-cycle schedule; ``decay``: weight decay. ``groups`` of
    made-up series, which get ``share`` of the training (the measured sets get 3.2).
    """

    seed: int = 1
    cell: str = "gru"
    hidden: int = 48
    steps: int = 6000
    batch: int = 512
    horizons: int = 6
    rate: float = 3e-3
    decay: float = 1e-2
    groups: int = 240
    share: float = 5.0

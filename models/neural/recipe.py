"""How a shipped model is made: what can be chosen, and what is agreed with who runs it."""

from dataclasses import dataclass

OPSET = 17
INPUTS = ("window", "horizons", "step_s")
OUTPUT = "quantiles"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Sizes and settings of one training; together with the data they fix the result.

    ``window``: steps a forecast looks back. ``batch``: windows per step, each with ``horizons``
    targets. ``rate``: peak learning rate of the one-cycle schedule; ``decay``: weight decay.
    ``groups`` of made-up series, which get ``share`` of the training (the measured sets get 3.2).
    """

    seed: int = 1
    window: int = 304
    hidden: int = 64
    steps: int = 5000
    batch: int = 512
    horizons: int = 6
    rate: float = 3e-3
    decay: float = 1e-2
    groups: int = 240
    share: float = 5.0

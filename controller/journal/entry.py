"""One decision as the journal keeps it, and what was found of it later."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from controller.state import Decision, Forecast, Plan, Policies, Snapshot


@dataclass(frozen=True, slots=True, eq=False)
class Realised:
    """What came of a decision, on the matrix that was really there (all as shares of capacity).

    ``utilisation``: the worst link's under the plan; ``optimum``: the least possible;
    ``reactive``: under the two-stage answer for the last matrix before. ``lost_bps``: what the
    plan's routing could not carry.
    """

    utilisation: float
    optimum: float
    reactive: float
    lost_bps: float = 0.0

    @property
    def regret(self) -> float:
        """How much worse than the optimum it was, as a share of the optimum."""
        return self.utilisation / self.optimum - 1.0 if self.optimum > 0 else 0.0

    @property
    def regret_of_reacting(self) -> float:
        """Likewise of reacting on the last matrix."""
        return self.reactive / self.optimum - 1.0 if self.optimum > 0 else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One decision.

    ``snapshot``, ``forecast``, ``policies`` and ``previous`` (the number of the plan before) are
    what it was made from, None in journals of version 1. ``plan``: what came into force,
    ``decided``: what was decided where switches refused a part of it. ``computed``: whether the
    function made it, or the one before stood because no answer came. ``event``: what caused it,
    empty for ticks. ``observed``: whether demands were measured; ``link_rates_bps``: the rates of
    the interval before while its plan was in force; ``applied_s``: when acting had ended, on the
    monotonic clock. ``packets``: what the engines counted so far, by reason. ``made_with``: the
    versions of program and solver.
    """

    number: int
    tick: int
    time_s: float
    nodes: tuple[str, ...]
    observed: bool
    demands_bps: NDArray[np.float64]
    link_rates_bps: Mapping[str, float]
    forecast_bps: NDArray[np.float64]
    horizons_steps: tuple[int, ...]
    levels: tuple[float, ...]
    plan: Plan
    decision: Decision
    applied_s: float
    packets: Mapping[str, int] = field(default_factory=dict)
    event: str = ""
    snapshot: Snapshot | None = None
    forecast: Forecast | None = None
    policies: Policies | None = None
    previous: int | None = None
    previous_plan: Plan | None = None
    decided: Plan | None = None
    computed: bool = True
    made_with: str = ""
    realised: Realised | None = None

"""What is known of a finished run: the traffic sent, the plans in force, what was measured."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.decide.candidates import Floats
from controller.state import UNSTEERED, LinkState, Matrix, Plan

Splits = Mapping[tuple[str, str], Mapping[tuple[str, ...], float]]
"""Shares of each demand (source, destination) on paths (names of links); 1 in all if steered."""

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Note:
    """A decision as the report lists it; ``event``: what caused it, empty for ticks."""

    tick: int
    time_s: float
    method: str
    moved_buckets: int
    max_utilisation: float
    reason: str
    event: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Fan:
    """What was forecast of one demand, tick by tick.

    ``bps``: [T, H, Q] in bit/s: what the tick at the beginning of interval t expected of interval
    t + h - 1, for h in ``horizons_steps`` [H] and quantiles at ``levels`` [Q]; NaN where unknown.
    """

    src: str
    dst: str
    horizons_steps: tuple[int, ...]
    levels: tuple[float, ...]
    bps: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A finished run of T intervals on N nodes and L directed links.

    ``sent_bps``: [T, N, N] in bit/s on the core's wire, ``before_bps`` [N, N] the matrix of the
    interval before the first, where known. ``in_force``: [T], each interval's splits; demands
    without any follow the plain routes. ``link_rates_bps``: [T, L] from port counters in the order
    of ``links``, NaN where unknown. ``sent_packets``, ``delivered_packets``, ``steered_packets``
    (delivered by a circuit): [T]. ``decide_ms``: one value a tick. ``step_s``: what an interval
    stands for in the data's own time. ``places``: [N] latitudes and longitudes in degrees, None
    where a location has none, empty where that was not recorded. ``expected``: [T, L], the share of
    capacity that the plan in force predicted, NaN where unknown; None where not recorded. ``fans``:
    forecasts of the largest demands.
    """

    name: str
    synthetic: bool
    nodes: tuple[str, ...]
    links: tuple[LinkState, ...]
    step_s: float
    sent_bps: Matrix
    before_bps: Matrix | None
    in_force: tuple[Splits, ...]
    link_rates_bps: Floats
    sent_packets: Counts
    delivered_packets: Counts
    steered_packets: Counts
    ticks: int
    skipped_ticks: int
    rule_errors: int
    decide_ms: tuple[float, ...]
    decisions: tuple[Note, ...] = ()
    places: tuple[tuple[float, float] | None, ...] = ()
    expected: Floats | None = None
    fans: tuple[Fan, ...] = ()

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            ValueError: something is of another length than the intervals, nodes or links.
        """
        count, nodes, links = len(self.sent_bps), len(self.nodes), len(self.links)
        for what, shape, wanted in (
            ("sent_bps", self.sent_bps.shape, (count, nodes, nodes)),
            ("link_rates_bps", self.link_rates_bps.shape, (count, links)),
            ("in_force", (len(self.in_force),), (count,)),
            ("sent_packets", self.sent_packets.shape, (count,)),
            ("delivered_packets", self.delivered_packets.shape, (count,)),
            ("steered_packets", self.steered_packets.shape, (count,)),
        ):
            if shape != wanted:
                raise ValueError(f"{what} is of shape {shape}, not {wanted}")
        if self.places and len(self.places) != nodes:
            raise ValueError(f"places are {len(self.places)}, not {nodes}")
        if self.expected is not None and self.expected.shape != (count, links):
            raise ValueError(f"expected is of shape {self.expected.shape}, not {(count, links)}")
        for fan in self.fans:
            wanted = (count, len(fan.horizons_steps), len(fan.levels))
            if fan.bps.shape != wanted:
                raise ValueError(f"a fan is of shape {fan.bps.shape}, not {wanted}")
        if self.before_bps is not None and self.before_bps.shape != (nodes, nodes):
            raise ValueError(f"before_bps is of shape {self.before_bps.shape}, not [N, N]")


def splits_of(plan: Plan) -> Splits:
    """Return a plan's splits by the names of links; what is unsteered is left out."""
    links = {circuit.spi: circuit.links for circuit in plan.circuits}
    return {
        (split.src, split.dst): {
            links[spi]: share
            for spi, share in zip(split.spis, split.shares, strict=True)
            if spi != UNSTEERED
        }
        for split in plan.splits
    }

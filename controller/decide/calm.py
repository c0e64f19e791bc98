"""Hysteresis: of the moves that a new answer asks for, make only those that are worth it.

The linear program has many answers that are about as good, and small changes of demand carry it
from one to another. So demands keep the splits they have as long as the whole stays about as good.
"""

from collections.abc import Mapping

from controller.decide.candidates import Floats
from controller.decide.spread import Counts, Pair, loads, moved
from controller.decide.te import congestion_cost
from controller.state import Matrix

UTILISATION_TOLERANCE = 1.005
"""How much higher the maximum utilisation may be for calm's sake, as a factor."""

COST_TOLERANCE = 1.05
"""How much dearer the second stage's cost may be, as a factor."""


def calm(
    held: Mapping[Pair, Counts],
    wanted: Mapping[Pair, Counts],
    capacity_bps: Floats,
    demands_bps: Matrix,
    utilisation_tolerance: float = UTILISATION_TOLERANCE,
    cost_tolerance: float = COST_TOLERANCE,
) -> dict[Pair, Counts]:
    """Return the wanted splits with as many held ones in their place as quality allows.

    All are kept if all together are good enough; else demands are gone through from the one that
    would move the most traffic, and each keeps its split if that leaves the sum good enough.
    ``capacity_bps``: [E]; ``demands_bps``: [N, N] as forecast.
    """
    edges = len(capacity_bps)
    volume = {
        pair: float(demands_bps[pair]) * moved(held[pair], counts)
        for pair, counts in wanted.items()
        if pair in held and held[pair] != counts
    }
    result = dict(wanted)
    if not volume:
        return result
    best = loads(wanted, edges, demands_bps) / capacity_bps
    bound = float(best.max(initial=0.0))
    if bound <= 0.0:
        return {**result, **{pair: held[pair] for pair in volume}}
    cost = congestion_cost(best, bound) * cost_tolerance

    def good(utilisation: Floats) -> bool:
        highest = float(utilisation.max())
        return (
            highest <= bound * utilisation_tolerance and congestion_cost(utilisation, bound) <= cost
        )

    everything = {**result, **{pair: held[pair] for pair in volume}}
    if good(loads(everything, edges, demands_bps) / capacity_bps):
        return everything
    now = best
    for pair in sorted(volume, key=lambda pair: (-volume[pair], pair)):
        change = loads({pair: held[pair]}, edges, demands_bps)
        change -= loads({pair: wanted[pair]}, edges, demands_bps)
        tried = now + change / capacity_bps
        if good(tried):
            now = tried
            result[pair] = held[pair]
    return result

"""How full locations are and will be: what conditions ask about.

A location's load is all traffic to it, its utilisation that over its capacity: the one that the
global policy declares, else what the links into it carry. Quantiles of the sum are taken to be
sums of the quantiles, as if all demands to a location rose together: flash crowds do, and erring
on that side diverts a little too early rather than too late.
"""

from dataclasses import dataclass

import numpy as np

from controller.decide.candidates import Floats
from controller.decide.policy.condition import VARIABLES
from controller.decide.policy.tree import DOUBLE
from controller.decide.policy.vector import Facts, Values
from controller.decide.situation import Situation
from controller.layers import Global
from controller.state import Forecast, Matrix, Plan, Snapshot

DAY_S, HOUR_S = 86_400.0, 3600.0
THURSDAY = 3
"""The weekday of 1 January 1970."""


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """Locations' loads: [L] in bit/s; ``utilisations`` [H, Q, L] at the forecast's levels [Q].

    ``within_s`` [H]: how far ahead each horizon is.
    """

    nodes: tuple[str, ...]
    capacity_bps: Floats
    observed_bps: Floats
    predicted_bps: Floats
    utilisations: Values
    within_s: Floats
    levels: Floats

    @property
    def predicted(self) -> Floats:
        """Predicted utilisations [L]; NaN where no capacity is known."""
        return self.predicted_bps / self.capacity_bps

    def probability(self, utilisation: Values, within_s: Values, above: bool) -> Values:
        """Return [R, L]: P(utilisation above, else below it) within so many seconds, [R, 1] each.

        Over the horizons within, the highest; without any, of the nearest one. Between the levels
        forecast it is interpolated; what lies outside of them counts as impossible or certain.
        """
        result = np.full((len(utilisation), len(self.nodes)), -1.0)
        within = np.asarray(within_s)
        for at, horizon_s in enumerate(self.within_s):
            counts = (horizon_s <= within + 1e-9) | (at == 0)
            level = self._level(self.utilisations[at], np.asarray(utilisation))
            found = 1.0 - level if above else level
            result = np.where(counts, np.fmax(result, found), result)
        return np.where(np.isnan(self.capacity_bps), np.nan, result)

    def _level(self, knots: Values, asked: Values) -> Values:
        """Return [R, L]: the level of the quantile that is ``asked``, 0 to 1; ``knots`` [Q, L]."""
        levels = self.levels
        level = np.where(asked >= knots[0], levels[0], 0.0)
        for low, high, below, above in zip(knots, knots[1:], levels, levels[1:], strict=False):
            width = high - low
            with np.errstate(all="ignore"):
                part = np.where(width > 0, np.clip((asked - low) / width, 0, 1), asked >= high)
            level = level + part * (above - below)
        return np.where(asked >= knots[-1], 1.0, level)


def outlook_of(
    snapshot: Snapshot,
    forecast: Forecast,
    situation: Situation,
    general: Global,
    planned_bps: Matrix,
) -> Outlook:
    """Return locations' loads; ``planned_bps`` [N, N]: what is planned for, surges included."""
    size = len(snapshot.nodes)
    into = np.zeros(size)
    for edge, capacity in zip(situation.graph.edges, situation.capacity, strict=True):
        into[edge.dst] += capacity
    declared = [general.capacities_bps.get(name, np.nan) for name in snapshot.nodes]
    capacity_bps = np.where(np.isfinite(declared), declared, into)
    capacity_bps = np.where(capacity_bps > 0, capacity_bps, np.nan)
    observed = _clean(snapshot.demands_bps, 0.0)
    fan = _clean(forecast.demands_bps, observed)
    index = {name: number for number, name in enumerate(snapshot.nodes)}
    for (src, dst), rate in snapshot.surges.items():
        if src in index and dst in index and src != dst and np.isfinite(rate):
            place = (..., index[src], index[dst])
            fan[place] = np.maximum(fan[place], rate)
    return Outlook(
        snapshot.nodes,
        capacity_bps,
        observed.sum(axis=0),
        planned_bps.sum(axis=0),
        fan.sum(axis=2) / capacity_bps,
        np.array(forecast.horizons_steps, dtype=np.float64) * snapshot.step_s,
        np.array(forecast.levels, dtype=np.float64),
    )


def _clean(matrices: Values, instead: Values | float) -> Values:
    clean = np.maximum(np.where(np.isfinite(matrices), matrices, instead), 0.0)
    same = np.arange(matrices.shape[-1])
    clean[..., same, same] = 0.0
    return clean


def facts_of(snapshot: Snapshot, outlook: Outlook, previous: Plan | None) -> Facts:
    """Return what conditions may ask about."""
    nodes = snapshot.nodes
    healthy = np.zeros(len(nodes))
    index = {name: number for number, name in enumerate(nodes)}
    for service in snapshot.services:
        for one in service.instances:
            if one.healthy and one.location in index:
                healthy[index[one.location]] += 1
    arrays: dict[str, Values] = {
        "location": np.array(nodes, dtype=object),
        "region": np.array([snapshot.regions.get(name, "") for name in nodes], dtype=object),
        "observed": outlook.observed_bps / outlook.capacity_bps,
        "predicted": outlook.predicted,
        "observed_bps": outlook.observed_bps,
        "predicted_bps": outlook.predicted_bps,
        "capacity_bps": outlook.capacity_bps,
        "instances": healthy,
        "max_utilisation": np.array([previous.max_utilisation if previous else np.nan]),
        "hour": np.array([snapshot.time_s % DAY_S / HOUR_S]),
        "weekday": np.array([(snapshot.time_s // DAY_S + THURSDAY) % 7.0]),
    }
    assert {name for name, (kind, _) in VARIABLES.items() if kind == DOUBLE} <= set(arrays)
    maps = {
        f"{name}_at": dict(zip(nodes, arrays[name].tolist(), strict=True))
        for name in ("observed", "predicted")
    }
    return Facts(len(nodes), arrays, maps, outlook.probability)

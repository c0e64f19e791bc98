"""What traffic is planned for: an upper quantile of the forecast, bursts, and what is not known."""

from dataclasses import dataclass

import numpy as np

from controller.decide.errors import DecideError
from controller.state import Forecast, Matrix, Policies, Snapshot

LOW, HIGH = 0.1, 0.9
"""The interval whose width tells how sure a forecast is."""

WIDE = 10.0
"""Times the traffic: an interval that is wider says no more in figures."""


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """What traffic is planned for.

    ``demands_bps`` [N, N]: what demands are placed at. ``bursts_bps`` [N, N]: by how much any one
    of them may be higher. ``scenarios``: matrices that must fit as well. ``spread``: the width of
    the forecast's 80 % interval as a share of the traffic. ``robust``: whether the forecast is
    unsure enough to plan for more than it says, ``why``, in words.
    """

    demands_bps: Matrix
    bursts_bps: Matrix
    scenarios: tuple[Matrix, ...]
    spread: float
    robust: bool
    why: str
    notes: tuple[str, ...]


def expected(snapshot: Snapshot, forecast: Forecast, policies: Policies) -> Expected:
    """Return what to plan for; what was not forecast counts as in the last interval.

    Raises:
        DecideError: the forecast is not about the snapshot's locations, or lacks the horizon.
    """
    size = len(snapshot.nodes)
    if forecast.demands_bps.shape[-2:] != (size, size):
        raise DecideError(
            f"the forecast is of shape {forecast.demands_bps.shape}, not about {size} locations"
        )
    horizon = policies.horizon_steps
    try:
        level = forecast.quantile(horizon, policies.quantile)
        top = forecast.quantile(horizon, forecast.levels[-1])
        low, middle, high = (forecast.quantile(horizon, q) for q in (LOW, 0.5, HIGH))
    except KeyError as error:
        raise DecideError(str(error.args[0])) from error
    known = np.isfinite(level) & np.isfinite(top)
    last = np.where(np.isfinite(snapshot.demands_bps), snapshot.demands_bps, 0.0)
    demands = _clean(np.where(known, level, last))
    bursts = _clean(np.where(known, top - level, 0.0))
    missing = int((~known).sum())
    notes = (f"{missing} demands without a forecast: the last value stands in",) * bool(missing)
    surged = _surged(snapshot, demands)
    if surged is not demands:
        notes += (f"{len(snapshot.surges)} demands surge beyond the forecast",)
    traffic = float(np.nansum(middle))
    spread = float(np.nansum(high - low)) / traffic if traffic > 0 else 0.0
    why = _unsure(forecast, horizon, spread, policies)
    unsure = bool(why) or spread > policies.recent_above
    recent = (*snapshot.history_bps[-policies.recent :],) if unsure and policies.recent else ()
    hedge = policies.robust_hedge if why else policies.hedge
    return Expected(
        surged,
        hedge * bursts,
        tuple(_clean(np.nan_to_num(matrix)) for matrix in recent),
        spread,
        bool(why),
        why,
        notes,
    )


def _clean(matrix: Matrix) -> Matrix:
    """Return a matrix without what cannot be: negative rates, demands to oneself."""
    clean: Matrix = np.maximum(matrix, 0.0)
    np.fill_diagonal(clean, 0.0)
    return clean


def _surged(snapshot: Snapshot, demands: Matrix) -> Matrix:
    """Raise demands to what is seen right now where that is more."""
    index = {name: number for number, name in enumerate(snapshot.nodes)}
    known = {
        (index[src], index[dst]): rate
        for (src, dst), rate in snapshot.surges.items()
        if src in index and dst in index and src != dst and np.isfinite(rate)
    }
    if not known:
        return demands
    raised = demands.copy()
    for pair, rate in known.items():
        raised[pair] = max(raised[pair], rate)
    return raised


def _unsure(forecast: Forecast, horizon: int, spread: float, policies: Policies) -> str:
    """Return why the forecast is not to be relied on, empty if it is."""
    for skill in forecast.skill:
        if skill.horizon_steps == horizon and skill.drift.alarm:
            return f"forecasts have become {skill.drift.ratio:.1f} times worse than they were"
    if spread > max(policies.robust_above, WIDE):
        return f"the 80 % interval is more than {WIDE:.0f} times as wide as the traffic"
    if spread > policies.robust_above:
        return f"the 80 % interval is {100 * spread:.0f} % of the traffic wide"
    return ""

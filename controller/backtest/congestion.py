"""What operators feel: minutes that links are overloaded, and volume that is lost.

Methods decide knowing the links as they are when they decide. A cable that dies after that takes
its paths with it: their traffic goes over to the path's backup, as switches do by themselves, for
all methods that use circuits alike. OSPF finds its new routes at once, which flatters it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from controller.backtest.methods import METHODS, timed
from controller.backtest.run import Say, bootstrap_difference, lazy_forecasts
from controller.backtest.scenario import Scenario
from controller.decide.candidates import Floats
from controller.decide.disjoint import protector
from controller.decide.errors import DecideError
from controller.decide.graph import Path
from controller.report.fluid import Routing, Way, carried, loads
from controller.state import Matrix, Policies

PLAIN = ("ospf", "ecmp")
"""Methods without circuits: they follow the links as they are."""

CLAIRVOYANT = "clairvoyant"
"""Not a method: the two-stage form for what is yet to come, to tell what could not be avoided."""

FULL = 1.0 + 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Suffered:
    """One method over the intervals: [T] each.

    ``overloaded``: link-minutes during which more was offered than the link holds; ``lost_bytes``;
    ``sent_bytes``; ``utilisation``: what was offered to the worst link, as a share of capacity.
    """

    overloaded: Floats
    lost_bytes: Floats
    sent_bytes: Floats
    utilisation: Floats

    def to_dict(self) -> dict[str, Any]:
        """Return what the JSON file holds of it."""
        sent = float(self.sent_bytes.sum())
        return {
            "n": len(self.overloaded),
            "overloaded_link_minutes": float(self.overloaded.sum()),
            "lost_bytes": float(self.lost_bytes.sum()),
            "lost_share": float(self.lost_bytes.sum()) / sent if sent > 0 else 0.0,
            "max_utilisation": {
                "mean": float(self.utilisation.mean()),
                "p95": float(np.quantile(self.utilisation, 0.95)),
            },
        }


def congestion(
    hard: Scenario,
    methods: Sequence[str],
    horizon: int,
    start: int,
    stop: int,
    *,
    paths: int = 8,
    policies: Policies | None = None,
    say: Say | None = None,
) -> dict[str, Suffered]:
    """Return what every method's traffic suffered in intervals ``start`` up to ``stop``.

    Raises:
        DecideError: an unknown method, or intervals that have no past.
        ForecastError: there is not enough past to forecast from.
    """
    network = hard.network
    there = (*METHODS, CLAIRVOYANT)
    unknown = [name for name in methods if name not in there]
    if unknown:
        raise DecideError(f"there is no method {unknown[0]!r}; there are {', '.join(there)}")
    if not horizon <= start < stop <= len(network.tm_bps):
        raise DecideError(
            f"intervals {start} to {stop} of {len(network.tm_bps)} cannot be decided"
            f" {horizon} steps ahead"
        )
    asked = policies or Policies(horizon_steps=horizon, paths=paths)
    forecasts = lazy_forecasts(network, horizon, start, stop)
    found: dict[str, Suffered] = {}
    for name in methods:
        foreseen = name == CLAIRVOYANT
        make = METHODS["reactive2" if foreseen else name]
        method = make(network, paths, asked, forecasts)
        rows = []
        for target in range(start, stop):
            known = target if foreseen or name in PLAIN else target - horizon
            way, _ = timed(method, target if foreseen else target - horizon, hard.links(known))
            dead = {x.name for x in hard.links(target) if not x.up}
            rows.append(_suffer(gone_over(way, dead), hard, network.tm_bps[target]))
            if say:
                say(name, target - start + 1, stop - start)
        table = np.array(rows).T
        found[name] = Suffered(*table)
    return found


def gone_over(way: Way, dead: set[str]) -> Way:
    """Return a routing with the paths over dead links replaced by their backups, if alive."""
    graph = way.graph
    gone = {at for at, edge in enumerate(graph.edges) if edge.name in dead}
    if not gone or not isinstance(way, Routing):
        return way
    backups = protector(graph, ((),) * len(graph.edges))
    shares: dict[tuple[int, int], dict[Path, float]] = {}
    for pair, by_path in way.shares.items():
        left: dict[Path, float] = {}
        for path, share in by_path.items():
            taken = path if gone.isdisjoint(path) else backups.backup(path)
            if taken and gone.isdisjoint(taken):
                left[taken] = left.get(taken, 0.0) + share
        shares[pair] = left
    return Routing(graph, shares)


def _suffer(way: Way, hard: Scenario, demands: Matrix) -> tuple[float, float, float, float]:
    network = hard.network
    capacity = network.capacity(way.graph)
    worst = float((loads(way, demands) / capacity).max(initial=0.0))
    arriving, lost = carried(way, capacity, demands)
    over = int((arriving > capacity * FULL).sum())
    bytes_per_rate = network.step_s / 8
    sent = float(demands.sum()) * bytes_per_rate
    return over * network.step_s / 60, _visible(lost, demands) * bytes_per_rate, sent, worst


def _visible(lost: float, demands: Matrix) -> float:
    """Return what was lost, without what rounding makes of nothing."""
    return lost if lost > 1e-9 * float(demands.sum()) else 0.0


FIGURES: dict[str, Callable[[Suffered], Floats]] = {
    "overloaded_link_minutes": lambda one: one.overloaded,
    "lost_bytes": lambda one: one.lost_bytes,
}


def compare(
    found: dict[str, Suffered], block: int, ours: str = "predictive"
) -> dict[str, dict[str, dict[str, float]]]:
    """Return by how much ``ours`` differs from every other method in total, with 95 % intervals.

    Paired block bootstrap over blocks of ``block`` intervals.
    """
    compared: dict[str, dict[str, dict[str, float]]] = {}
    for name, other in found.items():
        if name == ours or ours not in found:
            continue
        compared[name] = {}
        for figure, of in FIGURES.items():
            mine, theirs = of(found[ours]), of(other)
            mean, low, high = (len(mine) * x for x in bootstrap_difference(mine, theirs, block))
            compared[name][figure] = {"difference": mean, "low": low, "high": high}
    return compared

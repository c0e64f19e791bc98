"""The back-test: decided at t, scored at t + horizon, against that interval's own optimum."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from controller.backtest.forecasts import Forecasts, forecast_all
from controller.backtest.methods import METHODS, moved_share, spread_of, timed
from controller.backtest.network import TestNetwork
from controller.decide.candidates import Floats
from controller.decide.errors import DecideError
from controller.report.fluid import loads
from controller.report.optimum import optimal_utilisation
from controller.state import Policies

Say = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One method over the intervals: ``ratio`` [T] of maximum utilisation over the optimum.

    ``churn``: the share of the traffic that moved per decision. ``solve_ms`` [T].
    """

    ratio: Floats
    churn: Floats
    solve_ms: Floats

    def to_dict(self) -> dict[str, Any]:
        """Return what the JSON file holds of it."""
        return {
            "n": len(self.ratio),
            "ratio": {
                "mean": float(self.ratio.mean()),
                **{f"p{q}": float(np.quantile(self.ratio, q / 100)) for q in (50, 95, 99)},
            },
            "churn": float(self.churn.mean()) if len(self.churn) else 0.0,
            "solve_ms": {
                "p50": float(np.quantile(self.solve_ms, 0.5)),
                "p99": float(np.quantile(self.solve_ms, 0.99)),
            },
        }


def lazy_forecasts(
    network: TestNetwork, horizon: int, start: int, stop: int
) -> Callable[[], Forecasts]:
    """Return a function that makes the forecasts when first called, and then gives them."""

    @cache
    def made() -> Forecasts:
        return forecast_all(network, horizon, start, stop)

    return made


def backtest_te(
    network: TestNetwork,
    methods: Sequence[str],
    horizon: int,
    start: int,
    stop: int,
    *,
    paths: int = 8,
    policies: Policies | None = None,
    say: Say | None = None,
) -> dict[str, Measured]:
    """Return every method's figures for targets from ``start`` up to ``stop`` (not included).

    Targets whose optimum is 0 (no traffic) are left out.

    Raises:
        DecideError: an unknown method, or targets that have no past.
        ForecastError: there is not enough past to forecast from.
    """
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise DecideError(f"there is no method {unknown[0]!r}; there are {', '.join(METHODS)}")
    if not horizon <= start < stop <= len(network.tm_bps):
        raise DecideError(
            f"intervals {start} to {stop} of {len(network.tm_bps)} cannot be decided"
            f" {horizon} steps ahead"
        )
    graph = network.graph
    capacity = network.capacity(graph)
    optimum = np.array(
        [optimal_utilisation(graph, capacity, network.tm_bps[t]) for t in range(start, stop)]
    )
    asked = policies or Policies(horizon_steps=horizon, paths=paths)
    forecasts = lazy_forecasts(network, horizon, start, stop)
    found: dict[str, Measured] = {}
    for name in methods:
        method = METHODS[name](network, paths, asked, forecasts)
        ratio, churn, times = [], [], []
        before = None
        for target in range(start, stop):
            t = target - horizon
            way, took = timed(method, t, network.links)
            spread = spread_of(way)
            if before is not None:
                churn.append(moved_share(before, spread, network.tm_bps[t]))
            before = spread
            times.append(took)
            if optimum[target - start] > 0.0:
                highest = float((loads(way, network.tm_bps[target]) / capacity).max())
                ratio.append(highest / optimum[target - start])
            if say:
                say(name, target - start + 1, stop - start)
        found[name] = Measured(np.array(ratio), np.array(churn), np.array(times))
    return found


def bootstrap_difference(
    one: Floats, other: Floats, block: int, rounds: int = 2000, seed: int = 1
) -> tuple[float, float, float]:
    """Return the mean of ``one - other`` with its 95 % interval, by a paired block bootstrap.

    ``block``: intervals that are drawn together, since neighbours resemble each other (Künsch,
    "The jackknife and the bootstrap for general stationary observations", 1989).
    """
    difference = one - other
    count = len(difference)
    random = np.random.default_rng(seed)
    width = max(1, min(block, count // 10))
    starts = random.integers(0, max(1, count - width + 1), size=(rounds, -(-count // width)))
    picked = (starts[:, :, None] + np.arange(width)).reshape(rounds, -1)[:, :count]
    means = difference[picked].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(difference.mean()), float(low), float(high)

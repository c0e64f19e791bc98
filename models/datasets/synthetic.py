"""Made-up traffic: gravity demands with daily and weekly cycles, drift, bursts, flash crowds.

Everything made here is labelled synthetic. The parts are multiplied, so they are added up as
logarithms: log demand = log gravity + cycles + slow drift + fluctuation + noise + events. A seed
repeats a run.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headers.files import Topology, TrafficMatrices
from models.datasets.events import PlannedEvent, with_events
from models.datasets.timers import timers

Array = NDArray[np.float64]

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Style:
    """How the traffic moves; every value is in log units unless its name says otherwise.

    ``daily`` and ``weekend``: size of the cycles. ``drift``: slow wandering over ``drift_s``.
    ``fluctuation``: wandering over ``fluctuation_s``; ``shared`` is the part of it that all
    demands of one source have in common (0 to 1). ``noise``: white noise. ``bursts_per_day`` per
    series, of ``burst_s`` seconds; ``flashes_per_day`` per destination; ``shifts_per_day`` per
    series: lasting changes of level, as rerouting makes them.
    """

    daily: float = 0.5
    weekend: float = 0.3
    drift: float = 0.15
    drift_s: float = 1.5 * DAY_S
    fluctuation: float = 0.15
    fluctuation_s: float = 2400.0
    shared: float = 0.3
    noise: float = 0.08
    bursts_per_day: float = 0.5
    burst_s: float = 1500.0
    burst: float = 0.5
    flashes_per_day: float = 0.1
    flash: float = 1.0
    shifts_per_day: float = 0.05


BACKBONE = Style()
"""What a research backbone at 5 minutes looks like."""


def _wander(
    rng: np.random.Generator, intervals: int, series: int, step_s: float, tau_s: float
) -> Array:
    """Return [T, S] of Ornstein-Uhlenbeck paths with unit variance and time constant ``tau_s``."""
    keep = np.exp(-step_s / tau_s)
    push = np.sqrt(1.0 - keep * keep)
    shocks = rng.standard_normal((intervals, series))
    path = np.empty((intervals, series))
    state = rng.standard_normal(series)
    for at in range(intervals):
        path[at] = state
        state = keep * state + push * shocks[at]
    return path


def _cycles(time_s: Array, phase_s: Array, style: Style, rng: np.random.Generator) -> Array:
    """Return [T, S]: the daily curve (two harmonics) and the quieter weekend."""
    local = time_s[:, None] + phase_s[None, :]
    angle = 2.0 * np.pi * (local / DAY_S - 0.6)  # the peak is in the afternoon
    size = style.daily * rng.uniform(0.4, 1.6, len(phase_s))
    curve = size * (np.cos(angle) + rng.uniform(-0.4, 0.4, len(phase_s)) * np.cos(2.0 * angle))
    day = np.floor(local / DAY_S).astype(np.int64) % 7
    # 1970-01-01 was a Thursday: days 2 and 3 are Saturday and Sunday
    result: Array = curve - style.weekend * ((day == 2) | (day == 3))
    return result


def _events(
    rng: np.random.Generator,
    shape: tuple[int, int],
    step_s: float,
    rate: float,
    last_s: float,
    size: float,
) -> Array:
    """Return [T, S] of bumps that rise at once or in steps and die away over about ``last_s``."""
    intervals, series = shape
    bumps = np.zeros(shape)
    number = rng.poisson(rate * intervals * step_s / DAY_S * series)
    for column, start in zip(
        rng.integers(0, series, number), rng.integers(0, intervals, number), strict=True
    ):
        length = max(1, int(rng.exponential(last_s) / step_s))
        rise = int(rng.integers(0, max(1, length // 2) + 1))
        up = np.linspace(0.0, 1.0, rise + 1)[1:]
        down = np.exp(-np.arange(2 * length) / length)
        form = np.concatenate([up, down])[: intervals - start]
        bumps[start : start + len(form), column] += abs(rng.normal(size, size / 2)) * form
    return bumps


def _shifts(rng: np.random.Generator, shape: tuple[int, int], step_s: float, rate: float) -> Array:
    """Return [T, S] of steps that stay."""
    jumps = rng.random(shape) < rate * step_s / DAY_S
    steps: Array = np.cumsum(jumps * rng.normal(0.0, 0.6, shape), axis=0)
    return steps


def signals(
    rng: np.random.Generator,
    time_s: Array,
    step_s: float,
    phase_s: Array,
    groups: tuple[NDArray[np.int64], NDArray[np.int64]],
    style: Style,
) -> Array:
    """Return [T, S], the factor by which each of S series is above its own level.

    ``time_s``: [T] seconds since the epoch. ``phase_s``: [S] seconds by which local time is
    ahead. ``groups``: for each series its source (shared fluctuation) and destination (shared
    flash crowds), as numbers from 0.
    """
    source, destination = groups
    shape = (len(time_s), len(phase_s))
    log = _cycles(time_s, phase_s, style, rng)
    log += style.drift * _wander(rng, *shape, step_s, style.drift_s)
    common = _wander(rng, shape[0], int(source.max()) + 1, step_s, style.fluctuation_s)
    own = _wander(rng, *shape, step_s, style.fluctuation_s)
    log += style.fluctuation * (
        np.sqrt(style.shared) * common[:, source] + np.sqrt(1.0 - style.shared) * own
    )
    # a mixture of variances: most intervals are calm, some are wild, as in real counters
    unrest = np.exp(rng.normal(-0.3, 0.6, shape)) * rng.uniform(0.5, 1.5, shape[1])
    log += style.noise * unrest * rng.standard_normal(shape)
    log += _events(rng, shape, step_s, style.bursts_per_day, style.burst_s, style.burst)
    crowd = (shape[0], int(destination.max()) + 1)
    log += _events(rng, crowd, step_s, style.flashes_per_day, 5400.0, style.flash)[:, destination]
    log += _shifts(rng, shape, step_s, style.shifts_per_day)
    factor: Array = np.exp(np.clip(log, -12.0, 12.0))
    return factor


def generate_matrices(
    topology: Topology,
    intervals: int,
    step_s: float,
    seed: int,
    *,
    total_mbps: float | None = None,
    start_s: int = 0,
    style: Style = BACKBONE,
    events: tuple[PlannedEvent, ...] = (),
) -> TrafficMatrices:
    """Return made-up matrices for any topology, labelled synthetic.

    Demands follow a gravity model: node masses are drawn log-normal and grow with the capacity at
    the node. ``total_mbps`` is the mean of all demands together; by default a twentieth of the
    sum of the links' capacities. Local time follows the longitude of the source, where known.
    ``events`` come on top; outside them the traffic is the same as without.

    Raises:
        ValueError: fewer than one interval, a step below one second, fewer than two nodes, or an
            event that names an unknown node.
    """
    nodes = len(topology.nodes)
    if intervals < 1 or step_s < 1 or nodes < 2:
        raise ValueError(
            f"cannot make {intervals} intervals of {step_s} s for {nodes} nodes:"
            " at least one interval, one second and two nodes are needed"
        )
    rng = np.random.default_rng(seed)
    where = topology.index()
    capacity = np.zeros(nodes)
    for link in topology.links:
        capacity[where[link.src]] += link.capacity_mbps
    mass = np.exp(rng.normal(0.0, 0.8, nodes)) * np.sqrt(capacity / max(capacity.max(), 1.0) + 0.05)
    source, destination = np.nonzero(~np.eye(nodes, dtype=bool))
    level = mass[source] * mass[destination] * np.exp(rng.normal(0.0, 0.4, len(source)))
    if total_mbps is None:
        total_mbps = 0.05 * float(capacity.sum()) or 1000.0
    time_s = start_s + np.arange(intervals) * round(step_s)
    degrees = np.array([node.lon or 0.0 for node in topology.nodes])
    phase_s = degrees[source] / 360.0 * DAY_S
    flows = level * signals(
        rng, time_s.astype(np.float64), step_s, phase_s, (source, destination), style
    )
    flows *= total_mbps / flows.sum(axis=1).mean()
    tm = np.zeros((intervals, nodes, nodes))
    tm[:, source, destination] = flows
    name = f"synthetic-{topology.name}"
    made = TrafficMatrices(name, topology.names, time_s, tm, synthetic=True)
    return with_events(made, events)


def random_style(rng: np.random.Generator) -> Style:
    """Draw a style: from calm backbones to data centres without memory."""

    def log_uniform(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    return Style(
        daily=rng.uniform(0.0, 0.9),
        weekend=rng.uniform(0.0, 0.6),
        drift=log_uniform(0.02, 0.4),
        drift_s=log_uniform(0.3, 4.0) * DAY_S,
        fluctuation=log_uniform(0.03, 0.5),
        fluctuation_s=log_uniform(300.0, 20_000.0),
        shared=rng.uniform(0.0, 0.7),
        noise=log_uniform(0.01, 0.6),
        bursts_per_day=log_uniform(0.05, 10.0),
        burst_s=log_uniform(200.0, 8000.0),
        burst=log_uniform(0.2, 1.2),
        flashes_per_day=log_uniform(0.02, 0.5),
        flash=log_uniform(0.4, 1.8),
        shifts_per_day=log_uniform(0.01, 0.3),
    )


def generate_series(count: int, intervals: int, step_s: float, seed: int) -> Array:
    """Return [T, S] of made-up series of one random style, with levels over three decades."""
    rng = np.random.default_rng(seed)
    style = random_style(rng)
    members = max(1, round(count**0.5))
    groups = (rng.integers(0, members, count), rng.integers(0, members, count))
    time_s = rng.integers(0, 7) * DAY_S + np.arange(intervals) * step_s
    phase_s = rng.normal(0.0, 7200.0, count)
    level = np.exp(rng.normal(0.0, 1.5, count))
    moving = signals(rng, time_s, step_s, phase_s, groups, style)
    moving += timers(rng, intervals, count, step_s, float(rng.choice((0.0, 0.0, 0.3, 1.0))))
    series: Array = level * moving
    return series

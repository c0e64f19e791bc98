"""How long one tick of forecasting takes, and how that grows with the number of series."""

import time
from dataclasses import dataclass

import numpy as np

from models.choice import WINDOW, Chooser
from models.datasets.synthetic import generate_series
from models.neural import load_shipped_model
from models.simple import Ewma, LastValue

STEP_S = 300.0
KINDS = 50
"""Different series; more are copies of them at other times."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Processor seconds of one tick, least of some: all of it, and the network's answer alone."""

    series: int
    tick_s: float
    network_s: float


def measure_speed(series: int, horizons: tuple[int, ...], ticks: int = 3) -> Speed:
    """Return how long a tick takes on one core: features, network, calibration, weighing.

    As in the loop: what matured is scored, the network, EWMA and the last value are asked, their
    fans calibrated and mixed. The window is the longest that is used.
    """
    base = generate_series(KINDS, WINDOW + ticks + 1, STEP_S, seed=5)
    rng = np.random.default_rng(1)
    columns, shifts = np.arange(series) % KINDS, rng.integers(0, WINDOW, series)
    history = np.empty((WINDOW + ticks, series))
    for at, (column, shift) in enumerate(zip(columns, shifts, strict=True)):
        history[:, at] = np.roll(base[: WINDOW + ticks, column], shift)
    network = load_shipped_model()
    chooser = Chooser((network, Ewma(), LastValue()), horizons, warm_up=0)
    took, alone = [], []
    for tick in range(ticks):
        rows = history[tick : tick + WINDOW]
        start = time.process_time()
        chooser.forecast(rows, tick, STEP_S)
        took.append(time.process_time() - start)
        start = time.process_time()
        network.forecast(rows.T, horizons, STEP_S)
        alone.append(time.process_time() - start)
    return Speed(series, min(took), min(alone))

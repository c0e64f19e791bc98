"""Forecasters for the tests of the predictor workers: quick, and each series by itself."""

import threading
import time

import numpy as np

from models import QUANTILES, Forecaster


class Apart(Forecaster):
    """Each series by itself; ``faults`` are raised one by one, ``gate`` holds every answer."""

    name = "apart"
    per_series = True

    def __init__(self, model="m1", delay_s=0.0):
        super().__init__()
        self.model = model
        self.delay_s = delay_s
        self.fault = None
        self.calls = 0
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def _quantiles(self, window, horizons, step_s):
        self.calls += 1
        self.entered.set()
        self.gate.wait(10)
        time.sleep(self.delay_s)
        if self.fault:
            raise self.fault
        centre = window.mean(axis=1)[:, None, None] * np.array(horizons)[None, :, None]
        return centre * np.linspace(0.5, 1.5, len(QUANTILES)) + window[:, -1:, None] / 3.0


class Second(Apart):
    name = "second"


def windows(series=1000, length=40, seed=1):
    """Return windows [S, L] over many decades, with gaps."""
    rng = np.random.default_rng(seed)
    made = rng.random((series, length)) * np.exp(rng.normal(0.0, 6.0, (series, 1)))
    made[rng.random(made.shape) < 0.02] = np.nan
    return made

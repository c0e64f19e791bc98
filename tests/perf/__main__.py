"""``./run bench``: what a tick costs, beside its simpler peers, in one interleaved run."""

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from models import Ewma, LastValue, ModelError, load_shipped_model

ROUNDS = 15


def medians(jobs: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Return each job's median time in ms; the jobs take turns, so that drift meets all alike."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for name, job in jobs.items():
        job()  # warm
        times[name].clear()
    for _ in range(rounds):
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            times[name].append((time.perf_counter() - began) * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def decide() -> None:
    """Print what a decision costs as networks grow; ``foresteer bench decide`` alone does it."""
    from controller.backtest.bench_commands import decide as command

    print("\ndecide: one whole plan")
    command.main([], standalone_mode=False)


def forecast() -> None:
    """Print what a forecast of all series costs, beside EWMA and the last value."""
    try:
        model = load_shipped_model()
    except ModelError as error:
        print(f"\nforecast: {error}")
        return
    print("\nforecast: three horizons (median ms)")
    random = np.random.default_rng(1)
    for series in (144, 1024):
        window = random.lognormal(0.0, 1.0, (series, 304))
        found = medians(
            {
                "model": lambda w=window: model.forecast(w, (1, 3, 12)),
                "ewma": lambda w=window: Ewma().forecast(w, (1, 3, 12)),
                "last": lambda w=window: LastValue().forecast(w, (1, 3, 12)),
            }
        )
        print(
            f"  {series:5d} series  model {found['model']:8.1f}  ewma {found['ewma']:8.1f}"
            f"  last value {found['last']:8.1f}   model/ewma {found['model'] / found['ewma']:5.1f}"
        )


def main() -> int:
    """Run them all."""
    forecast()
    decide()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``./run bench``: what a tick costs, beside its simpler peers, in one interleaved run."""

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from controller.decide import plan
from controller.state import Forecast, LinkState, Policies, Snapshot
from headers.files import Topology
from models import QUANTILES, Ewma, LastValue, ModelError, generate_matrices, load_shipped_model
from topologies.sources import find_topology

ROUNDS = 15
TOPOLOGIES = ("abilene", "geant", "germany50")


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


def question(topology: Topology) -> tuple[Snapshot, Forecast]:
    """Return a snapshot and a forecast of synthetic traffic on a topology."""
    matrices = generate_matrices(topology, 64, 300.0, 1)
    past = matrices.tm_mbps * 1e6
    links = tuple(
        LinkState(f"{x.src}>{x.dst}", x.src, x.dst, x.capacity_mbps * 1e6, x.metric)
        for x in {(link.src, link.dst): link for link in topology.links}.values()
    )
    snapshot = Snapshot(1, 0.0, 5.0, 300.0, topology.names, links, past[-1], past)
    fan = np.stack([past[-1] * (1 + (level - 0.5) * 0.2) for level in QUANTILES])[None]
    return snapshot, Forecast(1, 1, (1,), QUANTILES, fan, ())


def decide() -> None:
    """Print what a decision costs as networks grow."""
    print("\ndecide: one whole plan, previous plan known (median ms)")
    for name in TOPOLOGIES:
        topology = find_topology(name)
        snapshot, forecast = question(topology)
        previous = plan(snapshot, forecast, Policies(), None)
        found = medians(
            {
                "8 paths": lambda s=snapshot, f=forecast, p=previous: plan(s, f, Policies(), p),
                "1 path": lambda s=snapshot, f=forecast, p=previous: plan(
                    s, f, Policies(paths=1), p
                ),
            },
            rounds=5,
        )
        nodes = len(topology.nodes)
        print(
            f"  {name:12} {nodes:3d} nodes {nodes * (nodes - 1):6d} demands"
            f"  {found['8 paths']:9.1f}   shortest path only {found['1 path']:9.1f}"
            f"   ratio {found['8 paths'] / found['1 path']:5.1f}"
        )


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

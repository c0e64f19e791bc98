"""Data sets: made-up traffic, readers of measured traffic, and what a model may be trained on.

What others use::

    generate_matrices(topology, intervals, step_s, seed, events=()) -> TrafficMatrices
    plan_events(nodes, time_s, count, seed), with_events(matrices, events)
    event_factors(events, nodes, time_s) -> [T, N, N]   # to tell a forecaster what is planned
    load_events(path), save_events(events, path)
    read_sndlib(path), read_weeks(path) -> Reading      # others' archives, with what was odd
    matrix_grid(matrices), rate_grid(rates) -> Grid     # series on regular time, NaN in gaps
    gaps(time_s, step_s) -> tuple[Gap, ...]
    load_permitted(folder), made_up_sets(seed) -> Split
"""

from models.datasets.abilene_weeks import read_weeks
from models.datasets.events import (
    PlannedEvent,
    event_factors,
    load_events,
    plan_events,
    save_events,
    with_events,
)
from models.datasets.grid import Gap, Grid, gaps, matrix_grid, rate_grid
from models.datasets.permitted import load_permitted, made_up_sets
from models.datasets.reading import Reading
from models.datasets.sndlib_archive import read_sndlib
from models.datasets.synthetic import BACKBONE, Style, generate_matrices, generate_series

__all__ = [
    "BACKBONE",
    "Gap",
    "Grid",
    "PlannedEvent",
    "Reading",
    "Style",
    "event_factors",
    "gaps",
    "generate_matrices",
    "generate_series",
    "load_events",
    "load_permitted",
    "made_up_sets",
    "matrix_grid",
    "plan_events",
    "rate_grid",
    "read_sndlib",
    "read_weeks",
    "save_events",
    "with_events",
]

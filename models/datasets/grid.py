"""The regular grid of time that forecasters read, with NaN where nothing was measured.

A matrix file and a rate file hold what was measured, each with its time; what is missing is not
in them. So a gap costs no space in a file, and who needs every interval asks for the grid.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headers.files import FileError, RateSeries, TrafficMatrices

Array = NDArray[np.float64]
Times = NDArray[np.int64]

SLOTS_MAX = 20_000_000
"""More intervals than this on a grid are a wrong time, not a long series."""


@dataclass(frozen=True, slots=True)
class Gap:
    """``missing`` intervals from ``start_s`` up to, not including, ``stop_s`` (epoch seconds)."""

    start_s: int
    stop_s: int
    missing: int


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Series on a regular grid.

    ``values``: float64 [T, S], NaN in gaps. ``time_s``: int64 [T], ``step_s`` apart. ``names``:
    [S], ``source>destination`` for demands.
    """

    names: tuple[str, ...]
    time_s: Times
    values: Array
    step_s: float


def slots(time_s: Times, step_s: float, source: str) -> Times:
    """Return each time's place on the grid that begins with the first.

    Raises:
        FileError: a time lies between two places, or so far off that it must be wrong.
    """
    exact = (time_s - time_s[0]) / step_s
    places: Times = np.round(exact).astype(np.int64)
    off = np.abs(exact - places) * step_s > 0.5
    if off.any():
        at = int(np.argmax(off))
        raise FileError(
            f"{source}: interval {at} begins at {int(time_s[at])} s, which is not a multiple of"
            f" {step_s:g} s after the first"
        )
    if places[-1] >= SLOTS_MAX:
        raise FileError(
            f"{source}: from {int(time_s[0])} s to {int(time_s[-1])} s there are"
            f" {int(places[-1]) + 1} intervals: one of the times must be wrong"
        )
    return places


def gaps(time_s: Times, step_s: float, source: str = "series") -> tuple[Gap, ...]:
    """Return where intervals are missing between the first and the last.

    Raises:
        FileError: a time lies off the grid.
    """
    places = slots(time_s, step_s, source)
    before = np.flatnonzero(np.diff(places) > 1)
    step = round(step_s)
    return tuple(
        Gap(int(time_s[at]) + step, int(time_s[at + 1]), int(places[at + 1] - places[at]) - 1)
        for at in before
    )


def _spread(time_s: Times, values: Array, step_s: float, source: str) -> tuple[Times, Array]:
    places = slots(time_s, step_s, source)
    count = int(places[-1]) + 1
    full = np.full((count, values.shape[1]), np.nan)
    full[places] = values
    grid_s = time_s[0] + np.round(np.arange(count) * step_s).astype(np.int64)
    return grid_s, full


def matrix_grid(matrices: TrafficMatrices, *, moving: bool = True) -> Grid:
    """Return the demands between different nodes as series on the grid.

    ``moving``: leave out demands that are always 0.

    Raises:
        FileError: a time lies off the grid.
    """
    source, destination = np.nonzero(~np.eye(len(matrices.nodes), dtype=bool))
    flat = matrices.tm_mbps[:, source, destination]
    names = [
        f"{matrices.nodes[a]}>{matrices.nodes[b]}" for a, b in zip(source, destination, strict=True)
    ]
    if moving:
        keep = np.flatnonzero(flat.max(axis=0) > 0.0)
        flat, names = flat[:, keep], [names[at] for at in keep]
    step_s = matrices.step_s
    grid_s, full = _spread(matrices.time_s, flat, step_s, matrices.name)
    return Grid(tuple(names), grid_s, full, step_s)


def rate_grid(rates: RateSeries) -> Grid:
    """Return a rate series on the grid, as one column.

    Raises:
        FileError: a time lies off the grid.
    """
    grid_s, full = _spread(rates.time_s, rates.value[:, None], rates.step_s, rates.name)
    return Grid((rates.name,), grid_s, full, rates.step_s)

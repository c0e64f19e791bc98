"""Says what a data file holds: matrices, rates, a topology, or an archive of others."""

import zipfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headers.files import (
    FileError,
    RateSeries,
    Topology,
    TrafficMatrices,
    load_matrices,
    load_rates,
    load_topology,
)
from models.datasets.abilene_weeks import read_weeks
from models.datasets.archives import Progress
from models.datasets.grid import gaps
from models.datasets.reading import Reading
from models.datasets.sndlib_archive import read_sndlib

GAPS_SHOWN = 12


def moment(time_s: float) -> str:
    """Return a time for a person, in UTC."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M")


def _span(time_s: NDArray[np.int64], step_s: float, source: str) -> list[str]:
    holes = gaps(time_s, step_s, source)
    missing = sum(gap.missing for gap in holes)
    lines = [
        f"time: {moment(time_s[0])} to {moment(time_s[-1] + step_s)} UTC, steps of {step_s:g} s",
        f"gaps: {len(holes)}, {missing} intervals missing of {len(time_s) + missing}",
    ]
    lines += [
        f"  {moment(gap.start_s)} to {moment(gap.stop_s)}: {gap.missing}"
        for gap in holes[:GAPS_SHOWN]
    ]
    if len(holes) > GAPS_SHOWN:
        lines.append(f"  and {len(holes) - GAPS_SHOWN} more")
    return lines


def _origin(*, synthetic: bool) -> str:
    return "origin: synthetic (made up)" if synthetic else "origin: not labelled synthetic"


def about_matrices(matrices: TrafficMatrices, source: str) -> list[str]:
    """Return lines about traffic matrices."""
    total = matrices.tm_mbps.sum(axis=(1, 2))
    moving = int((matrices.tm_mbps.max(axis=0) > 0.0).sum())
    return [
        f"traffic matrices: {len(matrices)} of {len(matrices.nodes)} nodes, {moving} demands",
        _origin(synthetic=matrices.synthetic),
        *_span(matrices.time_s, matrices.step_s, source),
        f"all demands together: mean {total.mean():.6g} Mb/s, largest {total.max():.6g} Mb/s",
        f"nodes: {' '.join(matrices.nodes)}",
    ]


def about_rates(rates: RateSeries, source: str) -> list[str]:
    """Return lines about a rate series."""
    unit = f" {rates.unit}" if rates.unit else ""
    return [
        f"rates: {len(rates)} samples",
        _origin(synthetic=rates.synthetic),
        *_span(rates.time_s, rates.step_s, source),
        f"mean {rates.value.mean():.6g}{unit}, largest {rates.value.max():.6g}{unit}",
    ]


def about_topology(topology: Topology) -> list[str]:
    """Return lines about a topology."""
    capacities = sorted({link.capacity_mbps for link in topology.links})
    placed = sum(node.lat is not None and node.lon is not None for node in topology.nodes)
    span = f", {capacities[0]:g} to {capacities[-1]:g} Mb/s" if capacities else ""
    size = f"{len(topology.nodes)} nodes ({placed} with places)"
    return [f"topology {topology.name}: {size}, {len(topology.links)} directed links{span}"]


def _about_reading(reading: Reading, source: str) -> list[str]:
    return [*about_matrices(reading.matrices, source), *reading.lines()[1:]]


def _keys(path: Path) -> set[str]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return set(archive.files)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(f"{path}: not a NumPy archive: {error}") from error


def show(path: Path, progress: Progress | None = None) -> list[str]:
    """Return lines that say what a file or folder holds.

    Raises:
        FileError: it is none of the formats, or breaks its own.
    """
    if path.suffix == ".npz":
        if "value" in _keys(path):
            return about_rates(load_rates(path), str(path))
        return about_matrices(load_matrices(path), str(path))
    if path.suffix == ".json":
        return about_topology(load_topology(path))
    try:
        return _about_reading(read_sndlib(path, progress=progress), str(path))
    except FileError as error:
        if "no file in it" not in str(error):
            raise
    return _about_reading(read_weeks(path, progress), str(path))

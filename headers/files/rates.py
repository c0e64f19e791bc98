"""Rate files: a NumPy archive of one series over time, such as a service's requests.

``value`` (numbers [time], not negative) and ``step_s`` (seconds); ``time`` (int64 seconds,
increasing) where samples can be missing; optionally ``unit`` (text) and ``synthetic`` (bool).
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headers.errors import FileError


@dataclass(frozen=True, slots=True, eq=False)
class RateSeries:
    """One series over time, as measured: what is missing is not there.

    ``time_s``: int64 [time], increasing. ``value``: float64 [time], not negative, in ``unit`` per
    interval. ``step_s``: the length of an interval in seconds.
    """

    name: str
    time_s: NDArray[np.int64]
    value: NDArray[np.float64]
    step_s: float
    unit: str = ""
    synthetic: bool = False

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.value)


def check_rates(rates: RateSeries, source: str) -> RateSeries:
    """Return the series if it keeps the format's promises.

    Raises:
        FileError: no samples, wrong shapes, a value that is negative or not finite, a step that is
            no length of time, or time that stands still.
    """
    if rates.value.ndim != 1 or rates.value.shape != rates.time_s.shape:
        raise FileError(
            f"{source}: value has shape {rates.value.shape} and time {rates.time_s.shape}: not a"
            " rate file"
        )
    if not len(rates):
        raise FileError(f"{source}: there are no samples")
    if not (np.isfinite(rates.step_s) and rates.step_s > 0):
        raise FileError(f"{source}: a step of {rates.step_s} s is not a length of time")
    wrong = ~((rates.value >= 0) & np.isfinite(rates.value))
    if wrong.any():
        raise FileError(
            f"{source}: sample {int(np.argmax(wrong))} is negative or not finite: leave out what"
            " is missing, and give 'time'"
        )
    if (np.diff(rates.time_s) <= 0).any():
        raise FileError(f"{source}: time does not increase")
    return rates


def load_rates(path: Path) -> RateSeries:
    """Read a rate file; without ``time`` its samples follow each other from second 0 on.

    Raises:
        FileError: the file cannot be read, lacks an array, or breaks the format.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            value = np.array(archive["value"], dtype=np.float64)
            step_s = float(archive["step_s"])
            if "time" in archive:
                time_s = np.array(archive["time"], dtype=np.int64)
            else:
                time_s = np.round(np.arange(value.size) * step_s).astype(np.int64)
            unit = str(archive["unit"]) if "unit" in archive else ""
            synthetic = bool(archive["synthetic"]) if "synthetic" in archive else False
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from error
    except (KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(f"{path}: not a rate file: {error}") from error
    return check_rates(RateSeries(path.stem, time_s, value, step_s, unit, synthetic), str(path))


def save_rates(rates: RateSeries, path: Path) -> None:
    """Write a rate file."""
    np.savez_compressed(
        path,
        value=rates.value,
        time=rates.time_s,
        step_s=np.array(rates.step_s),
        unit=np.array(rates.unit),
        synthetic=np.array(rates.synthetic),
    )

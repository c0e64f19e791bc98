"""History files: what a network carried lately, a NumPy archive that models are tuned on.

``values`` (float32, [time, series], any unit, NaN in gaps), ``step_s`` (seconds), ``start_s``
(seconds in the data's own time, of the first interval) and ``names`` (of the series); ``version``.
"""

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headers.errors import FileError

VERSION = 1
KEYS = ("values", "step_s", "start_s", "names", "version")


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Series over time: ``values`` float32 [T, S], oldest first, NaN in gaps."""

    names: tuple[str, ...]
    values: NDArray[np.float32]
    step_s: float
    start_s: float = 0.0


def save_history(history: History, path: Path) -> None:
    """Write a history file, whole or not at all.

    Raises:
        FileError: it cannot be written.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    try:
        with draft.open("wb") as file:
            np.savez(
                file,
                values=history.values.astype(np.float32, copy=False),
                step_s=history.step_s,
                start_s=history.start_s,
                names=np.array(history.names, dtype=np.str_),
                version=VERSION,
            )
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise FileError(f"{path}: {error.strerror or error}") from error


def load_history(path: Path) -> History:
    """Read a history file.

    Raises:
        FileError: the file cannot be read, lacks an array, or breaks the format.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in KEYS if key not in archive]
            if missing:
                raise FileError(f"{path}: no array {missing[0]!r}: not a history file")
            version = int(archive["version"])
            if version != VERSION:
                raise FileError(f"{path}: version {version}, this program reads {VERSION}")
            history = History(
                tuple(str(name) for name in archive["names"]),
                np.array(archive["values"], dtype=np.float32),
                float(archive["step_s"]),
                float(archive["start_s"]),
            )
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from error
    except (ValueError, TypeError, zipfile.BadZipFile, EOFError) as error:
        raise FileError(f"{path}: not a NumPy archive: {error}") from error
    if history.values.ndim != 2 or history.values.shape[1] != len(history.names):
        raise FileError(
            f"{path}: values have the shape {history.values.shape}, not (time, series) of"
            f" {len(history.names)} names"
        )
    if not (np.isfinite(history.step_s) and history.step_s > 0.0):
        raise FileError(f"{path}: a step of {history.step_s} s is not a length of time")
    return history

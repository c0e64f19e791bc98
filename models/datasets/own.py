"""A network's own history as something to train on."""

from pathlib import Path

import numpy as np

from headers.files import load_matrices
from models.datasets.grid import matrix_grid
from models.datasets.sndlib_archive import read_sndlib
from models.neural.samples import SeriesSet
from models.windows import repair

SHARE = 4.0
"""How much of a training is drawn from it, where the shipped model's sets have 8.2."""


def read_own(path: Path) -> SeriesSet:
    """Return the demands of a matrix file (npz) or an SNDlib archive; gaps repeat the last value.

    Raises:
        FileError: the file is missing, damaged or of another format.
    """
    matrices = load_matrices(path) if path.suffix == ".npz" else read_sndlib(path).matrices
    grid = matrix_grid(matrices)
    values, _ = repair(grid.values.T)
    name = "own, synthetic" if matrices.synthetic else "own"
    return SeriesSet(name, np.ascontiguousarray(values.T), grid.step_s, SHARE, "the operator's")

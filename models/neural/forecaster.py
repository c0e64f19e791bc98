"""The neural forecaster: a pooled network run by onnxruntime, checked before it is believed."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError
from models.forecaster import Forecaster
from models.neural.cards import ModelCard, read_card, sha256_of
from models.neural.features import FEATURES, LOOK, Features, features
from models.neural.onnxfile import opset_of
from models.neural.recipe import INPUTS, OPSET, OUTPUTS
from models.quantiles import QUANTILES

Array = NDArray[np.float64]

SHIPPED = Path(__file__).parents[1] / "shipped" / "pooled.onnx"
"""The model that comes with the program."""

CHUNK = 1024
"""Series per run of the network: bounds its memory and stays in the cache."""


class OnnxForecaster(Forecaster):
    """Quantiles from the pooled network; each window is scaled by its own mean.

    ``model`` names file and hash, ``card`` tells the rest, ``content`` is the ONNX file's. What it
    makes of short and long windows is said in ``models.neural.features``.
    """

    name = "pooled"
    per_series = True

    def __init__(self, session: Any, card: ModelCard, content: bytes = b"") -> None:
        """Use a session as ``load_model`` makes it, after all its checks."""
        super().__init__()
        self.content = content
        self.name = card.name
        self._session = session
        self.card = card
        self.model = f"{card.name}@{card.sha256[:12]}"

    def _quantiles(self, window: Array, horizons: tuple[int, ...], step_s: float) -> Array:
        if max(horizons) > self.card.horizon_max:
            raise ModelError(
                f"{self.model} looks {self.card.horizon_max} steps ahead at most, not"
                f" {max(horizons)}: use the simple forecasters there"
            )
        rows = window.T[-LOOK:]
        return np.concatenate(
            [
                self._run(rows[:, at : at + CHUNK], horizons, step_s)
                for at in range(0, len(window), CHUNK)
            ]
        )

    def _run(self, rows: Array, horizons: tuple[int, ...], step_s: float) -> Array:
        shown = features(rows, horizons, step_s)
        result: Array = self.look(shown)[0].astype(np.float64) * shown.scale[:, None, None]
        return result

    def look(self, shown: Features) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return quantiles [S, H, Q] in the windows' own scale, and what was seen of them [S, N].

        Raises:
            ModelError: the network failed.
        """
        inputs = {name: getattr(shown, name) for name in INPUTS}
        try:
            quantiles, seen = self._session.run(list(OUTPUTS), inputs)
        except Exception as error:  # onnxruntime raises its own classes, without a common base
            raise ModelError(f"{self.model} failed: {_line(error)}") from error
        return quantiles, seen


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def load_shipped_model() -> OnnxForecaster:
    """Load the model that comes with the program.

    Raises:
        ModelError: the file or its card is missing, damaged or foreign.
    """
    return load_model(SHIPPED)


def load_model(path: Path) -> OnnxForecaster:
    """Load an ONNX file and its card, and check that they are what this program can use.

    Raises:
        ModelError: one line that names the file, what is wrong with it and what to do.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path}: {error.strerror}: no model to forecast with; restore it from the release or"
            " make one with 'foresteer train'"
        ) from error
    return open_model(path, content, read_card(path))


def open_model(path: Path, content: bytes, card: ModelCard) -> OnnxForecaster:
    """Return the forecaster of an ONNX file's content and its card, checked.

    ``path`` is only named in messages.

    Raises:
        ModelError: as ``load_model``.
    """
    if sha256_of(content) != card.sha256:
        raise ModelError(
            f"{path}: the file's hash is not the one on its card: damaged or not the file that the"
            " card describes; restore both from the release"
        )
    try:
        opset = opset_of(content)
    except ValueError as error:
        raise ModelError(
            f"{path}: not an ONNX file ({error}); make one with 'foresteer train'"
        ) from error
    if opset != OPSET or card.opset != OPSET:
        raise ModelError(
            f"{path}: made for ONNX operator set {opset}, this program runs {OPSET}: make it again"
            " with 'foresteer train'"
        )
    if tuple(card.levels) != QUANTILES:
        raise ModelError(
            f"{path}: its quantiles are {card.levels}, not {list(QUANTILES)}: make it again with"
            " 'foresteer train'"
        )
    return OnnxForecaster(_session(path, content, card), card, content)


def _session(path: Path, content: bytes, card: ModelCard) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the loop has one core; more threads only fight for it
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is said once, below
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own classes, without a common base
        raise ModelError(
            f"{path}: onnxruntime refuses it ({_line(error)}); make it again with 'foresteer train'"
        ) from error
    names = tuple(one.name for one in session.get_inputs())
    results = tuple(one.name for one in session.get_outputs())
    if names != INPUTS or results != OUTPUTS or card.features != FEATURES:
        raise ModelError(
            f"{path}: takes {', '.join(names)} (version {card.features}) and gives"
            f" {', '.join(results)}, not {', '.join(INPUTS)} (version {FEATURES}) and"
            f" {', '.join(OUTPUTS)}: a foreign model; make one with 'foresteer train'"
        )
    return session

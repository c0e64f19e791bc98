"""The neural forecaster: a pooled network run by onnxruntime, checked before it is believed."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError
from models.forecaster import Forecaster
from models.neural.cards import ModelCard, read_card, sha256_of
from models.neural.onnxfile import opset_of
from models.neural.recipe import INPUTS, OPSET, OUTPUT
from models.quantiles import QUANTILES

Array = NDArray[np.float64]

SHIPPED = Path(__file__).parents[1] / "shipped" / "pooled_gru.onnx"
"""The model that comes with the program."""

CHUNK = 2048
"""Series per run of the network: bounds its memory."""


class OnnxForecaster(Forecaster):
    """Quantiles from the pooled network; each window is scaled by its own mean.

    ``model`` names file and hash, ``card`` tells the rest. Windows shorter than the network's are
    filled at the front with their first value, longer ones lose their oldest part.
    """

    name = "foresteer"

    def __init__(self, session: Any, card: ModelCard) -> None:
        """Use a session as ``load_model`` makes it, after all its checks."""
        super().__init__()
        self._session = session
        self.card = card
        self.model = f"{card.name}@{card.sha256[:12]}"

    def _quantiles(self, window: Array, horizons: tuple[int, ...], step_s: float) -> Array:
        if max(horizons) > self.card.horizon_max:
            raise ModelError(
                f"{self.model} looks {self.card.horizon_max} steps ahead at most, not"
                f" {max(horizons)}: use the simple forecasters there"
            )
        size = self.card.window
        window = window[:, -size:]
        if window.shape[1] < size:
            front = np.repeat(window[:, :1], size - window.shape[1], axis=1)
            window = np.concatenate([front, window], axis=1)
        mean = window.mean(axis=1)
        moving = mean > 0.0
        scaled = (window / np.where(moving, mean, 1.0)[:, None]).astype(np.float32)
        steps = np.full((len(window), 1), step_s, dtype=np.float32)
        ahead = np.array(horizons, dtype=np.int64)
        try:
            parts = [
                self._session.run(
                    [OUTPUT],
                    dict(
                        zip(
                            INPUTS,
                            (scaled[at : at + CHUNK], ahead, steps[at : at + CHUNK]),
                            strict=True,
                        )
                    ),
                )[0]
                for at in range(0, len(window), CHUNK)
            ]
        except Exception as error:  # onnxruntime raises its own classes, without a common base
            raise ModelError(f"{self.model} failed: {_line(error)}") from error
        scale = np.where(moving, mean, 0.0)
        return np.concatenate(parts).astype(np.float64) * scale[:, None, None]


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
    card = read_card(path)
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
    return OnnxForecaster(_session(path, content, card), card)


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
    width = session.get_inputs()[0].shape[-1] if names else None
    if names != INPUTS or results != (OUTPUT,) or width != card.window:
        raise ModelError(
            f"{path}: takes {', '.join(names)} ({width} steps) and gives {', '.join(results)}, not"
            f" {', '.join(INPUTS)} ({card.window} steps) and {OUTPUT}: a foreign model; make one"
            " with 'foresteer train'"
        )
    return session

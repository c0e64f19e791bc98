"""The card beside a model file: what it is, what it was made from, and how good it was."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import ModelError

CARD_VERSION = 2


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What must hold for the file to be ours, and what its reader should know.

    ``sha256`` and ``size_bytes`` of the ONNX file; ``levels`` of its quantiles; ``features``:
    version of the inputs; ``horizon_max`` in steps; ``data`` with name and licence of each set;
    ``skill`` as measured when it was made.
    """

    name: str
    sha256: str
    size_bytes: int
    opset: int
    inputs: list[str]
    outputs: list[str]
    levels: list[float]
    features: int
    horizon_max: int
    recipe: dict[str, Any]
    data: list[dict[str, Any]]
    skill: dict[str, Any]
    licence: str
    reproduce: str
    version: int = CARD_VERSION


def card_path(model: Path) -> Path:
    """Return where a model's card lies: beside it, with the ending ``.json``."""
    return model.with_suffix(".json")


def sha256_of(content: bytes) -> str:
    """Return the hash that the card holds."""
    return hashlib.sha256(content).hexdigest()


def write_card(card: ModelCard, model: Path) -> None:
    """Write the card beside the model."""
    card_path(model).write_text(json.dumps(dataclasses.asdict(card), indent=1) + "\n")


def read_card(model: Path) -> ModelCard:
    """Read the card beside a model.

    Raises:
        ModelError: there is no card, it is not JSON, or it lacks a field or has one too many.
    """
    path = card_path(model)
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        raise ModelError(
            f"{path}: {error.strerror}: a model is used only with its card; restore both files"
            " from the release or make them with 'foresteer train'"
        ) from error
    except ValueError as error:
        raise ModelError(
            f"{path}: not JSON ({error}): restore the card from the release"
        ) from error
    known = {field.name for field in dataclasses.fields(ModelCard)}
    found = set(data) if isinstance(data, dict) else set()
    if found != known:
        odd = min(found ^ known)
        raise ModelError(
            f"{path}: the field {odd!r} is {'unknown' if odd in found else 'missing'}:"
            " not a model card of this version; restore it from the release"
        )
    card = ModelCard(**data)
    if card.version != CARD_VERSION:
        raise ModelError(
            f"{path}: a card of version {card.version}, this program reads {CARD_VERSION}:"
            " make the model again with 'foresteer train'"
        )
    return card

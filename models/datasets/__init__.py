"""Data sets: made-up traffic, and the measured sets that a shipped model may be trained on."""

from models.datasets.permitted import load_permitted, made_up_sets
from models.datasets.synthetic import BACKBONE, Style, generate_matrices, generate_series

__all__ = [
    "BACKBONE",
    "Style",
    "generate_matrices",
    "generate_series",
    "load_permitted",
    "made_up_sets",
]

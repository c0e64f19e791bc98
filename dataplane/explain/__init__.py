"""Frames explained: what is in them, what is wrong with them, what engines would do."""

from dataplane.explain.checks import Check, checks
from dataplane.explain.engines import Fate, Plane, read_plane
from dataplane.explain.fields import Field, Layer, dissect
from dataplane.explain.report import Explanation, explain
from dataplane.explain.sources import frames_of

__all__ = [
    "Check",
    "Explanation",
    "Fate",
    "Field",
    "Layer",
    "Plane",
    "checks",
    "dissect",
    "explain",
    "frames_of",
    "read_plane",
]

"""What the registry knows of a version: where it comes from, and how it did when it was judged."""

import dataclasses
from dataclasses import dataclass
from typing import Any

SHIPPED = ""
"""Stands for the model that comes with the program, the root of every lineage."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a candidate did against a champion on the same held-back intervals.

    ``champion``: name of the version it was measured against. ``gain``: by how much its calibrated
    pinball loss is lower, as a share of the champion's; ``low``: what the gain is at least, with
    95 % confidence (paired, over ``blocks`` of intervals). ``by_horizon``: the gain by steps.
    ``better``: whether that is enough; ``why`` says it in words.
    """

    champion: str
    gain: float
    low: float
    blocks: int
    by_horizon: dict[str, float]
    better: bool
    why: str


@dataclass(frozen=True, slots=True)
class Version:
    """One model of the registry.

    ``name``: number and hash; ``parent``: the version it was tuned from, SHIPPED for the one that
    comes with the program, whose hash is ``parent_sha256``. ``kind`` of what is forecast and
    ``group`` of series it is for. ``intervals``, ``series``, ``step_s``, ``first_s``: what it was
    tuned on (``first_s`` in the data's own time). ``made_s``: when, seconds since 1970.
    """

    name: str
    sha256: str
    parent: str
    parent_sha256: str
    kind: str
    group: str
    intervals: int
    series: int
    step_s: float
    first_s: float
    seed: int
    made_s: float
    verdict: Verdict | None = None


def version_from(data: dict[str, Any]) -> Version:
    """Return a version from what ``dataclasses.asdict`` made of one.

    Raises:
        TypeError, KeyError: a field is missing or unknown.
    """
    verdict = data["verdict"]
    return dataclasses.replace(
        Version(**data), verdict=None if verdict is None else Verdict(**verdict)
    )

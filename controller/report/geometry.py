"""Where locations and links are drawn: as on the dashboard's map (controller/api/static/map.js)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controller.decide.candidates import Floats

ROUNDS = 80

Rect = tuple[float, float, float, float]
"""Left, top, right and bottom."""


@dataclass(frozen=True, slots=True)
class Box:
    """A map's width and height, and about how wide and high a letter is."""

    wide: float
    high: float
    letter_wide: float = 7.0
    letter_high: float = 14.0


def spots(
    places: Sequence[tuple[float, float] | None], width: float, edge: float, apart: float
) -> tuple[Floats, float]:
    """Return [N, 2], points on a map ``width`` wide with ``edge`` around it, and its height.

    ``places``: [N] latitudes and longitudes in degrees; those without stand in a ring. Points that
    are nearer than ``apart`` are pushed away from each other.
    """
    points = _projected(places)
    low, high = points.min(axis=0), points.max(axis=0)
    extent = np.where(high > low, high - low, 1.0)
    shape = float(np.clip(extent[1] / extent[0], 0.42, 0.8))
    size = np.array([width - 2 * edge, (width - 2 * edge) * shape])
    found = edge + (points - low) / extent * size
    height = float(size[1] + 2 * edge)
    _push_apart(found, apart)
    return np.clip(found, edge / 2, [width - edge / 2, height - edge / 2]), height


def _projected(places: Sequence[tuple[float, float] | None]) -> Floats:
    """Return [N, 2]: x to the east and y to the south, in degrees of latitude."""
    placed = np.array([place for place in places if place is not None]).reshape(-1, 2)
    squeeze = np.cos(np.radians(placed[:, 0].mean())) if len(placed) else 1.0
    known = np.column_stack((placed[:, 1] * squeeze, -placed[:, 0]))
    low, high = (known.min(axis=0), known.max(axis=0)) if len(known) else (np.zeros(2), np.zeros(2))
    centre, radius = (low + high) / 2, float((high - low).max()) * 0.6 or 1.0
    angles = 2 * np.pi * np.arange(len(places) - len(known)) / max(1, len(places) - len(known))
    ring = centre + radius * np.column_stack((1.5 * np.sin(angles), -np.cos(angles)))
    rest, there = iter(ring), iter(known)
    return np.array([next(rest) if place is None else next(there) for place in places])


def _push_apart(points: Floats, apart: float) -> None:
    """Move points [N, 2] that are too near to each other, in place."""
    for _ in range(ROUNDS):
        away = points[:, None] - points[None, :]
        far = np.hypot(away[..., 0], away[..., 1])
        near = (far < apart) & ~np.eye(len(points), dtype=bool)
        if not near.any():
            return
        push = np.where(near, (apart - far) / 2 / np.maximum(far, 0.1), 0.0)
        points += (away * push[..., None]).sum(axis=1)


def lanes(start: Floats, end: Floats, lane: int, trim: float, gap: float) -> tuple[Rect, Rect]:
    """Return two lines (x1, y1, x2, y2) to the right of the way between two points, side by side.

    ``lane``: how many links of the same direction are drawn already; ``trim``: what is left free at
    either end; ``gap``: between lines.
    """
    way = end - start
    long = float(np.hypot(*way)) or 1.0
    along, aside = way / long, np.array([-way[1], way[0]]) / long
    free = min(trim, long / 4)
    found = []
    for offset in (gap * (0.65 + 2.4 * lane), gap * (1.65 + 2.4 * lane)):
        first, last = start + along * free + aside * offset, end - along * free + aside * offset
        found.append((float(first[0]), float(first[1]), float(last[0]), float(last[1])))
    return found[0], found[1]


def labels(
    names: Sequence[str], points: Floats, lines: Sequence[tuple[Floats, Floats]], box: Box
) -> Floats:
    """Return [N, 2]: where each name begins (its left end on its base line), out of others' way.

    ``lines``: what is drawn between two points each; ``box``: the map's size and that of a letter.
    """
    taken = [(x - 7, y - 7, x + 7, y + 7) for x, y in points.tolist()]
    along = np.linspace(0.0, 1.0, 30)[:, None]
    dots = np.concatenate([np.zeros((0, 2)), *(a + (b - a) * along for a, b in lines)])
    found = []
    for name, (x, y) in zip(names, points.tolist(), strict=True):
        wide, high = len(name) * box.letter_wide + 2, box.letter_high
        choices = [
            (left, top, left + wide, top + high)
            for left in (x + 8, x - 8 - wide, x - wide / 2)
            for top in (y - high / 2, y - 7 - high, y + 7)
            if (left, top) != (x - wide / 2, y - high / 2)
        ]
        best = min(choices, key=lambda rect: _cost(rect, taken, dots, box))
        taken.append(best)
        found.append((best[0], best[3] - 3))
    return np.array(found)


def _cost(rect: Rect, taken: Sequence[Rect], dots: Floats, box: Box) -> float:
    """Return how much a label at ``rect`` would cover, or stand outside the map."""
    left, top, right, bottom = rect
    over = sum(
        left < other[2] and other[0] < right and top < other[3] and other[1] < bottom
        for other in taken
    )
    within = (dots > (left, top)).all(axis=1) & (dots < (right, bottom)).all(axis=1)
    outside = left < 0 or top < 0 or right > box.wide or bottom > box.high
    return 25.0 * over + float(within.sum()) + 60.0 * outside

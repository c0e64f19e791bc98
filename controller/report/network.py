"""Links coloured by their utilisation over time: maps at a few moments, and a strip a link."""

from collections import Counter
from html import escape

import numpy as np

from controller.decide.candidates import Floats
from controller.report.geometry import Box, Rect, labels, lanes, spots
from controller.report.run import Run
from controller.report.score import Score
from controller.report.words import share

STEPS = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Where one colour ends, as on the dashboard."""

MOMENTS = 6
CELLS = 240
NAMED = 40
"""Locations up to which their names are written on the map."""

WIDTH, EDGE, APART, NODE, GAP = 400.0, 34.0, 30.0, 4.0, 3.2


def shade(value: float) -> str:
    """Return the CSS class of a share of capacity."""
    if not np.isfinite(value):
        return "un"
    return f"u{int(np.searchsorted(STEPS, value))}"


def expected_of(score: Score) -> Floats:
    """Return [T, L]: what the plans in force predicted, NaN where that was not recorded."""
    expected = score.run.expected
    return np.full_like(score.measured, np.nan) if expected is None else expected


def scale() -> str:
    """Return the legend of the colours."""
    names = ["0–20 %", *(f"{a * 100:.0f}–{a * 100 + 20:.0f} %" for a in STEPS[:-1]), "above 100 %"]
    items = "".join(
        f'<li><svg viewBox="0 0 32 6" aria-hidden="true"><rect class="u{at}" width="32"'
        f' height="6"/></svg>{name}</li>'
        for at, name in enumerate(names)
    )
    return f'<ul class="legend">{items}</ul>'


def maps(score: Score) -> str:
    """Return the network at a few moments, evenly over the run."""
    run = score.run
    if not len(run.nodes) or not len(run.sent_bps):
        return ""
    points, height = spots(run.places or (None,) * len(run.nodes), WIDTH, EDGE, APART)
    drawn_nodes = _nodes(run, points, height)
    count = len(run.sent_bps)
    figures = "".join(
        f'<figure><svg viewBox="0 0 {WIDTH:g} {height:.0f}" role="img" aria-label="Utilisation of'
        f' links in interval {at + 1}; the table below has their peaks">'
        f"{_links(score, points, at)}{drawn_nodes}</svg>"
        f"<figcaption>interval {at + 1}, {_busiest(score, at)}</figcaption></figure>"
        for at in np.unique(np.linspace(0, count - 1, MOMENTS).round().astype(int)).tolist()
    )
    return f'{scale()}<div class="maps">{figures}</div>'


def _busiest(score: Score, at: int) -> str:
    seen = score.measured[at]
    if not np.isfinite(seen).any():
        return "not counted"
    place = int(np.nanargmax(seen))
    return f"busiest {escape(score.run.links[place].name)} with {share(float(seen[place]), 0)}"


def _links(score: Score, points: Floats, at: int) -> str:
    """Return all links in an interval: solid what was counted, dashed what was predicted."""
    run, expected = score.run, expected_of(score)
    index = {name: number for number, name in enumerate(run.nodes)}
    drawn: Counter[tuple[str, str]] = Counter()
    found = []
    for position, link in enumerate(run.links):
        ends = (link.src, link.dst)
        near, far = lanes(
            points[index[link.src]], points[index[link.dst]], drawn[ends], NODE + 2, GAP
        )
        drawn[ends] += 1
        seen, said = float(score.measured[at, position]), float(expected[at, position])
        found.append(
            f"<g><title>{escape(link.name)}: observed {_known(seen)}, predicted {_known(said)}"
            f"</title>{_path(near, 'now', seen)}{_path(far, 'soon', said)}</g>"
        )
    return "".join(found)


def _known(value: float) -> str:
    return share(value if np.isfinite(value) else None, 0)


def _path(ends: Rect, kind: str, value: float) -> str:
    x1, y1, x2, y2 = ends
    return f'<path class="{kind} {shade(value)}" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>'


def _nodes(run: Run, points: Floats, height: float) -> str:
    """Return the locations, and their names unless there are too many."""
    index = {name: number for number, name in enumerate(run.nodes)}
    lines = [(points[index[link.src]], points[index[link.dst]]) for link in run.links]
    found = "".join(
        f'<g><title>{escape(name)}</title><circle cx="{x:.1f}" cy="{y:.1f}" r="{NODE:g}"/></g>'
        for name, (x, y) in zip(run.nodes, points.tolist(), strict=True)
    )
    if len(run.nodes) > NAMED:
        return found
    at = labels(run.nodes, points, lines, Box(WIDTH, height))
    return found + "".join(
        f'<text x="{x:.1f}" y="{y:.1f}">{escape(name)}</text>'
        for name, (x, y) in zip(run.nodes, at.tolist(), strict=True)
    )


def strip(counted: Floats, predicted: Floats) -> str:
    """Return a link's [T] shares of capacity over time: above as counted, below as predicted."""
    cells = min(CELLS, len(counted))
    rows = "".join(
        f'<rect class="{kind}" x="{first}" y="{row}" width="{last - first}" height="1"/>'
        for row, values in enumerate((counted, predicted))
        for kind, first, last in _runs(_peaks(values, cells))
    )
    return (
        f'<svg class="strip" viewBox="0 0 {max(1, cells)} 2" preserveAspectRatio="none"'
        f' aria-hidden="true">{rows}</svg>'
    )


def _peaks(values: Floats, cells: int) -> list[float]:
    """Return the highest known of [T] values in each of ``cells`` equal parts, else NaN."""
    lowest = np.where(np.isfinite(values), values, -np.inf)
    return [float(part.max()) for part in np.array_split(lowest, cells)] if cells else []


def _runs(values: list[float]) -> list[tuple[str, int, int]]:
    """Return what is drawn as one: class, first position and the one behind the last."""
    found: list[tuple[str, int, int]] = []
    for position, kind in enumerate(map(shade, values)):
        if found and found[-1][0] == kind:
            found[-1] = (kind, found[-1][1], position + 1)
        else:
            found.append((kind, position, position + 1))
    return found

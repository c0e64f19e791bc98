"""The report's charts over time, as inline SVG and HTML labels.

The lines are drawn in a unit square that stretches with the page; labels are HTML beside it, so
that they stay readable on any width.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from controller.decide.candidates import Floats

MOST_POINTS = 1500
TICKS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """An interval that is shaded: ``low`` and ``high`` [T], NaN where not known; its CSS class."""

    kind: str
    low: Floats
    high: Floats


def top_of(highest: float) -> float:
    """Return a round number that is not below ``highest``, for the axis to end at."""
    if highest <= 0:
        return 1.0
    unit = 10.0 ** np.floor(np.log10(highest))
    return float(next(step for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10)
                      if step * unit >= highest * (1 - 1e-9)) * unit)  # fmt: skip


def percentages(values: Sequence[float]) -> list[str]:
    """Return an axis' values, the last its end, as percentages with as few digits as will do."""
    step = values[-1] * 100 / TICKS
    digits = 0 if step >= 1 and step % 1 < 1e-9 else 1
    return [f"{value * 100:.{digits}f} %" for value in values]


def _pieces(known: Floats) -> list[list[int]]:
    """Return the positions to draw of [T] values, a list for each piece without unknown ones."""
    step = max(1, -(-len(known) // MOST_POINTS))
    pieces: list[list[int]] = [[]]
    for position in range(0, len(known), step):
        if np.isfinite(known[position]):
            pieces[-1].append(position)
        else:
            pieces.append([])
    return [piece if len(piece) > 1 else piece * 2 for piece in pieces if piece]


def _point(values: Floats, position: int, top: float) -> str:
    x = (position + 0.5) / len(values) * 1000
    return f"{x:.1f},{(1 - values[position] / top) * 1000:.1f}"


def _line(kind: str, values: Floats, top: float) -> str:
    """Return the polylines of [T] values; a line is broken where values are not known."""
    return "".join(
        f'<polyline class="{escape(kind)}" points="'
        f'{" ".join(_point(values, position, top) for position in piece)}"/>'
        for piece in _pieces(values)
    )


def _shade(band: Band, top: float) -> str:
    """Return the polygons of a band, likewise broken."""
    drawn = []
    for piece in _pieces(band.low + band.high):
        edge = [_point(band.high, position, top) for position in piece]
        edge += [_point(band.low, position, top) for position in reversed(piece)]
        drawn.append(f'<polygon class="{escape(band.kind)}" points="{" ".join(edge)}"/>')
    return "".join(drawn)


def legend(titles: Mapping[str, str], bands: Mapping[str, str] | None = None) -> str:
    """Return the legend of lines, and of bands, by class name."""
    items = "".join(
        f'<li><svg viewBox="0 0 32 6" aria-hidden="true"><polyline class="{escape(key)}"'
        f' points="0,3 32,3"/></svg>{escape(title)}</li>'
        for key, title in titles.items()
    )
    items += "".join(
        f'<li><svg viewBox="0 0 32 6" aria-hidden="true"><polygon class="{escape(key)}"'
        f' points="0,0 32,0 32,6 0,6"/></svg>{escape(title)}</li>'
        for key, title in (bands or {}).items()
    )
    return f'<ul class="legend">{items}</ul>'


def frame(drawn: str, marks: Sequence[str], ends: tuple[str, str], label: str) -> str:
    """Return what is drawn in the unit square, with its grid and labels.

    ``marks``: what stands at the grid's lines, from below; ``ends``: under it, left and right.
    """
    rows = [position / (len(marks) - 1) for position in range(len(marks))]
    axis = "".join(
        f'<span style="bottom:{at * 100:g}%">{escape(mark)}</span>'
        for at, mark in zip(rows, marks, strict=True)
    )
    lines = "".join(
        f'<line class="grid" x1="0" x2="1000" y1="{y:g}" y2="{y:g}"/>'
        for y in ((1 - at) * 1000 for at in rows)
    )
    return (
        f'<div class="chart"><div class="y" aria-hidden="true">{axis}</div>'
        f'<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(label)}">{lines}{drawn}</svg><div class="x" aria-hidden="true">'
        f"<span>{escape(ends[0])}</span><span>{escape(ends[1])}</span></div></div>"
    )


def chart(
    series: Mapping[str, Floats],
    label: str,
    bands: Sequence[Band] = (),
    write: Callable[[Sequence[float]], Sequence[str]] = percentages,
    ends: tuple[str, str] | None = None,
) -> str:
    """Return the chart of ``series`` ([T] each) over ``bands``, drawn in the given order.

    ``write``: how the axis' values are written; as shares of capacity they have a line at 1.
    ``ends``: of the time axis, the first and the last interval if left out.
    """
    shown = [*series.values(), *(band.high for band in bands)]
    top = top_of(max((float(v) for values in shown for v in values[np.isfinite(values)]),
                     default=1.0))  # fmt: skip
    drawn = "".join(_shade(band, top) for band in bands)
    if top > 1 and write is percentages:
        y = (1 - 1 / top) * 1000
        drawn += f'<line class="full" x1="0" x2="1000" y1="{y:g}" y2="{y:g}"/>'
    drawn += "".join(_line(key, values, top) for key, values in series.items())
    count = max((len(values) for values in shown), default=0)
    marks = write([top * position / TICKS for position in range(TICKS + 1)])
    return frame(drawn, marks, ends or ("interval 1", str(count)), label)

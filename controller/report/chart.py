"""The report's chart: the busiest link's utilisation over time, as inline SVG and HTML labels.

The lines are drawn in a unit square that stretches with the page; labels are HTML beside it, so
that they stay readable on any width.
"""

from collections.abc import Mapping
from html import escape

import numpy as np

from controller.decide.candidates import Floats

MOST_POINTS = 1500
TICKS = 4


def top_of(highest: float) -> float:
    """Return a round number that is not below ``highest``, for the axis to end at."""
    if highest <= 0:
        return 1.0
    unit = 10.0 ** np.floor(np.log10(highest))
    return float(next(step for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10)
                      if step * unit >= highest * (1 - 1e-9)) * unit)  # fmt: skip


def _points(values: Floats, top: float) -> list[str]:
    """Return the polylines' points; a line is broken where values are not known."""
    step = max(1, -(-len(values) // MOST_POINTS))
    lines: list[list[str]] = [[]]
    for position in range(0, len(values), step):
        value = values[position]
        if not np.isfinite(value):
            lines.append([])
            continue
        x = (position + 0.5) / len(values) * 1000
        lines[-1].append(f"{x:.1f},{(1 - value / top) * 1000:.1f}")
    return [" ".join(line if len(line) > 1 else line * 2) for line in lines if line]


def legend(titles: Mapping[str, str]) -> str:
    """Return the legend of lines by class name."""
    items = "".join(
        f'<li><svg viewBox="0 0 32 6" aria-hidden="true"><polyline class="{escape(key)}"'
        f' points="0,3 32,3"/></svg>{escape(title)}</li>'
        for key, title in titles.items()
    )
    return f'<ul class="legend">{items}</ul>'


def chart(series: Mapping[str, Floats], titles: Mapping[str, str], label: str) -> str:
    """Return the chart of ``series`` ([T] each, shares of capacity), drawn in the given order."""
    known = [float(v) for values in series.values() for v in values[np.isfinite(values)]]
    top = top_of(max(known, default=1.0))
    count = max((len(values) for values in series.values()), default=0)
    digits = 0 if top * 100 / TICKS >= 1 and (top * 100 / TICKS) % 1 < 1e-9 else 1
    rows = [position / TICKS for position in range(TICKS + 1)]
    marks = "".join(
        f'<span style="bottom:{at * 100:g}%">{at * top * 100:.{digits}f} %</span>' for at in rows
    )
    lines = "".join(
        f'<line class="grid" x1="0" x2="1000" y1="{y:g}" y2="{y:g}"/>'
        for y in ((1 - at) * 1000 for at in rows)
    )
    if top > 1:
        y = (1 - 1 / top) * 1000
        lines += f'<line class="full" x1="0" x2="1000" y1="{y:g}" y2="{y:g}"/>'
    drawn = "".join(
        f'<polyline class="{escape(key)}" points="{points}"/>'
        for key, values in series.items()
        for points in _points(values, top)
    )
    return (
        f"{legend(titles)}"
        f'<div class="chart"><div class="y" aria-hidden="true">{marks}</div>'
        f'<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(label)}">{lines}{drawn}</svg>'
        f'<div class="x" aria-hidden="true"><span>interval 1</span><span>{count}</span></div></div>'
    )

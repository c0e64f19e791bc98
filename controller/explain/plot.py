"""A what-if as a picture: the busiest link over time, as it was and as asked."""

import re

from controller.decide.candidates import Floats
from controller.explain.errors import ExplainError
from controller.report.chart import chart, legend
from controller.report.style import CSS

TITLES = {"ospf": "as it was", "predictive": "as asked"}
LABEL = "Utilisation of the busiest link in every interval"
WIDTH, HEIGHT, ROOM = 1000, 500, 60


def draw(suffix: str, was: Floats, asked: Floats) -> str:
    """Return a file's text: ``.svg`` (the lines alone) or ``.html`` (with axes and legend).

    Raises:
        ExplainError: another suffix.
    """
    page = chart({"ospf": was, "predictive": asked}, LABEL)
    if suffix == ".html":
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f"<title>Foresteer: what if</title><style>{CSS}</style></head>"
            f"<body><h1>What if</h1><p>{LABEL}.</p>{legend(TITLES)}{page}</body></html>\n"
        )
    if suffix == ".svg":
        return _alone(page)
    raise ExplainError(f"a plot is .svg or .html, not {suffix!r}")


def _alone(page: str) -> str:
    """Return the chart as a picture of its own: lines stretched, labels as text beside them."""
    found = re.search(r'<svg viewBox="0 0 1000 1000"[^>]*>(.*?)</svg>', page, re.DOTALL)
    lines = found[1] if found else ""
    marks = re.findall(r'<span style="bottom:([\d.e+-]+)%">([^<]*)</span>', page)
    texts = "".join(
        f'<text x="{ROOM - 8}" y="{ROOM + HEIGHT * (1 - float(at) / 100) + 4:.1f}"'
        f' text-anchor="end">{text}</text>'
        for at, text in marks
    )
    keys = "".join(
        f'<line class="{key}" x1="{ROOM + 160 * at}" x2="{ROOM + 40 + 160 * at}" y1="24" y2="24"/>'
        f'<text x="{ROOM + 48 + 160 * at}" y="28">{title}</text>'
        for at, (key, title) in enumerate(TITLES.items())
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + 2 * ROOM}'
        f' {HEIGHT + 2 * ROOM}"><title>{LABEL}</title><style>svg {{ font: 14px sans-serif;'
        " background: #ffffff; } polyline { fill: none; } polyline, line { stroke-width: 2;"
        " vector-effect: non-scaling-stroke; } .grid { stroke: #d9dee3; stroke-width: 1; }"
        " .full { stroke: #1c2024; stroke-dasharray: 2 3; } .ospf { stroke: #8a4b86;"
        " stroke-dasharray: 10 3; } .predictive { stroke: #0a62a8; }</style>"
        f'{keys}{texts}<svg x="{ROOM}" y="{ROOM}" width="{WIDTH}" height="{HEIGHT}"'
        f' viewBox="0 0 1000 1000" preserveAspectRatio="none">{lines}</svg></svg>\n'
    )

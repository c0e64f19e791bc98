"""report.html: a finished run on one page that needs nothing but itself."""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from controller.decide.candidates import Floats
from controller.report.chart import chart, legend
from controller.report.fans import fans
from controller.report.network import expected_of, maps, strip
from controller.report.run import Note
from controller.report.score import METHODS, Score
from controller.report.style import CSS
from controller.report.timeline import timeline
from controller.report.words import MEANINGS, TITLES, headline, number, share

DRAWN = ("ospf", "reactive2", "predictive_measured", "predictive")
SHOWN_DECISIONS = 12


def page(score: Score) -> str:
    """Return the page as HTML; every text in it is escaped."""
    run = score.run
    body = "".join(
        (
            f"<h1>Foresteer: {escape(run.name)}</h1>",
            f'<p class="soft">{escape(headline(run))}</p>',
            _synthetic() if run.synthetic else "",
            _figures(score),
            "<h2>How well the network was used</h2>",
            (
                "<p>The ratio is the utilisation of the busiest link over the least that any"
                " routing could have reached on the same traffic: 1.000 is perfect. Above 100 %,"
                " more is offered to a link than it holds, and the surplus is lost.</p>"
            ),
            _methods(score),
            "<h2>The busiest link over time</h2>",
            _chart(score),
            "<h2>The network over time</h2>",
            (
                "<p>Each direction of a link keeps to its right: the solid line is what switches"
                " counted in an interval, the dashed one what the plan in force had predicted.</p>"
            ),
            maps(score),
            "<h2>Forecasts of the largest demands</h2>",
            fans(run),
            "<h2>Links</h2>",
            (
                "<p>What the model expects of the plans in force, beside what the switches counted."
                f" The median difference is {share(score.link_load_error, 1)}."
                " Over time: above as counted, below as predicted, in the colours of the maps.</p>"
            ),
            _links(score),
            "<h2>Decisions</h2>",
            timeline(run.decisions, len(run.sent_bps)),
            _decisions(run.decisions),
        )
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy"'
        " content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Foresteer: {escape(run.name)}</title><style>{CSS}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def _synthetic() -> str:
    return (
        '<p class="synthetic" role="note">Synthetic traffic: these figures were measured on'
        " generated matrices, not on recorded ones.</p>"
    )


def _figures(score: Score) -> str:
    found = score.to_dict()
    ratio, ospf = (found["methods"][name]["ratio"]["mean"] for name in ("predictive", "ospf"))
    traffic, loop = found["traffic"], found["loop"]
    against = "–" if ratio is None or not ospf else f"{(1 - ratio / ospf) * 100:.0f} % less"
    cards = (
        ("Busiest link over optimum", number(ratio), "mean; 1.000 is perfect"),
        ("Load on it, against OSPF", against, f"OSPF's ratio is {number(ospf)}"),
        ("Delivered", share(traffic["delivered_ratio"]),
         f"of {traffic['sent_packets']:,} packets, where some routing could carry them"),
        ("By circuit", share(traffic["steered_ratio"]), "of what arrived"),
        ("Deciding", f"{number(loop['decide_ms']['p50'], 0)} ms",
         f"p99 {number(loop['decide_ms']['p99'], 0)} ms"),
        ("Loop", f"{found['ticks']} ticks",
         f"{loop['skipped_ticks']} skipped, {loop['rule_errors']} rule errors"),
    )  # fmt: skip
    items = "".join(
        f"<div><dt>{escape(title)}</dt><dd>{escape(value)}<small>{escape(note)}</small></dd></div>"
        for title, value, note in cards
    )
    return f'<dl class="figures">{items}</dl>'


def _table(label: str, head: Sequence[str], rows: Sequence[str]) -> str:
    cells = "".join(f'<th scope="col">{escape(title)}</th>' for title in head)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(label)}">'
        f"<table><thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _methods(score: Score) -> str:
    found = score.to_dict()["methods"]

    def row(name: str) -> str:
        figures: dict[str, Any] = found[name]
        cells = (
            number(figures["ratio"]["mean"]),
            number(figures["ratio"]["p95"]),
            share(figures["max_utilisation"]["mean"], 1),
            share(figures["max_utilisation"]["p95"], 1),
            share(score.methods[name].lost),
        )
        return (
            f'<tr class="{"ours" if name == "predictive" else ""}"><td>{escape(TITLES[name])}'
            f"<small>{escape(MEANINGS[name])}</small></td>"
            + "".join(f"<td>{cell}</td>" for cell in cells)
            + "</tr>"
        )

    return _table(
        "Methods compared",
        ("Method", "Ratio, mean", "p95", "Busiest link, mean", "p95", "Lost"),
        [row(name) for name in METHODS],
    )


def _chart(score: Score) -> str:
    series = {name: score.methods[name].utilisation for name in DRAWN}
    series["optimum"] = score.optimum
    titles = {"optimum": "Optimum", **{name: TITLES[name] for name in reversed(DRAWN)}}
    label = "Utilisation of the busiest link in every interval, by method"
    return legend(titles) + chart(series, label)


def _mean_and_peak(values: Floats) -> tuple[float | None, float | None]:
    known = values[np.isfinite(values)]
    return (float(known.mean()), float(known.max())) if len(known) else (None, None)


def _bar(value: float | None, kind: str) -> str:
    width = min(100.0, (value or 0.0) * 100)
    return (
        f'<td><span class="bar" aria-hidden="true"><i class="{kind}" style="width:{width:.1f}%">'
        f"</i></span>{share(value, 1)}</td>"
    )


def _links(score: Score) -> str:
    rows, expected = [], expected_of(score)
    for position, link in enumerate(score.run.links):
        model = _mean_and_peak(score.modelled[:, position])
        counted = _mean_and_peak(score.measured[:, position])
        rows.append(
            (
                -(model[1] or 0.0),
                (
                    f"<tr><td>{escape(link.name)}</td><td>{link.capacity_bps / 1e6:,.1f}</td>"
                    f"{_bar(model[0], 'modelled')}{_bar(counted[0], 'counted')}"
                    f"<td>{share(model[1], 1)}</td><td>{share(counted[1], 1)}</td>"
                    f"<td>{strip(score.measured[:, position], expected[:, position])}</td></tr>"
                ),
            )
        )
    return _table(
        "Links of the network",
        (
            *("Link", "Mb/s", "Model, mean", "Counted, mean", "Model, peak", "Counted, peak"),
            "Over time",
        ),
        [row for _, row in sorted(rows)],
    )


def _decisions(notes: Sequence[Note]) -> str:
    if not notes:
        return "<p>None were recorded.</p>"

    def item(note: Note) -> str:
        moved = f"{note.moved_buckets} bucket{'s' * (note.moved_buckets != 1)} moved"
        cause = f"{note.event}: " if not note.reason.startswith(note.event) else ""
        when = f"tick {note.tick}{', event' * bool(note.event)}"
        return (
            f'<li><span class="soft">{when}</span><div><p>{escape(cause + note.reason)}</p>'
            f'<p class="soft">{escape(note.method)}, {moved}</p></div></li>'
        )

    first = "".join(item(note) for note in notes[:SHOWN_DECISIONS])
    rest = "".join(item(note) for note in notes[SHOWN_DECISIONS:])
    more = (
        f"<details><summary>{len(notes) - SHOWN_DECISIONS} more</summary>"
        f'<ol class="decisions">{rest}</ol></details>'
        if rest
        else ""
    )
    return f'<ol class="decisions">{first}</ol>{more}'

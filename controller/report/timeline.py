"""Decisions over time: what each moved, and which were answers to events."""

from collections.abc import Sequence

import numpy as np

from controller.report.chart import TICKS, frame, legend, top_of
from controller.report.run import Note


def timeline(notes: Sequence[Note], intervals: int) -> str:
    """Return the buckets that decisions moved, over ``intervals`` intervals; a mark an event."""
    if not notes:
        return ""
    top = max(float(TICKS), top_of(max(note.moved_buckets for note in notes)))
    slot = 1000 / (intervals + 1)
    drawn = "".join(
        _mark(note, (moment + 0.5) * slot, 0.7 * slot, top)
        for note, moment in zip(notes, _moments(notes), strict=True)
    )
    marks = [f"{top * position / TICKS:,.0f}" for position in range(TICKS + 1)]
    events = any(note.event for note in notes)
    keys = legend({"event": "answer to an event"} if events else {}, {"moved": "buckets moved"})
    label = "Buckets moved by each decision; the list below has the reasons"
    return keys + frame(drawn, marks, ("tick 0", str(intervals)), label)


def _moments(notes: Sequence[Note]) -> list[float]:
    """Return when decisions were made, in ticks; answers to events are between two."""
    ticks = sorted((note.time_s, note.tick) for note in notes if not note.event)
    if not ticks:
        return [float(note.tick) for note in notes]
    times, numbers = zip(*ticks, strict=True)
    return [
        float(np.interp(note.time_s, times, numbers)) if note.event else float(note.tick)
        for note in notes
    ]


def _mark(note: Note, x: float, wide: float, top: float) -> str:
    """Return a decision's bar around ``x``, and its line if an event caused it."""
    high = note.moved_buckets / top * 1000
    drawn = (
        f'<rect class="moved" x="{x - wide / 2:.2f}" y="{1000 - high:.1f}" width="{wide:.2f}"'
        f' height="{high:.1f}"/>'
    )
    return drawn + (
        f'<polyline class="event" points="{x:.1f},0 {x:.1f},1000"/>' if note.event else ""
    )

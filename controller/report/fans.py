"""The largest demands' forecasts beside what came: over the whole run, and from one tick on."""

from collections.abc import Sequence
from html import escape

import numpy as np

from controller.decide.candidates import Floats
from controller.decide.reasons import rate
from controller.report.chart import Band, chart, legend
from controller.report.run import Fan, Run

LINES = {"sent": "what was sent", "median": "median forecast"}


def fans(run: Run) -> str:
    """Return the section's content, a part for each demand whose forecasts were kept."""
    if not run.fans:
        return "<p>No forecasts were recorded.</p>"
    return "".join(_demand(run, fan) for fan in run.fans)


def _pairs(levels: Sequence[float]) -> dict[str, tuple[int, int]]:
    """Return the positions of two levels, by CSS class, of the widest and the narrowest band."""
    last = len(levels) - 1
    inner = (last - 1) // 2
    found = {"outer": (0, last)} if last else {}
    return {**found, "inner": (inner, last - inner)} if inner > 0 else found


def _ahead(fan: Fan) -> Floats:
    """Return [T, Q] in bit/s: what was expected of every interval at the first horizon."""
    late = fan.horizons_steps[0] - 1
    found = np.full((len(fan.bps), len(fan.levels)), np.nan)
    found[late:] = fan.bps[: len(fan.bps) - late, 0]
    return found


def _fan_from(fan: Fan, tick: int, before_bps: float, count: int) -> Floats:
    """Return [count, Q] in bit/s: the forecast of a tick for each interval from ``tick`` - 1 on.

    It begins at what was known then; between horizons it is drawn as a straight line.
    """
    at = [0, *fan.horizons_steps]
    return np.array(
        [
            np.interp(np.arange(count), at, [before_bps, *fan.bps[tick, :, q]], right=np.nan)
            for q in range(len(fan.levels))
        ]
    ).T


def _bands(fan: Fan, quantiles: Floats) -> list[Band]:
    """Return the bands of ``quantiles`` [T, Q]."""
    return [
        Band(kind, quantiles[:, low], quantiles[:, high])
        for kind, (low, high) in _pairs(fan.levels).items()
    ]


def _rates(values: Sequence[float]) -> list[str]:
    return [rate(value) for value in values]


def _demand(run: Run, fan: Fan) -> str:
    sent = run.sent_bps[:, run.nodes.index(fan.src), run.nodes.index(fan.dst)]
    middle = len(fan.levels) // 2
    names = {
        kind: f"{round(100 * (fan.levels[high] - fan.levels[low]))} % interval"
        for kind, (low, high) in _pairs(fan.levels).items()
    }
    ahead = _ahead(fan)
    what = f"{fan.src} to {fan.dst}"
    over = chart(
        {"median": ahead[:, middle], "sent": sent},
        f"{what}: what was sent, and what was forecast of it {_steps(fan.horizons_steps[0])} ahead",
        _bands(fan, ahead),
        _rates,
    )
    words = f"Forecast {_steps(fan.horizons_steps[0])} ahead. {_covered(fan, sent)}"
    return (
        f"<h3>{escape(what)}</h3>{legend(LINES, names)}"
        f'<div class="pair"><div><p class="soft">{escape(words)}</p>{over}</div>'
        f"{_one(fan, sent, what)}</div>"
    )


def _steps(count: int) -> str:
    return "one interval" if count == 1 else f"{count} intervals"


def _covered(fan: Fan, sent: Floats) -> str:
    """Return how often what was sent ([T], bit/s) lay within the widest interval."""
    ahead = _ahead(fan)
    known = np.isfinite(ahead).all(axis=1)
    if not known.any():
        return ""
    inside = (sent >= ahead[:, 0]) & (sent <= ahead[:, -1]) & known
    wide = round(100 * (fan.levels[-1] - fan.levels[0]))
    return f"{inside.sum()} of {known.sum()} intervals lay within the {wide}\u00a0% interval."


def _one(fan: Fan, sent: Floats, what: str) -> str:
    """Return the forecast of one tick at all horizons, beside what was sent ([T], bit/s) then."""
    count, furthest = len(sent), fan.horizons_steps[-1]
    tick = max(count - furthest, count // 3, 1)
    if tick >= count or not np.isfinite(fan.bps[tick]).all():
        return ""
    first, end = max(0, tick - 2 * furthest), tick + furthest
    quantiles = np.full((end - first, len(fan.levels)), np.nan)
    quantiles[tick - 1 - first :] = _fan_from(fan, tick, float(sent[tick - 1]), furthest + 1)
    seen = np.full(end - first, np.nan)
    seen[: min(end, count) - first] = sent[first:end]
    drawn = chart(
        {"median": quantiles[:, len(fan.levels) // 2], "sent": seen},
        f"{what}: the forecast made at tick {tick}, and what came",
        _bands(fan, quantiles),
        _rates,
        (f"interval {first + 1}", str(end)),
    )
    return (
        f'<div><p class="soft">The forecast made at tick {tick}, reaching {_steps(furthest)},'
        f" and what came.</p>{drawn}</div>"
    )

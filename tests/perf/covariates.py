"""``python -m tests.perf.covariates``: what planted signals and events do to the pinball loss."""

import numpy as np

from models import Chooser, Ewma, LastValue, load_shipped_model, pinball
from models.covariates import INFORMED, Announcement, Covariates, Scene, Signal, base_of

STEP_S = 300.0
HORIZONS = (1, 3, 12)
ROWS = 1200
SERIES = 12
FROM = 400
"""Intervals from here on count: the trust in a signal has to be earned before."""


def world(seed, lead=0):
    """Return made-up series [T, S] and a signal [T] that leads them by ``lead``, or not at all."""
    rng = np.random.default_rng(seed)
    signal, wander = np.zeros(ROWS), np.zeros((ROWS, SERIES))
    for at in range(1, ROWS):
        signal[at] = 0.8 * signal[at - 1] + 0.6 * rng.standard_normal()
        wander[at] = 0.97 * wander[at - 1] + 0.08 * rng.standard_normal(SERIES)
    noise = 0.1 * rng.standard_normal((ROWS, SERIES))
    rows = np.exp(rng.normal(3, 1, SERIES) + wander + noise)
    if lead:
        rows[lead:] *= np.exp(0.4 * signal[:-lead])[:, None]
    return rows, signal


def losses(rows, since, *, signal=None, events=(), informed=True):
    """Return the mean pinball loss over the mean, by horizon [H], of what was given out."""
    forecasters = (Ewma(), LastValue(), load_shipped_model())
    base = base_of([one.name for one in forecasters])
    chooser = Chooser(forecasters, HORIZONS, window=304, warm_up=0)
    known = Covariates(HORIZONS, base)
    if informed:
        chooser.admit(INFORMED, base)
    keys, ends = tuple(range(SERIES)), tuple((f"s{at}", "a", "b") for at in range(SERIES))
    lost = [[] for _ in HORIZONS]
    for at in range(60, ROWS):
        window = chooser.prepare(rows[max(0, at - 303) : at + 1], at, STEP_S)
        fans = {one.name: one.forecast(window, HORIZONS, STEP_S) for one in forecasters}
        if informed:
            heard = () if signal is None else (Signal("planted", signal[at]),)
            known.take(Scene(at, at * STEP_S, STEP_S, rows[at], keys, ends, events, heard))
            fans = known.inform(fans)
        given = chooser.conclude(fans, {}).quantiles
        for which, horizon in enumerate(HORIZONS):
            if since <= at < ROWS - horizon:
                share = pinball(given[:, which], rows[at + horizon]) / rows.mean(axis=0)
                lost[which].append(share.mean())
    return np.array([np.mean(one) for one in lost])


def show(name, ratio):
    """Print the change of the loss per horizon."""
    print(
        f"{name:40}",
        "  ".join(f"{h:>2}: {r - 1.0:+.2%}" for h, r in zip(HORIZONS, ratio, strict=True)),
    )


def main():
    """Print the change of the loss that knowing brings, by horizon in steps."""
    for lead in (3, 6, 12):
        rows, signal = world(1, lead)
        told = losses(rows, FROM, signal=signal)
        show(f"a signal that leads by {lead}", told / losses(rows, FROM, informed=False))
    for seed in (2, 3):
        rows, signal = world(seed)
        told = losses(rows, 60, signal=signal)
        show("a useless signal", told / losses(rows, 60, informed=False))
    starts = (500, 700, 900, 1100)
    for name, factor in (("four announced events that happen", 3.0), ("four false ones", 1.0)):
        rows, _ = world(5)
        for at in starts:
            rows[at : at + 12] *= factor
        events = tuple(Announcement("x", "all", at * STEP_S, 12 * STEP_S, 3.0) for at in starts)
        told = losses(rows, FROM, events=events)
        show(name, told / losses(rows, FROM, informed=False))


if __name__ == "__main__":
    main()

"""What the network is shown of a window: recent levels, and what repeats by hour, day or period.

Machines talk in periods. On a measured backbone a quarter of a moving average's error is pulses
that return after exactly an hour or a day, or after a period of their own. Three *seasons* are
looked for in every window: the hour, the day (both by the clock), and the lag at which the series
looks most like itself. For each, the window's deviation from its local mean is averaged over
earlier returns, shrunk by how well that explained the last intervals, and offered to the network
as ready-made forecasts (the *basis*): a moving average of what is left without the season, plus
the season where it will be. The network weighs the basis, so it need not find periods by itself.

All arrays are time-major, [L, S], as histories are kept; every step is one operation over all
series. Nothing here looks beyond the window's last row.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

FEATURES = 1
"""Version of what is shown: a model made for another one is refused."""

FINE = 64
"""Intervals that the recurrent part reads one by one."""

COARSE = 12
"""Intervals per mean of the older past."""

RECENT = 304
"""Intervals that scale, coarse past and period search use: a day and an hour at five minutes."""

LOOK = 2032
"""Intervals used at most: a week at five minutes and what the averages around it need."""

BLUR = 6
"""Half the width of the local mean that a deviation is measured from."""

WIDE = 36
"""The same for the search of a period."""

PERIOD = (2, 96)
"""Shortest and longest period that is looked for in the series itself."""

RETURNS = {"hour": 6, "period": 3, "day": 7}
"""How many earlier returns a season is averaged over, at most."""

ALPHAS = (1.0, 0.7, 0.45, 0.3, 0.18, 0.1, 0.04)
"""Smoothing factors of the plain levels in the basis."""

SEASON_ALPHAS = (1.0, 0.5, 0.2, 0.06)
"""Smoothing factors of the levels without a season."""

SEASONS = tuple(RETURNS)

BASIS = len(ALPHAS) + len(SEASONS) * len(SEASON_ALPHAS)
CHANNELS = 4
SIDE = (RECENT - FINE) // COARSE + len(ALPHAS) - 1 + 2 + 6 * len(SEASONS) + 2
AHEAD = 4 + len(SEASONS) + 2


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """The network's inputs for S series and H horizons, all float32 and free of the series' unit.

    ``fine``: [S, FINE, CHANNELS]. ``side``: [S, SIDE]. ``ahead``: [S, H, AHEAD]. ``basis``:
    [S, H, BASIS], forecasts in the window's scale; ``extra``: [S, H, len(SEASONS) + 2], what may
    be added to them. ``unrest``: [S, 1], the mean step between intervals. ``scale``: [S], the
    series' unit: multiply by it.
    """

    fine: Array
    side: Array
    ahead: Array
    basis: Array
    extra: Array
    unrest: Array
    scale: Array


def features(rows: NDArray[np.floating], horizons: tuple[int, ...], step_s: float) -> Features:
    """Return what the network is shown of ``rows`` [L, S] (no bad values, oldest first).

    Windows shorter than RECENT are filled at the front with their first row; of longer ones the
    last LOOK rows are used.
    """
    rows = np.asarray(rows[-LOOK:], dtype=np.float32, order="C")  # sums depend on the order
    if len(rows) < RECENT:
        rows = np.concatenate([np.repeat(rows[:1], RECENT - len(rows), axis=0), rows])
    mean = rows[-RECENT:].mean(axis=0)
    scale = np.where(mean > 0.0, mean, 0.0).astype(np.float32)
    window = Window(np.divide(rows, np.where(mean > 0.0, mean, 1.0), dtype=np.float32))
    x = window.last(FINE)
    step = np.diff(x, axis=0)
    unrest = np.abs(step).mean(axis=0) + np.float32(0.01)
    seasons = [
        _by_clock(window, 3600.0 / step_s, horizons, RETURNS["hour"]),
        _by_period(window, horizons, RETURNS["period"]),
        _by_clock(window, 86_400.0 / step_s, horizons, RETURNS["day"]),
    ]
    course, week, days = _course(window, 86_400.0 / step_s, horizons)
    plain = _weights(ALPHAS).T @ x
    basis = [np.broadcast_to(level, (len(horizons), x.shape[1])) for level in plain]
    smooth = _weights(SEASON_ALPHAS).T
    side = [np.clip((plain[1:] - plain[0]) / unrest, -8.0, 8.0) * 0.3]
    for season in seasons:
        rest = x - season.past
        levels = smooth @ rest
        basis.extend(level + season.ahead for level in levels)
        calm = np.abs(np.diff(rest, axis=0)).mean(axis=0) + 0.01
        side.append(
            np.stack(
                [
                    season.trust,
                    season.explained,
                    np.log(calm / unrest),
                    season.lag,
                    np.clip(season.past[-1] / unrest, -8.0, 8.0) * 0.3,
                    np.clip(season.past[-2] / unrest, -8.0, 8.0) * 0.3,
                ]
            )
        )
    old = window.last(RECENT)[: RECENT - FINE]
    old = old.reshape(-1, COARSE, old.shape[1]).mean(axis=1)
    series = x.shape[1]
    pace = np.float32(np.log(step_s / 300.0))
    side += [
        np.log((old + 0.05) / (plain[3] + 0.05)),
        np.log(unrest)[None],
        np.full((1, series), pace * 0.3, np.float32),
        np.full((1, series), days / 7.0, np.float32),
        np.full((1, series), float(len(rows) > RECENT), np.float32),
    ]
    best = np.argmax(np.stack([one.explained for one in seasons]), axis=0)
    pattern = np.choose(best, [one.past for one in seasons])
    first = np.zeros_like(x[:1])
    fine = np.stack(
        [
            np.log(x + 0.05),
            np.clip(np.concatenate([first, step]) / unrest, -8.0, 8.0) * 0.3,
            np.clip((x - x[-1]) / unrest, -8.0, 8.0) * 0.2,
            np.clip(pattern / unrest, -8.0, 8.0) * 0.3,
        ],
        axis=2,
    )
    extra = np.stack([*(one.ahead for one in seasons), course, week], axis=2)  # [H, S, 5]
    far = np.log(np.array(horizons, dtype=np.float32))
    clock = np.stack(
        [far * 0.5, far * far * 0.2, np.full_like(far, pace) * 0.3, (far + pace) * 0.3], axis=1
    )
    ahead = np.concatenate(
        [
            np.broadcast_to(clock[:, None], (len(far), series, 4)),
            np.clip(extra / unrest[None, :, None], -8.0, 8.0) * 0.3,
        ],
        axis=2,
    )
    return Features(
        _series_first(fine),
        np.ascontiguousarray(np.concatenate(side).T, dtype=np.float32),
        _series_first(ahead),
        np.ascontiguousarray(np.maximum(np.stack(basis), 0.0).transpose(2, 1, 0), np.float32),
        _series_first(extra),
        unrest[:, None].astype(np.float32),
        scale,
    )


def _series_first(values: Array) -> Array:
    return np.ascontiguousarray(values.transpose(1, 0, 2), dtype=np.float32)


def _weights(alphas: tuple[float, ...]) -> Array:
    """Return [FINE, K]: column k averages exponentially with factor k, the newest row last."""
    age = np.arange(FINE - 1, -1, -1, dtype=np.float32)
    columns = [a * (1.0 - a) ** age for a in alphas]
    return np.stack([c / c.sum() for c in columns], axis=1).astype(np.float32)


class Window:
    """Scaled rows [L, S] and their local means."""

    def __init__(self, rows: Array) -> None:
        self.rows = rows
        self.length = len(rows)

    def last(self, count: int) -> Array:
        """Return the last ``count`` rows."""
        return self.rows[-count:]

    def mean(self, first: int, count: int, half: int) -> Array:
        """Return [count, S]: means of ``half`` rows to both sides of rows ``first`` and on.

        At the ends of the window the mean is of what is there.
        """
        at = np.arange(first, first + count)
        low, high = np.maximum(at - half, 0), np.minimum(at + half + 1, self.length)
        part = self.rows[low[0] : high[-1]]
        if count == 1:
            mean: Array = part.mean(axis=0)[None]
            return mean
        # cumsum goes down one column after the other; row by row is ten times faster
        sums = np.empty((len(part) + 1, part.shape[1]), np.float32)
        sums[0] = 0.0
        for row in range(len(part)):
            np.add(sums[row], part[row], out=sums[row + 1])
        total = sums[high - low[0]]
        total -= sums[low - low[0]]
        total /= (high - low)[:, None].astype(np.float32)
        means: Array = total
        return means

    def deviation(self, first: int, count: int, half: int = BLUR) -> Array:
        """Return [count, S]: rows from ``first`` on without their local mean."""
        rest: Array = self.rows[first : first + count] - self.mean(first, count, half)
        return rest


@dataclass(frozen=True, slots=True, eq=False)
class Season:
    """What repeats: ``past`` [FINE, S] and ``ahead`` [H, S], already shrunk by ``trust`` [S].

    ``explained`` [S]: the share of the deviation's variance that it explained in the last FINE
    intervals; ``lag`` [S]: the period on a logarithmic scale, 0 where there is none.
    """

    past: Array
    ahead: Array
    trust: Array
    explained: Array
    lag: Array


def _no_season(window: Window, horizons: tuple[int, ...]) -> Season:
    series = window.rows.shape[1]
    nothing = np.zeros(series, np.float32)
    return Season(
        np.zeros((FINE, series), np.float32),
        np.zeros((len(horizons), series), np.float32),
        nothing,
        nothing,
        nothing,
    )


def _shrunk(past: Array, ahead: Array, now: Array, lag: Array) -> Season:
    """Return the season whose raw averages are given, shrunk to what explained ``now`` best."""
    both = (past * now).sum(axis=0)
    power = (past * past).sum(axis=0) + np.float32(1e-9)
    trust = np.clip(both / power, 0.0, 1.0)
    explained = np.clip(both, 0.0, None) ** 2 / (power * ((now * now).sum(axis=0) + 1e-9))
    return Season(past * trust, ahead * trust, trust, explained, lag)


def _by_clock(window: Window, steps: float, horizons: tuple[int, ...], returns: int) -> Season:
    """Return the season of a length given by the clock, in steps; none where it does not fit."""
    lag = round(steps)
    count = min(returns, (window.length - FINE) // max(lag, 1))
    if lag < 3 or count < 1 or abs(steps - lag) > 0.01 * steps:
        return _no_season(window, horizons)
    end = window.length
    past = np.zeros((FINE, window.rows.shape[1]), np.float32)
    for k in range(1, count + 1):
        past += window.deviation(end - FINE - k * lag, FINE)
    ahead = []
    for horizon in horizons:
        first = -(-horizon // lag)
        rows = [end - 1 + horizon - k * lag for k in range(first, first + count)]
        rows = [at for at in rows if at >= 0]
        total = sum(window.deviation(at, 1)[0] for at in rows)
        ahead.append(total / max(len(rows), 1) + np.zeros(window.rows.shape[1], np.float32))
    now = window.deviation(end - FINE, FINE)
    return _shrunk(
        past / np.float32(count),
        np.stack(ahead).astype(np.float32),
        now,
        np.full(window.rows.shape[1], np.log(lag) * 0.3, np.float32),
    )


def find_periods(window: Window) -> NDArray[np.int64]:
    """Return [S], the lag within PERIOD at which each series looks most like itself."""
    end = window.length
    x = window.deviation(end - RECENT, RECENT, WIDE)
    x = x - x.mean(axis=0)
    size = 1 << (RECENT + PERIOD[1]).bit_length()
    spectrum = np.fft.rfft(np.ascontiguousarray(x.T), size, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    similar = np.fft.irfft(power, axis=1)[:, PERIOD[0] : PERIOD[1] + 1]
    lags = np.arange(PERIOD[0], PERIOD[1] + 1)
    best: NDArray[np.int64] = np.argmax(similar / (RECENT - lags), axis=1) + PERIOD[0]
    return best


def _by_period(window: Window, horizons: tuple[int, ...], returns: int) -> Season:
    """Return the season of each series' own period."""
    lag = find_periods(window)
    tail = FINE + returns * PERIOD[1]
    length = min(tail, window.length)
    values = window.deviation(window.length - length, length)
    at = np.arange(length - FINE, length)[:, None]
    past = np.zeros((FINE, len(lag)), np.float32)
    for k in range(1, returns + 1):
        past += np.take_along_axis(values, np.maximum(at - k * lag, 0), axis=0)
    ahead = np.zeros((len(horizons), len(lag)), np.float32)
    columns = np.arange(len(lag))
    for number, horizon in enumerate(horizons):
        first = -(-horizon // lag)
        for k in range(returns):
            ahead[number] += values[
                np.maximum(length - 1 + horizon - (first + k) * lag, 0), columns
            ]
    return _shrunk(
        past / np.float32(returns),
        ahead / np.float32(returns),
        values[-FINE:],
        (np.log(lag) * 0.3).astype(np.float32),
    )


def _course(window: Window, steps: float, horizons: tuple[int, ...]) -> tuple[Array, Array, int]:
    """Return how the local mean went on from this time of day: [H, S] over days, and a week ago.

    Also the number of whole days that are in the window.
    """
    lag = round(steps)
    count = min(RETURNS["day"], (window.length - BLUR) // max(lag, 1))
    shape = (len(horizons), window.rows.shape[1])
    if lag < 6 or count < 1:
        return np.zeros(shape, np.float32), np.zeros(shape, np.float32), 0
    end = window.length
    course, week = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for k in range(1, count + 1):
        base = window.mean(end - 1 - k * lag, 1, BLUR)[0]
        for number, horizon in enumerate(horizons):
            if horizon < lag:
                change = window.mean(end - 1 + horizon - k * lag, 1, BLUR)[0] - base
                course[number] += change / np.float32(count)
                if k == 7:
                    week[number] = change
    return course, week, count

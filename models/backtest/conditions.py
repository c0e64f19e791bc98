"""Whether intervals cover what they say at every hour and at every volume, not only in the mean."""

import numpy as np
from numpy.typing import NDArray

from models.quantiles import MEDIAN

Array = NDArray[np.float64]

DECILES = 10


class Conditions:
    """Collects whether values lay inside the 90 % interval, at one horizon.

    Volume is the series' own mean where there are at least ten, else what the forecast's median
    said.
    """

    def __init__(self, values: Array, step_s: float) -> None:
        """Take the series that are measured, [T, S], NaN for gaps."""
        mean = np.nan_to_num(values).mean(axis=0)
        series = len(mean)
        self._many = series >= DECILES
        self._decile = np.argsort(np.argsort(mean)) * DECILES // max(series, 1)
        self._step_s = step_s
        self._hours = np.zeros((24, 2))
        self._deciles = np.zeros((DECILES, 2))
        self._medians: list[Array] = []
        self._inside: list[Array] = []

    def add(self, interval: int, fan: Array, truth: Array, counted: NDArray[np.bool_]) -> None:
        """Add an interval's fan [S, Q] and what came [S], where ``counted``."""
        inside = ((truth >= fan[:, 0]) & (truth <= fan[:, -1]))[counted].astype(np.float64)
        hour = int(interval * self._step_s % 86_400.0 // 3600.0)
        self._hours[hour] += inside.sum(), len(inside)
        if self._many:
            where = self._decile[counted]
            self._deciles[:, 0] += np.bincount(where, inside, DECILES)
            self._deciles[:, 1] += np.bincount(where, minlength=DECILES)
        else:
            self._medians.append(fan[counted, MEDIAN])
            self._inside.append(inside)

    def shares(self) -> dict[str, list[float]]:
        """Return coverage by ``hour`` (24) and by ``decile`` of volume; NaN where nothing came."""
        deciles = self._deciles
        if not self._many and self._medians:
            medians, inside = np.concatenate(self._medians), np.concatenate(self._inside)
            rank = np.argsort(np.argsort(medians)) * DECILES // max(len(medians), 1)
            deciles = np.stack(
                [np.bincount(rank, inside, DECILES), np.bincount(rank, minlength=DECILES)], axis=1
            )
        return {"hour": _share(self._hours), "decile": _share(deciles)}


def _share(table: Array) -> list[float]:
    nothing = np.full(len(table), np.nan)
    share = np.divide(table[:, 0], table[:, 1], out=nothing, where=table[:, 1] > 0)
    return [round(float(one), 4) for one in share]

"""What is known beforehand, and what is odd, for the loop's own forecast: the demands."""

import logging
from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from controller.observe.series_events import EventBook
from controller.observe.series_signals import SignalBook
from controller.predict.kinds_watch import Watch
from controller.state import Alarm, Forecast, Snapshot
from models import Chooser
from models.covariates import INFORMED, Covariates, Scene, base_of

LOG = logging.getLogger("foresteer.predict.demands")

Array = NDArray[np.float64]
KIND = "demand"


class Demands:
    """Tells the candidates' fans of demands what is known, and watches the demands.

    ``counts``: ``inform`` and ``watch``, how often each failed; the fans stay as they are then.
    """

    def __init__(
        self, chooser: Chooser, events: EventBook, signals: SignalBook, tick_s: float
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._events = events
        self._signals = signals
        base = base_of([one.name for one in chooser.forecasters])
        chooser.admit(INFORMED, base)
        self.known = Covariates(chooser.horizons, base)
        self._watch = Watch(tick_s)
        self._said: dict[int, tuple[tuple[str, ...], Array]] = {}
        self._seen = -1

    def inform(
        self, snapshot: Snapshot, interval: int, fans: Mapping[str, Array]
    ) -> Mapping[str, Array]:
        """Return fans [S, H, Q] by candidate with what is known; never raises."""
        try:
            pairs = _pairs(snapshot)
            replay = snapshot.data_step_s != snapshot.step_s
            self.known.take(
                Scene(
                    interval,
                    snapshot.time_s - snapshot.step_s,
                    snapshot.step_s,
                    _row(snapshot),
                    pairs,
                    tuple((f"{KIND}:{a}>{b}", a, b) for a, b in pairs),
                    self._events.events,
                    self._signals.view(snapshot.time_s, snapshot.step_s, self.known.horizons),
                    interval * snapshot.data_step_s if replay else None,
                    snapshot.data_step_s if replay else None,
                )
            )
            return self.known.inform(fans)
        except Exception as error:  # without what is known there is still a forecast
            self._fail("inform", error)
            return fans

    def alarms(self, snapshot: Snapshot, interval: int, forecast: Forecast) -> tuple[Alarm, ...]:
        """Return the anomalies of the newest demands, and whether forecasts drift; never raises."""
        if interval <= self._seen:
            return ()
        self._seen = interval
        try:
            return self._look(snapshot, interval, forecast)
        except Exception as error:  # without alarms the loop goes on as it is
            self._fail("watch", error)
            return ()

    def _look(self, snapshot: Snapshot, interval: int, forecast: Forecast) -> tuple[Alarm, ...]:
        names = tuple(f"{a}>{b}" for a, b in _pairs(snapshot))
        known, fan = self._said.pop(interval, ((), np.zeros((0, 0))))
        said = fan if known == names else None
        found = self._watch.look(KIND, names, _row(snapshot), said, snapshot.time_s)
        off = ~np.eye(len(snapshot.nodes), dtype=bool)
        self._said = {at: one for at, one in self._said.items() if at > interval}
        first = forecast.demands_bps[0][:, off].T
        self._said[interval + forecast.horizons_steps[0]] = (names, first)
        drift = forecast.skill[0].drift if forecast.skill else None
        if drift is not None and drift.alarm:
            found += (Alarm(KIND, "", "drift", snapshot.time_s, 1.0, drift.severity),)
        return found

    def _fail(self, what: str, error: Exception) -> None:
        self.counts[what] += 1
        if self.counts[what] == 1:
            LOG.error("%s: %s: %s", what, type(error).__name__, error)


def _pairs(snapshot: Snapshot) -> tuple[tuple[str, str], ...]:
    return tuple((a, b) for a in snapshot.nodes for b in snapshot.nodes if a != b)


def _row(snapshot: Snapshot) -> Array:
    row: Array = snapshot.history_bps[-1][~np.eye(len(snapshot.nodes), dtype=bool)]
    return row

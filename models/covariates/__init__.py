"""What is known beforehand: time of day and week, announced events, signals from outside.

What others use::

    Announcement(name, scope, start_s, duration_s, factor, ...)   # an announced event
    Signal(name, value, ahead={steps: value})                     # a signal at one interval

    known = Covariates(horizons, base="pooled")
    known.take(Scene(...))            # once per interval, after its row has come
    fans = known.inform(fans)         # [S, H, Q] by candidate; one more is there: INFORMED
    known.events.credibility(name)    # how much of an announcement is believed

Between ``Chooser.prepare`` and ``Chooser.conclude``; INFORMED is let in by ``Chooser.admit``.
Errors: ForecastError (shapes that do not fit). Values may be anything.
"""

from models.covariates.events import Announcement
from models.covariates.features import Signal
from models.covariates.known import INFORMED, Covariates, Scene, base_of

__all__ = ["INFORMED", "Announcement", "Covariates", "Scene", "Signal", "base_of"]

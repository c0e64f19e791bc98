"""Weighing forecasters as experts, so that the mix is hardly ever worse than the best of them.

Bernstein online aggregation (Wintenberger 2017) with a fading memory: an expert's weight grows with
what following it would have saved, and its own rate falls with how much that varies. Losses are
linearised at the mix, so that a mix better than every expert is found where there is one. Only
matured losses come in.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CLIP = 5.0
"""A single interval counts for at most this many times the usual loss."""

LEAD = 20.0
"""How far an expert may fall behind, in usual losses: a long bad time must not count for ever."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How the weights follow what matures.

    ``memory``: intervals until a loss counts for 1/e. ``share``: what every expert keeps.
    ``rate``: how fast, at least and at most: fast enough that an expert that goes wrong is left
    within some ten intervals, whatever it was worth before.
    """

    memory: float = 600.0
    share: float = 0.002
    rate: tuple[float, float] = (0.2, 0.5)


class Weights:
    """Weights of K experts for each of G groups of series, at one horizon."""

    def __init__(self, groups: int, prior: Array, pace: Pace | None = None) -> None:
        """Begin at ``prior`` [K], which sums to 1."""
        self.pace = pace or Pace()
        self._prior = np.log(prior)
        self._gain = np.zeros((groups, len(prior)))
        self._variance = np.full((groups, len(prior)), 1e-3)

    def current(self) -> Array:
        """Return the weights [G, K]; each row sums to 1."""
        rate = self._rate()
        score = self._prior + rate * self._gain
        score -= score.max(axis=1, keepdims=True)
        weights = rate * np.exp(score)
        weights /= weights.sum(axis=1, keepdims=True)
        share = self.pace.share
        mixed: Array = (1.0 - share * weights.shape[1]) * weights + share
        return mixed

    @property
    def prior(self) -> Array:
        """Where the weights begin, [K]; sums to 1."""
        prior: Array = np.exp(self._prior)
        prior /= prior.sum()
        return prior

    def append(self, like: int) -> None:
        """Take one more expert, which begins like another."""
        self._prior = np.append(self._prior, self._prior[like])
        self._gain = np.c_[self._gain, self._gain[:, like]]
        self._variance = np.c_[self._variance, self._variance[:, like]]

    def remove(self, at: int) -> None:
        """Drop an expert."""
        self._prior = np.delete(self._prior, at)
        self._gain = np.delete(self._gain, at, axis=1)
        self._variance = np.delete(self._variance, at, axis=1)

    def _rate(self) -> Array:
        wanted = np.sqrt(np.log(self._gain.shape[1] + 1.0) / self._variance)
        rate: Array = np.clip(wanted, *self.pace.rate)
        return rate

    def learn(self, saved: Array, groups: NDArray[np.bool_]) -> None:
        """Learn what each expert would have saved against the mix, ``saved`` [G, K].

        In units of the usual loss; only where ``groups`` [G] is true.
        """
        saved = np.clip(saved, -CLIP, CLIP)[groups]
        keep = 1.0 - 1.0 / self.pace.memory
        rate = self._rate()[groups]
        gain = keep * self._gain[groups] + saved - rate * np.minimum(saved**2, 1.0)
        self._gain[groups] = np.maximum(gain, gain.max(axis=1, keepdims=True) - LEAD)
        self._variance[groups] = keep * self._variance[groups] + saved**2

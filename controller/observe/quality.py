"""Windows of probes, and what they say: round trip, jitter and loss of links, circuits, clients."""

import itertools
import math
import statistics
from collections import deque
from collections.abc import Mapping
from typing import Generic, TypeVar

from controller.state import PathQuality

WINDOW = 20
"""Probes that a quality is made of at most."""

K = TypeVar("K")


def quality(samples: "deque[tuple[float, float]]", now_s: float) -> PathQuality:
    """Return the quality that pairs of a time and a round trip in ms (below 0: lost) make.

    Where all were lost, the round trip is infinite.
    """
    came = [rtt for _, rtt in samples if rtt >= 0]
    steps = [abs(after - before) for before, after in itertools.pairwise(came)]
    return PathQuality(
        statistics.median(came) if came else math.inf,
        statistics.fmean(steps) if steps else 0.0,
        1 - len(came) / len(samples),
        len(samples),
        max(0.0, now_s - samples[-1][0]),
    )


class Windows(Generic[K]):
    """The last samples by key: at most ``most`` keys, of which the longest silent one goes."""

    def __init__(self, keep_s: float, most: int) -> None:
        self._keep_s = keep_s
        self._most = most
        self._samples: dict[K, deque[tuple[float, float]]] = {}
        self.dropped = 0

    def add(self, key: K, time_s: float, rtt_ms: float) -> None:
        """Take a sample; below 0: it was lost."""
        samples = self._samples.pop(key, None)
        if samples is None:
            samples = deque(maxlen=WINDOW)
            if len(self._samples) >= self._most:
                del self._samples[next(iter(self._samples))]
                self.dropped += 1
        samples.append((time_s, rtt_ms))
        # keys stand in the order of their last sample
        self._samples[key] = samples

    def all(self, now_s: float) -> Mapping[K, PathQuality]:
        """Return what is known of every key, from samples that are young enough."""
        for key in list(self._samples):
            samples = self._samples[key]
            while samples and now_s - samples[0][0] > self._keep_s:
                samples.popleft()
            if not samples:
                del self._samples[key]
        return {key: quality(samples, now_s) for key, samples in self._samples.items()}

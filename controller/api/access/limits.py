"""How often someone may ask: a token bucket per person and kind of request."""

from collections.abc import Callable
from dataclasses import dataclass

MOST = 4096
"""People who are remembered; whoever was silent longest is forgotten."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


class Limits:
    """Rates per second, with bursts of as much as two seconds bring."""

    def __init__(self, clock: Callable[[], float], rates: dict[str, float]) -> None:
        """``rates``: requests per second by kind."""
        self._clock = clock
        self._rates = rates
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self.refused = 0

    def wait_s(self, who: str, kind: str) -> float:
        """Take one request of a kind; return 0, or in how many seconds it would be let in."""
        now, rate = self._clock(), self._rates[kind]
        most = max(1.0, 2.0 * rate)
        bucket = self._buckets.pop((who, kind), None)
        if bucket is None:
            if len(self._buckets) >= MOST:
                del self._buckets[next(iter(self._buckets))]
            bucket = _Bucket(most, now)
        bucket.tokens = min(most, bucket.tokens + (now - bucket.at_s) * rate)
        bucket.at_s = now
        # they stand in the order of their last request
        self._buckets[who, kind] = bucket
        if bucket.tokens < 1.0:
            self.refused += 1
            return (1.0 - bucket.tokens) / rate
        bucket.tokens -= 1.0
        return 0.0

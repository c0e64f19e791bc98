"""How soon an event is answered: at once, but not one after the other when they do not end.

Every answer costs work on every switch. Links that come and go because the machine or the switches
have too much to do must not get more to do from that: like a router's timer for shortest paths, the
pause doubles while events keep coming, and begins anew after a calm time.
"""


class Throttle:
    """Says how long to wait before the next answer."""

    def __init__(self, least_s: float, most_s: float) -> None:
        self.least_s = least_s
        self.most_s = max(least_s, most_s)
        self._pause_s = least_s
        self._free_s = 0.0

    def pause_s(self, now_s: float) -> float:
        """Return how long an event of now waits, so that others can join it."""
        return max(self.least_s, self._free_s - now_s)

    def answered(self, began_s: float, now_s: float) -> None:
        """Take note of an answer that began and ended at these times."""
        calm = began_s - self._free_s > self._pause_s
        self._pause_s = FIRST_S if calm else min(2.0 * self._pause_s, self.most_s)
        self._free_s = now_s + self._pause_s


FIRST_S = 0.1
"""The pause after a first answer: the other end of a cable, or BFD, may be as late."""

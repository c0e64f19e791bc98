"""A clock that is moved by hand, for tests of series."""

EPOCH_S = 1.7e9


class Hands:
    """A clock; ``shift`` moves the wall alone."""

    def __init__(self, now=100_000.0):
        self.now, self.shift = now, 0.0

    def wall(self):
        return EPOCH_S + self.now + self.shift

    def monotonic(self):
        return self.now

    async def sleep_until(self, monotonic_s):
        self.now = max(self.now, monotonic_s)

"""The clock, passed in wherever time matters, so that tests and replays can bring their own."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Time in seconds: ``wall`` since the epoch, ``monotonic`` since some start."""

    def wall(self) -> float:
        """Return seconds since 1970."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""

    async def sleep_until(self, monotonic_s: float) -> None:
        """Wait until the monotonic clock shows a time; return at once when it has passed."""


class SystemClock:
    """The machine's clock."""

    def wall(self) -> float:
        """Return seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Return CLOCK_MONOTONIC, which all processes of the machine share."""
        return time.monotonic()

    async def sleep_until(self, monotonic_s: float) -> None:
        """Wait until CLOCK_MONOTONIC shows ``monotonic_s``."""
        await asyncio.sleep(max(0.0, monotonic_s - time.monotonic()))

"""Where new connections of services really go, by the handshakes that engines saw."""

from collections import deque
from collections.abc import Mapping

from controller.state import Service

KEEP_S = 10.0
LEAST = 1000
"""Connections from which on shares say something: at fewer, chance moves them by percents."""

MOST = 65_536
"""Counts that are kept at most; the oldest go."""


class Opened:
    """Counts opened connections by instance over the last ``KEEP_S`` seconds."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int, int]] = deque(maxlen=MOST)

    def add(self, now_s: float, instance: int, count: int) -> None:
        """Take how many connections were opened with an instance (its number)."""
        self._counts.append((now_s, instance, count))

    def shares(self, service: Service, now_s: float) -> Mapping[str, float]:
        """Return a service's shares by location, adding up to 1; empty where too few were seen."""
        while self._counts and now_s - self._counts[0][0] > KEEP_S:
            self._counts.popleft()
        places = {one.number: one.location for one in service.instances if one.number}
        found: dict[str, int] = {}
        for _, instance, count in self._counts:
            if instance in places:
                found[places[instance]] = found.get(places[instance], 0) + count
        total = sum(found.values())
        if total < LEAST:
            return {}
        return {place: count / total for place, count in sorted(found.items())}

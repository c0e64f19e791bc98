"""All series that are forecast beside the demands: taken in, bounded, forgotten when they must be.

A sample is taken or refused for a reason that is counted; nothing raises. Times on arrival are wall
time (seconds since the epoch); inside, the monotonic clock counts, so that a wall clock that jumps
moves nothing. Nothing is written to files.
"""

from collections import Counter
from collections.abc import Collection, Mapping

from bus import Clock
from controller.observe.series_kinds import KINDS, Kind
from controller.observe.series_ring import Array, Labels, Ring

AHEAD_S = 5.0
"""A sample may be so much in the future: clocks differ."""

SILENT_S = 6 * 3600.0
"""A series that was not heard of for so long is dropped."""

FAST_ROWS = 600
"""Fast series look seconds ahead: minutes of past are enough."""

NAME_MOST = 200
NOWHERE = Labels()


class SeriesStore:
    """The series of all kinds.

    ``permit``: sensitive kinds that may be kept, for ``retention_s`` seconds. ``counts``: ``taken``
    and refusals by reason: ``kind``, ``permit``, ``name``, ``value``, ``future``, ``late``,
    ``duplicate``, ``too_many``.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        slow_s: float,
        fast_s: float,
        permit: Collection[str] = (),
        retention_s: float = 86_400.0,
        most: int = 2000,
        rows: int = 2032,
    ) -> None:
        self.clock = clock
        self.permit = frozenset(permit)
        self.retention_s = retention_s
        self.counts: Counter[str] = Counter()
        self._steps = {True: fast_s, False: slow_s}
        self._most = most
        self._rows = rows
        self._rings: dict[str, Ring] = {}

    def put(
        self,
        kind: str,
        name: str,
        value: float,
        time_s: float | None = None,
        labels: Labels = NOWHERE,
        *,
        pushed: bool = False,
    ) -> str:
        """Take a sample (of now, by default); return why it was refused, or an empty string."""
        reason = self._reason(kind, name, value, pushed)
        if not reason:
            now, wall = self.clock.monotonic(), self.clock.wall()
            inner = now if time_s is None else time_s - wall + now
            reason = self._time_reason(KINDS[kind], inner, now)
            if not reason:
                reason = self._ring(KINDS[kind]).put(name, inner, float(value), labels)
        self.counts[reason or "taken"] += 1
        return reason

    def history(self, kind: str) -> tuple[tuple[str, ...], Array, int] | None:
        """Return names, values [T, S] of the complete intervals, and the last one's number.

        None where nothing of the kind is known.
        """
        ring = self._rings.get(kind)
        if ring is None:
            return None
        now = self.clock.monotonic()
        self._expire(KINDS[kind], ring, now)
        last = ring.number(now) - 1
        names, values = ring.history(last)
        return (names, values, last) if names and len(values) else None

    def labels(self, kind: str, name: str) -> Labels:
        """Return what a series is about."""
        ring = self._rings.get(kind)
        return ring.labels.get(name, NOWHERE) if ring else NOWHERE

    def step_s(self, kind: str) -> float:
        """Return the length of a kind's intervals."""
        return self._steps[KINDS[kind].fast]

    def names(self) -> Mapping[str, tuple[str, ...]]:
        """Return all series by kind, what is too old forgotten first."""
        self.sweep()
        return {kind: ring.names for kind, ring in self._rings.items() if ring.names}

    def forget(self, kind: str, name: str | None = None) -> int:
        """Drop a series, or all of a kind; return how many."""
        ring = self._rings.get(kind)
        if ring is None:
            return 0
        if name is None:
            del self._rings[kind]
            return len(ring.names)
        return int(ring.forget(name))

    def sweep(self) -> None:
        """Forget what is too old to be kept."""
        now = self.clock.monotonic()
        for kind in list(self._rings):
            self._expire(KINDS[kind], self._rings[kind], now)
            if not self._rings[kind].names:
                del self._rings[kind]

    def _expire(self, kind: Kind, ring: Ring, now: float) -> None:
        if kind.sensitive:
            ring.forget_before(now - self.retention_s)
        ring.forget_silent(now - max(SILENT_S, 20 * ring.step_s))

    def _ring(self, kind: Kind) -> Ring:
        ring = self._rings.get(kind.name)
        if ring is None:
            rows = min(self._rows, FAST_ROWS) if kind.fast else self._rows
            ring = Ring(self._steps[kind.fast], rows, self._most)
            self._rings[kind.name] = ring
        return ring

    def _reason(self, kind: str, name: str, value: float, pushed: bool) -> str:
        known = KINDS.get(kind)
        if known is None or (pushed and not known.pushed):
            return "kind"
        if known.sensitive and kind not in self.permit:
            return "permit"
        if not name or len(name) > NAME_MOST or not name.isprintable():
            return "name"
        sound = isinstance(value, int | float) and known.least <= value <= known.most
        return "" if sound else "value"  # NaN is not

    def _time_reason(self, kind: Kind, inner: float, now: float) -> str:
        if not inner <= now + AHEAD_S:  # NaN is not
            return "future"
        if inner < 0.0 or (kind.sensitive and inner < now - self.retention_s):
            return "late"
        return ""

"""Announced events: from the configuration, a file, or the API; checked, bounded, and kept."""

import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from controller.errors import ConfigError
from headers.files import FileError
from models.covariates import Announcement
from models.datasets.events import load_events

EVENTS_MOST = 1000
DURATION_MOST_S = 366 * 86_400.0
NAME_MOST = 200
SERIES_MOST = 1000
OVER_S = 7 * 86_400.0
"""Events that ended so long ago are forgotten."""


class EventError(ValueError):
    """An event that cannot be: the sentence says what is wrong with it."""


def check(event: Announcement) -> Announcement:
    """Return the event if it can be.

    Raises:
        EventError: it has no name, lasts no time or too long, its factor is not above 0, or its
            scope lacks a name.
    """
    if not event.name or len(event.name) > NAME_MOST or not event.name.isprintable():
        raise EventError("an event has a printable name of at most 200 characters")
    if not math.isfinite(event.start_s) or not 0.0 < event.duration_s <= DURATION_MOST_S:
        raise EventError(f"event {event.name!r}: lasts {event.duration_s} s from {event.start_s}")
    if not 0.0 < event.factor <= 1e6:
        raise EventError(f"event {event.name!r}: a factor of {event.factor} is not in (0, 1e6]")
    needs = {
        "all": True,
        "source": bool(event.source),
        "destination": bool(event.destination),
        "demand": bool(event.source and event.destination),
        "series": 0 < len(event.series) <= SERIES_MOST,
    }
    if not needs.get(event.scope, False):
        raise EventError(f"event {event.name!r}: the scope {event.scope!r} lacks its names")
    return event


class EventBook:
    """The announced events, in a file of the instance that outlives the brain.

    ``counts``: ``taken``, ``over`` (forgotten), ``damaged`` (what could not be read back).
    """

    def __init__(self, path: Path | None) -> None:
        self.counts: Counter[str] = Counter()
        self._path = path
        self._events: dict[str, Announcement] = {}
        self._read()

    @property
    def events(self) -> tuple[Announcement, ...]:
        """All events, in order of their start."""
        return tuple(sorted(self._events.values(), key=lambda event: (event.start_s, event.name)))

    def put(self, event: Announcement, now_s: float) -> str:
        """Take an event, in place of the same; return what it is called from now on.

        Raises:
            EventError: it cannot be, is over, or there are too many.
        """
        check(event)
        self.expire(now_s)
        if event.start_s + event.duration_s <= now_s - OVER_S:
            raise EventError(f"event {event.name!r}: it is long over")
        number = f"{event.name}@{event.start_s:.0f}"
        if number not in self._events and len(self._events) >= EVENTS_MOST:
            raise EventError(f"there are {EVENTS_MOST} events already: delete some")
        self._events[number] = event
        self.counts["taken"] += 1
        self._write()
        return number

    def forget(self, number: str) -> bool:
        """Drop an event by what ``put`` called it; return whether there was one."""
        if self._events.pop(number, None) is None:
            return False
        self._write()
        return True

    def expire(self, now_s: float) -> None:
        """Forget what is long over."""
        over = [
            number
            for number, event in self._events.items()
            if event.start_s + event.duration_s <= now_s - OVER_S
        ]
        for number in over:
            del self._events[number]
        self.counts["over"] += len(over)
        if over:
            self._write()

    def numbered(self) -> dict[str, Announcement]:
        """Return the events by what they are called."""
        return dict(self._events)

    def _read(self) -> None:
        if self._path is None or not self._path.exists():
            return
        try:
            items = json.loads(self._path.read_text())["events"]
            for item in items:
                event = check(Announcement(**{**item, "series": tuple(item["series"])}))
                self._events[f"{event.name}@{event.start_s:.0f}"] = event
        except (OSError, ValueError, TypeError, KeyError):
            self.counts["damaged"] += 1

    def _write(self) -> None:
        if self._path is None:
            return
        draft = self._path.with_name(f".{self._path.name}")
        try:
            content = {"version": 1, "events": [asdict(event) for event in self.events]}
            draft.write_text(json.dumps(content))
            draft.replace(self._path)
        except OSError:
            self.counts["unwritten"] += 1


def planned(path: Path) -> Iterable[Announcement]:
    """Return the events of a file (``models.datasets.events``).

    Raises:
        ConfigError: it cannot be read or breaks the format.
    """
    try:
        return [check(Announcement.of(event)) for event in load_events(path)]
    except (FileError, EventError) as error:
        raise ConfigError(f"{path}: {error}") from error

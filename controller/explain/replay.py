"""Replaying a journal: every decision is made again from what is kept, and compared."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from controller.decide import DecideError, plan
from controller.explain.history import made_from
from controller.journal import Entry

FIELDS = (
    "number", "snapshot", "forecast", "circuits", "splits", "routes", "utilisation",
    "max_utilisation", "method", "reason", "moved_buckets", "iterations", "notes", "filters",
    "services", "ruling", "exits",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of one decision: ``how`` is one of HOW; ``fields``: what differs; ``made_with``."""

    number: int
    tick: int
    how: str
    fields: tuple[str, ...] = ()
    made_with: str = ""


HOW = ("identical", "different", "not computed", "previous plan unknown")


def replay(entries: Iterable[Entry]) -> Iterator[Replayed]:
    """Yield what comes of making every decision again; those of old journals are left out."""
    for made in made_from(entries):
        entry = made.entry
        if not entry.computed:
            yield Replayed(entry.number, entry.tick, "not computed", (), entry.made_with)
            continue
        if not made.known:
            yield Replayed(entry.number, entry.tick, "previous plan unknown", (), entry.made_with)
            continue
        try:
            again = plan(made.snapshot, made.forecast, made.policies, made.previous)
        except DecideError as error:
            differs: tuple[str, ...] = (f"error: {error}",)
        else:
            differs = tuple(
                field
                for field in FIELDS
                if _plain(getattr(again, field)) != _plain(getattr(made.decided, field))
            )
        how = "different" if differs else "identical"
        yield Replayed(entry.number, entry.tick, how, differs, entry.made_with)


def _plain(value: object) -> object:
    """Return mappings as dictionaries, so that only what they hold counts."""
    if hasattr(value, "items"):
        return {key: _plain(inner) for key, inner in value.items()}
    return value

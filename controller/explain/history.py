"""A journal's decisions with the plan that each was made from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from controller.journal import Entry
from controller.state import Forecast, Plan, Policies, Snapshot


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A decision with all that it was made from.

    ``known``: whether the previous plan is there (it may have gone with older rows).
    """

    entry: Entry
    snapshot: Snapshot
    forecast: Forecast
    policies: Policies
    previous: Plan | None
    known: bool

    @property
    def decided(self) -> Plan:
        """The plan as decided, before switches refused a part of it."""
        return self.entry.decided or self.entry.plan


def made_from(entries: Iterable[Entry]) -> Iterator[Made]:
    """Yield the decisions (oldest first) that hold what they were made from, in order."""
    last: Plan | None = None
    for entry in entries:
        if entry.snapshot and entry.forecast and entry.policies:
            previous = entry.previous_plan
            if previous is None and last is not None and last.number == entry.previous:
                previous = last
            known = entry.previous is None or previous is not None
            yield Made(entry, entry.snapshot, entry.forecast, entry.policies, previous, known)
        last = entry.plan

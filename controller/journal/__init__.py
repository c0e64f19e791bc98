"""The journal: what every decision saw, expected, chose and did, and what came of it."""

from controller.journal.entry import Entry, Realised
from controller.journal.file import Journal
from controller.journal.values import as_kept
from controller.journal.wire import plan_from_wire, plan_to_wire

__all__ = ["Entry", "Journal", "Realised", "as_kept", "plan_from_wire", "plan_to_wire"]

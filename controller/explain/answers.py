"""Answers of the journal to the API: each from a reader of its own, so that any thread may ask."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from controller.decide import DecideError
from controller.errors import ControllerError
from controller.explain import facts, words
from controller.explain.errors import ExplainError
from controller.journal import Journal

MOST_SEARCHED = 300
"""Decisions that are looked through for where a circuit began."""

Explained = tuple[dict[str, Any], list[str]]


class JournalExplainer:
    """Facts of what was decided, and the same in words; all methods raise ControllerError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def _opened(self) -> Iterator[Journal]:
        if not self._path.exists():
            raise ControllerError("there is no journal yet")
        try:
            journal = Journal(self._path)
            try:
                yield journal
            finally:
                journal.close()
        except (DecideError, ExplainError) as error:
            raise ControllerError(str(error)) from error

    def decision(self, number: str) -> Explained:
        """Return what is known of a decision, by number or ``last``."""
        with self._opened() as journal:
            found = facts.decision_facts(facts.pick(journal, number))
        return found, words.decision(found)

    def demand(self, src: str, dst: str, number: str) -> Explained:
        """Return what is known of a demand in a decision."""
        with self._opened() as journal:
            found = facts.demand_facts(facts.pick(journal, number), src, dst)
        return found, words.demand(found)

    def circuit(self, name: str) -> Explained:
        """Return what is known of a circuit, by number or name."""
        with self._opened() as journal:
            found = facts.circuit_facts(list(journal.decisions(MOST_SEARCHED)), name)
        return found, words.circuit(found)

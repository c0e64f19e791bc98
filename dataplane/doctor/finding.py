"""What a check says: its outcome in a sentence, and the command that mends what is wrong."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from dataplane.doctor.facts import Facts


class Status(Enum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Finding:
    """A check's name (with the port after a colon), its outcome in a sentence, and a command."""

    name: str
    status: Status
    text: str
    mend: str = ""


Findings = Iterator[Finding]
Check = Callable[[Facts], Findings]


def ok(name: str, text: str) -> Finding:
    """Return that all is well."""
    return Finding(name, Status.OK, text)


def failure(name: str, text: str, mend: str) -> Finding:
    """Return what keeps engines from running."""
    return Finding(name, Status.FAILURE, text, mend)


def warning(name: str, text: str, mend: str) -> Finding:
    """Return what will hurt, sooner or later."""
    return Finding(name, Status.WARNING, text, mend)


def none(name: str, text: str) -> Finding:
    """Return that there is nothing to look at."""
    return Finding(name, Status.NOT_APPLICABLE, text)

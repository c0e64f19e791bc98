"""One staged shift as a value: ramp, check, go on or roll back. Nothing here waits or sends.

A driver asks ``wanted`` what should be in force, brings it there, tells ``applied`` or ``failed``,
waits until ``due_s``, checks, and tells ``checked``. Times are of the driver's clock.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from controller.act.remap.channel import Shares, distance, normal


class Phase(StrEnum):
    """Where a shift stands."""

    APPLY = "apply"
    """The next step is to be brought into force."""
    SETTLE = "settle"
    """A step is in force, and its check is due later."""
    BACK = "back"
    """What was before is to be brought into force again."""
    DONE = "done"
    ROLLED_BACK = "rolled back"
    STUCK = "stuck"
    """Not even what was before could be had; it is tried again with the next plan."""


ENDED = (Phase.DONE, Phase.ROLLED_BACK, Phase.STUCK)


@dataclass(frozen=True, slots=True)
class Ramp:
    """How a shift goes.

    ``step``: the most that any location's share changes at once. ``interval_s``: from a step to
    its check. ``retries``: of a step that cannot be brought into force, ``backoff_s`` apart at
    first and twice as long each time, up to ``backoff_most_s``.
    """

    step: float = 0.25
    interval_s: float = 5.0
    retries: int = 3
    backoff_s: float = 0.5
    backoff_most_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Shift:
    """A service's shift from ``origin`` to ``target`` by ``steps``, of which ``at`` are done.

    ``due_s``: when there is something to do next. ``began_s``, ``ended_s``: of the whole.
    """

    service: str
    origin: Shares
    target: Shares
    steps: tuple[Shares, ...]
    ramp: Ramp
    began_s: float
    at: int = 0
    phase: Phase = Phase.APPLY
    due_s: float = 0.0
    tries: int = 0
    reason: str = ""
    ended_s: float | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return self.phase in ENDED

    @property
    def wanted(self) -> Shares:
        """What should be in force now."""
        if self.phase in (Phase.BACK, Phase.ROLLED_BACK, Phase.STUCK):
            return self.origin
        at = self.at if self.phase is Phase.APPLY else self.at - 1
        return self.steps[at] if self.steps else self.target


def steps_between(origin: Shares, target: Shares, step: float) -> tuple[Shares, ...]:
    """Return what is in force one after the other, the last being ``target``.

    No location's share changes by more than ``step`` at once; without an origin there is one step.
    """
    if not origin:
        return (target,)
    count = max(1, math.ceil(distance(origin, target) / step - 1e-9))
    return (*(_between(origin, target, at / count) for at in range(1, count)), target)


def _between(origin: Shares, target: Shares, part: float) -> Shares:
    names = sorted({*origin, *target})
    return normal(
        {name: (1 - part) * origin.get(name, 0.0) + part * target.get(name, 0.0) for name in names}
    )


def begin(service: str, origin: Shares, target: Shares, ramp: Ramp, now_s: float) -> Shift:
    """Return a shift that is due at once.

    Raises:
        ValueError: a share is below 0, or nothing is wanted.
    """
    was, wanted = normal(origin), normal(target)
    if not wanted:
        raise ValueError(f"service {service}: no location is to have any share")
    steps = steps_between(was, wanted, ramp.step)
    return Shift(service, was, wanted, steps, ramp, now_s, due_s=now_s)


def applied(shift: Shift, now_s: float) -> Shift:
    """Return the shift after what was wanted came into force."""
    if shift.phase is Phase.BACK:
        return replace(shift, phase=Phase.ROLLED_BACK, ended_s=now_s, tries=0)
    if shift.phase is not Phase.APPLY:
        return shift
    due_s = now_s + shift.ramp.interval_s
    return replace(shift, phase=Phase.SETTLE, at=shift.at + 1, due_s=due_s, tries=0)


def failed(shift: Shift, why: str, now_s: float) -> Shift:
    """Return the shift after what was wanted could not be brought into force."""
    if shift.phase not in (Phase.APPLY, Phase.BACK):
        return shift
    ramp = shift.ramp
    if shift.tries < ramp.retries:
        pause_s = min(ramp.backoff_s * 2**shift.tries, ramp.backoff_most_s)
        return replace(shift, tries=shift.tries + 1, due_s=now_s + pause_s, reason=why)
    if shift.phase is Phase.BACK or not shift.origin:
        return replace(shift, phase=Phase.STUCK, ended_s=now_s, reason=why)
    return replace(shift, phase=Phase.BACK, due_s=now_s, tries=0, reason=why)


def checked(shift: Shift, unwell: str, now_s: float) -> Shift:
    """Return the shift after a step's check; ``unwell`` says what is wrong, empty for nothing."""
    if shift.phase is not Phase.SETTLE:
        return shift
    if unwell and shift.origin:
        return replace(shift, phase=Phase.BACK, due_s=now_s, tries=0, reason=unwell)
    if unwell:
        return replace(shift, phase=Phase.STUCK, ended_s=now_s, reason=unwell)
    if shift.at == len(shift.steps):
        return replace(shift, phase=Phase.DONE, ended_s=now_s, reason="")
    return replace(shift, phase=Phase.APPLY, due_s=now_s)

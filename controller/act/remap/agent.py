"""Drives shifts: the one place where the remapping agent waits, sends and reads."""

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bus import Clock
from controller.act.remap import shift as shifts
from controller.act.remap.channel import Channel, Shares, distance, normal
from controller.act.remap.shift import Phase, Ramp, Shift
from controller.errors import ControllerError

LOG = logging.getLogger("foresteer.remap")
LOOK_S = 0.05
"""How often the outside is asked whether it shows the target yet."""

Measure = Callable[[str], Shares]
"""How a service's new connections are spread, as measured; empty where nothing is known."""

Watch = Callable[[str], str]
"""What is wrong with a service at present, in words; empty when all is well."""


@dataclass(frozen=True, slots=True)
class Convergence:
    """How long it took from the decision until the outside showed it; None: it never did."""

    service: str
    target: Shares
    seconds: float | None
    steps: int
    phase: Phase
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Care:
    """How careful the agent is.

    ``least``: smaller changes are not worth a shift. ``hold_off_s``: a target that failed is not
    tried again for as long. ``slack``: how far measurements may go the wrong way, as a share.
    ``verify_s``: how often it is read whether the outside still shows what it should.
    """

    least: float = 0.02
    hold_off_s: float = 60.0
    slack: float = 0.05
    verify_s: float = 30.0


def wrong_way(origin: Shares, wanted: Shares, before: Shares, now: Shares, slack: float) -> bool:
    """Return whether what was measured moved against what was asked for, by more than ``slack``.

    Without measurements it did not.
    """
    asked = {
        name: wanted.get(name, 0.0) - origin.get(name, 0.0) for name in sorted({*origin, *wanted})
    }
    size = sum(abs(change) for change in asked.values())
    if not before or not now or size == 0:
        return False
    along = sum(
        change * (now.get(name, 0.0) - before.get(name, 0.0)) for name, change in asked.items()
    )
    return along < -slack * size


class RemapAgent:
    """Brings each service's channels to what plans want, one shift at a time per service."""

    def __init__(
        self,
        channels: Mapping[str, Sequence[Channel]],
        ramp: Ramp,
        clock: Clock,
        *,
        care: Care | None = None,
        measure: Measure | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._channels = channels
        self._ramp = ramp
        self._clock = clock
        self._care = care or Care()
        self._measure = measure or (lambda _: {})
        self._watch = watch or (lambda _: "")
        self._goals: dict[str, tuple[Shares, float]] = {}
        self._news = {service: asyncio.Event() for service in channels}
        self._in_force: dict[str, Shares] = {}
        self._held_off: dict[str, tuple[Shares, float]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.shifts: dict[str, Shift] = {}
        self.converged: deque[Convergence] = deque(maxlen=100)
        self.counts: Counter[str] = Counter()

    async def start(self) -> None:
        """Begin to follow; what the outside shows now is where shifts start from."""
        self._tasks = [asyncio.create_task(self._follow(service)) for service in self._channels]

    async def close(self) -> None:
        """Stop where it is: nothing is taken back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def take(self, desired: Mapping[str, Shares]) -> None:
        """Want these shares from now on; services without channels are left out."""
        now_s = self._clock.monotonic()
        for service in self._channels.keys() & desired.keys():
            try:
                goal = normal(desired[service])
            except ValueError as error:
                self.counts["bad_shares"] += 1
                LOG.error("service %s: %s", service, error)
                continue
            if not goal:
                # nothing may be used: the outside keeps what it has, since no answer is worse
                self.counts["nothing_wanted"] += 1
                continue
            last = self._goals.get(service)
            if last is None or distance(last[0], goal) > 0:
                self._goals[service] = (goal, now_s)
                self._news[service].set()

    def pause(self) -> None:
        """Want nothing any more: all stays as it is, a shift stops between two steps."""
        self._goals.clear()

    def in_force(self, service: str) -> Shares:
        """Return what was last brought into force."""
        return self._in_force.get(service, {})

    def status(self) -> Mapping[str, Any]:
        """Return where every service stands."""
        last = {one.service: one for one in self.converged}
        return {
            "services": {
                service: {
                    "wanted": dict(self._goals[service][0]) if service in self._goals else {},
                    "in_force": dict(self.in_force(service)),
                    "phase": self.shifts[service].phase.value if service in self.shifts else "idle",
                    "step": self.shifts[service].at if service in self.shifts else 0,
                    "steps": len(self.shifts[service].steps) if service in self.shifts else 0,
                    "reason": self.shifts[service].reason if service in self.shifts else "",
                    "converged_s": last[service].seconds if service in last else None,
                }
                for service in self._channels
            },
            "counts": dict(self.counts),
        }

    async def _follow(self, service: str) -> None:
        while True:
            if not self._due(service):
                self._news[service].clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news[service].wait(), self._care.verify_s)
                    continue
                await self._verify(service)
                continue
            goal, decided_s = self._goals[service]
            try:
                await self._shift(service, goal, decided_s)
            except Exception:
                # one service's trouble must not end the others' agent
                LOG.exception("service %s", service)
                self.counts["crashed"] += 1
                self._hold_off(service, goal)

    def _due(self, service: str) -> bool:
        if service not in self._goals:
            return False
        goal = self._goals[service][0]
        held = self._held_off.get(service)
        if held is not None and self._clock.monotonic() < held[1] and distance(held[0], goal) == 0:
            return False
        there = self._in_force.get(service)
        return there is None or distance(there, goal) >= self._care.least

    async def _verify(self, service: str) -> None:
        """Find out whether others changed what was brought into force; then it is shifted anew."""
        there = self._in_force.get(service)
        if there is None or not (wrong := await self._shows(service, there)):
            return
        self.counts["drifted"] += 1
        LOG.error("service %s is not as it was left: %s", service, wrong)
        del self._in_force[service]

    def _hold_off(self, service: str, goal: Shares) -> None:
        self._held_off[service] = (goal, self._clock.monotonic() + self._care.hold_off_s)

    async def _shift(self, service: str, goal: Shares, decided_s: float) -> None:
        """Go through one shift; a new goal is turned to between two steps."""
        origin = self._in_force.get(service) or await self._seen(service)
        one = shifts.begin(service, origin, goal, self._ramp, self._clock.monotonic())
        before = self._measure(service)
        self.shifts[service] = one
        self.counts["begun"] += 1
        seen_s: float | None = None
        while not one.ended:
            if one.phase is not Phase.BACK and self._goals.get(service, ({}, 0.0))[0] != goal:
                self.counts["retargeted"] += 1
                return
            await self._clock.sleep_until(one.due_s)
            if one.phase is Phase.SETTLE:
                unwell = await self._unwell(service, one, before)
                one = shifts.checked(one, unwell, self._clock.monotonic())
            else:
                one = await self._apply(service, one)
                if one.phase is Phase.SETTLE and one.at == len(one.steps):
                    seen_s = await self._visible(service, one)
            self.shifts[service] = one
        took_s = None if seen_s is None or one.phase is not Phase.DONE else seen_s - decided_s
        self.converged.append(
            Convergence(service, goal, took_s, len(one.steps), one.phase, one.reason)
        )
        self.counts[one.phase.value.replace(" ", "_")] += 1
        if one.phase is not Phase.DONE:
            self._hold_off(service, goal)
        if one.phase is Phase.STUCK:
            self._in_force.pop(service, None)
        LOG.warning("service %s: %s, %s", service, one.phase, one.reason or f"{took_s} s")

    async def _apply(self, service: str, one: Shift) -> Shift:
        wanted = one.wanted
        done = await asyncio.gather(
            *(channel.apply(wanted) for channel in self._channels[service]), return_exceptions=True
        )
        wrong = [error for error in done if isinstance(error, BaseException)]
        for error in wrong:
            if not isinstance(error, ControllerError):
                raise error
        now_s = self._clock.monotonic()
        if wrong:
            self.counts["failed_steps"] += 1
            LOG.error("service %s: %s", service, wrong[0])
            return shifts.failed(one, str(wrong[0]), now_s)
        self._in_force[service] = wanted
        return shifts.applied(one, now_s)

    async def _seen(self, service: str) -> Shares:
        """Return what the first channel that knows shows; nothing where none does."""
        for channel in self._channels[service]:
            with contextlib.suppress(ControllerError):
                if shares := normal(await channel.read()):
                    return shares
        return {}

    async def _shows(self, service: str, wanted: Shares) -> str:
        """Return what does not show these shares, in words."""
        for channel in self._channels[service]:
            try:
                seen = await channel.read()
            except ControllerError as error:
                return f"{channel.name}: {error}"
            if distance(seen, wanted) > channel.grain + 1e-6:
                return f"{channel.name} shows {dict(seen)}, not {dict(wanted)}"
        return ""

    async def _visible(self, service: str, one: Shift) -> float | None:
        """Wait until the outside shows the target, at most until the check is due; return when."""
        while await self._shows(service, one.target):
            if self._clock.monotonic() >= one.due_s:
                return None
            await self._clock.sleep_until(self._clock.monotonic() + LOOK_S)
        return self._clock.monotonic()

    async def _unwell(self, service: str, one: Shift, before: Shares) -> str:
        """Return what speaks against going on, in words; empty for nothing."""
        if wrong := self._watch(service):
            return wrong
        if wrong := await self._shows(service, one.wanted):
            return wrong
        now = self._measure(service)
        if wrong_way(one.origin, one.wanted, before, now, self._care.slack):
            return f"measured connections go the wrong way: {dict(before)}, then {dict(now)}"
        return ""

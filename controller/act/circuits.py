"""Circuits on request: made, changed and deleted by name, and there when the call returns.

A request becomes a part of what every plan must hold. The plan gives it a number and a path,
switches are programmed before the edge uses it, and what cannot be had is refused with the reason:
then nothing has changed.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from controller.errors import RequestError
from controller.operators import OperatorBook, Wanted
from controller.state import Circuit, CircuitRequest, PathConstraints, Plan

PlanNow = Callable[[str], Awaitable[Plan | None]]
"""Plans and acts at once, for a cause; returns the plan in force."""


class Circuits:
    """Operators' circuits."""

    def __init__(self, book: OperatorBook, plan_now: PlanNow) -> None:
        self._book = book
        self._plan_now = plan_now

    def find(self, name: str) -> CircuitRequest:
        """Return the request of that name.

        Raises:
            RequestError: there is none.
        """
        found = self._book.wanted.circuit(name)
        if found is None:
            raise RequestError(f"there is no circuit {name!r}", missing=True)
        return found

    async def create_circuit(
        self,
        source: str,
        destination: str,
        path: tuple[str, ...] = (),
        *,
        name: str = "",
        share: float = 1.0,
        reserved_bps: float = 0.0,
        priority: int = 0,
        constraints: PathConstraints | None = None,
        allow_rest: bool = True,
    ) -> Circuit:
        """Make a circuit from ``source`` to ``destination``; return it as it is in force.

        ``path``: links by name, empty for the one that costs least. ``share``: how much of the
        demand between the two it carries. ``reserved_bps``: kept free for it on every link.
        ``allow_rest``: what the firewall does with what no rule matches; False for circuits made
        from intents (default deny).

        Raises:
            RequestError: it cannot be had; the sentence names the reason. Nothing has changed.
        """
        called = name or self._free_name(source, destination)
        if self._book.wanted.circuit(called) is not None:
            raise RequestError(f"there is a circuit {called!r} already")
        request = CircuitRequest(
            called, source, destination, path, share, reserved_bps, priority, (), allow_rest,
            constraints or PathConstraints(),
        )  # fmt: skip
        return await self.put(request, f"circuit {called} is asked for")

    async def update_circuit(self, name: str, **changes: Any) -> Circuit:
        """Change a circuit (any field of CircuitRequest but its name and ends); return it.

        A new path gets a number of its own: it is programmed before the edge uses it, and the old
        one goes afterwards.

        Raises:
            RequestError: there is none of that name, or it cannot be had so; it is as it was.
        """
        fixed = {"name", "src", "dst"} & changes.keys()
        if fixed:
            raise RequestError(f"{min(fixed)} of a circuit cannot be changed: make another")
        return await self.put(replace(self.find(name), **changes), f"circuit {name} is changed")

    async def delete_circuit(self, name: str) -> None:
        """Delete a circuit; its traffic is spread with the rest.

        Raises:
            RequestError: there is none of that name.
        """
        self.find(name)
        await self._book.change(self._book.wanted.without(name))
        await self._plan_now(f"circuit {name} is deleted")

    async def put(self, request: CircuitRequest, cause: str) -> Circuit:
        """Have a request in force, or go back to what was before.

        Raises:
            RequestError: it cannot be had; the sentence names the reason.
        """
        _check(request)
        before = self._book.wanted
        await self._book.change(before.having(request))
        plan = await self._plan_now(cause)
        made = _made(plan, request.name)
        if made is not None and (plan is None or not _refusal(plan, request.name)):
            return made
        reason = _refusal(plan, request.name) if plan is not None else "there is no plan yet"
        await self._back(before, request.name)
        raise RequestError(reason or f"circuit {request.name} did not come into force")

    async def _back(self, before: Wanted, name: str) -> None:
        """Undo one request; what else was asked for meanwhile stays."""
        old = before.circuit(name)
        now = self._book.wanted
        await self._book.change(now.having(old) if old is not None else now.without(name))
        await self._plan_now(f"circuit {name} is taken back")

    def _free_name(self, source: str, destination: str) -> str:
        taken = {one.name for one in self._book.wanted.circuits}
        number = 1
        while f"{source}-{destination}-{number}" in taken:
            number += 1
        return f"{source}-{destination}-{number}"


def _check(request: CircuitRequest) -> None:
    if not 0.0 <= request.share <= 1.0:
        raise RequestError(f"a share of {request.share} is not between 0 and 1")
    if not 0.0 <= request.reserved_bps < float("inf"):
        raise RequestError(f"{request.reserved_bps} bit/s cannot be reserved")
    if not request.name or len(request.name) > 64 or not request.name.isprintable():
        raise RequestError("a circuit's name has 1 to 64 printable characters")


def _made(plan: Plan | None, name: str) -> Circuit | None:
    circuits = plan.circuits if plan is not None else ()
    return next((one for one in circuits if one.name == name), None)


def _refusal(plan: Plan, name: str) -> str:
    """Return what a plan's notes say against a circuit, empty for nothing."""
    opening = f"circuit {name} is refused: "
    return next((note[len(opening) :] for note in plan.notes if note.startswith(opening)), "")

"""The desk where policies are planned, applied and rolled back, and services are declared.

A document is checked against the network as it is, then the decision itself says what it would
change: the function that decides live, on the last picture and forecast, with and without it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any, Protocol

from controller.errors import ControllerError, RequestError
from controller.journal import as_kept
from controller.layers import GranularRule, Layers, ServicePolicy
from controller.policies.book import PolicyBook
from controller.policies.difference import difference
from controller.policies.document import Known, parse
from controller.policies.errors import PolicyError
from controller.policies.versions import Version
from controller.state import Forecast, Plan, Policies, Service, Snapshot

TIMEOUT_S = 30.0
MOST_SERVICES = 1000
MOST_INSTANCES = 256
"""Instances of a service: its table of buckets cannot tell more apart."""
MOST_NUMBERS = 4095
LONGEST_COMMENT = 1000

PlanNow = Callable[[str], Awaitable[Plan | None]]


class Worker(Protocol):
    """What decides, apart from the loop."""

    async def plan(
        self,
        snapshot: Snapshot,
        forecast: Forecast,
        policies: Policies,
        previous: Plan | None,
        *,
        timeout_s: float,
    ) -> Plan:
        """Return the plan; raise ControllerError without an answer."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """What is known now: the last tick's picture and forecast, the plan in force, the basis.

    ``policies``: without the layers of any document.
    """

    snapshot: Snapshot
    forecast: Forecast
    policies: Policies
    plan: Plan | None


class PolicyDesk:
    """Plans, applies and rolls back; one change at a time."""

    def __init__(
        self,
        book: PolicyBook,
        worker: Worker,
        picture: Callable[[], Picture | None],
        plan_now: PlanNow,
        wall: Callable[[], float],
    ) -> None:
        self.book = book
        self._worker, self._picture, self._plan_now, self._wall = worker, picture, plan_now, wall
        self._turn = asyncio.Lock()

    async def check(self, text: str, name: str = "policies") -> Layers:
        """Return a document's layers; a large one is read beside the loop, not in its way.

        Raises:
            PolicyError: it is wrong, or about what does not exist.
        """
        document = await asyncio.to_thread(parse, text, name, self._known())
        return document.layers()

    def _known(self) -> Known:
        picture = self._picture()
        services = {one.name for one in self.book.shelf.services}
        if picture is None:
            return Known(services=services)
        snapshot = picture.snapshot
        return Known(
            set(snapshot.nodes),
            {link.name for link in snapshot.links},
            set(snapshot.regions.values()),
            services,
        )

    async def plan(self, text: str, name: str = "policies") -> dict[str, Any]:
        """Return what a document would change now; nothing is changed.

        Raises:
            PolicyError: it is wrong.
            RequestError: nothing is known yet, or the worker does not answer.
        """
        return await self._planned(await self.check(text, name))

    async def _planned(self, layers: Layers) -> dict[str, Any]:
        picture = self._picture()
        if picture is None:
            raise RequestError("there was no tick yet; ask again soon")
        snapshot, forecast = as_kept(picture.snapshot, picture.forecast)
        candidate = PolicyBook()
        candidate.layers = layers
        plans = []
        try:
            for book in (self.book, candidate):
                policies = book.into(picture.policies)
                plans.append(
                    await self._worker.plan(
                        snapshot, forecast, policies, picture.plan, timeout_s=TIMEOUT_S
                    )
                )
        except ControllerError as error:
            raise RequestError(f"it cannot be planned now: {error}") from error
        return {"version": self.book.shelf.number, **difference(*plans)}

    async def apply(
        self,
        text: str,
        *,
        author: str,
        comment: str = "",
        expected: int | None = None,
        name: str = "policies",
    ) -> Version:
        """Have a document in force as the next version; return that.

        ``expected``: the version that it was made against, None for whatever there is.

        Raises:
            PolicyError: it is wrong; nothing has changed.
            RequestError: another version came between, or it cannot be kept.
        """
        async with self._turn:
            number = self.book.shelf.number
            if expected is not None and expected != number:
                raise RequestError(f"version {number} is in force, not {expected}; look again")
            layers = await self.check(text, name)
            version = await self.book.apply(
                text, layers, author, self._wall(), comment[:LONGEST_COMMENT]
            )
        await self._plan_now(f"policies of version {version.number} are applied")
        return version

    async def rollback(
        self, number: int, *, author: str, expected: int | None = None
    ) -> Version:  # fmt: skip
        """Have an earlier version's document in force, as a version of its own.

        Raises:
            PolicyError: it does not fit the network any more; nothing has changed.
            RequestError: it is not kept, or as for ``apply``.
        """
        if number == 0:
            text = ""
        else:
            found = self.book.shelf.version(number)
            if found is None:
                raise RequestError(f"there is no version {number} (any more)", missing=True)
            text = found.text
        return await self.apply(
            text,
            author=author,
            comment=f"back to version {number}",
            expected=expected,
            name=f"version {number}",
        )

    def service(self, name: str) -> Service:
        """Return a declared service.

        Raises:
            RequestError: there is none of that name.
        """
        found = next((one for one in self.book.shelf.services if one.name == name), None)
        if found is None:
            raise RequestError(f"there is no service {name!r}", missing=True)
        return found

    async def declare(self, service: Service) -> Service:
        """Declare a service, in the place of one of that name.

        Raises:
            RequestError: it is wrong, collides with another, or cannot be kept.
        """
        async with self._turn:
            others = tuple(x for x in self.book.shelf.services if x.name != service.name)
            self._check(service, others)
            service = numbered(service, self.book.shelf.services)
            await self.book.declare((*others, service))
        await self._plan_now(f"service {service.name} is declared")
        return service

    async def withdraw(self, name: str) -> None:
        """Withdraw a service.

        Raises:
            RequestError: there is none of that name, or the policies in force name it.
        """
        async with self._turn:
            self.service(name)
            layers = self.book.layers
            policies: tuple[ServicePolicy | GranularRule, ...] = (*layers.services, *layers.rules)
            for one in policies:
                if name in one.match.services:
                    raise RequestError(
                        f"the policy {one.name!r} is about {name}: change that first"
                    )
            await self.book.declare(
                tuple(one for one in self.book.shelf.services if one.name != name)
            )
        await self._plan_now(f"service {name} is withdrawn")

    def _check(self, service: Service, others: tuple[Service, ...]) -> None:
        key = (service.address, service.protocol, service.port)
        for other in others:
            if (other.address, other.protocol, other.port) == key:
                raise RequestError(f"{other.name} has that address, protocol and port already")
        if len(others) >= MOST_SERVICES:
            raise RequestError(f"{MOST_SERVICES} services are declared; more may not be")
        if len(service.instances) > MOST_INSTANCES:
            raise RequestError(f"{len(service.instances)} instances; {MOST_INSTANCES} may be")
        names = [one.name for one in service.instances]
        if len(set(names)) < len(names):
            raise RequestError("two instances have the same name")
        locations = self._known().locations
        for one in service.instances:
            if locations is not None and one.location not in locations:
                raise RequestError(f"{one.name}: there is no location {one.location!r}")
        try:
            for address in (service.address, *(one.address for one in service.instances)):
                ip_address(address)
        except ValueError as error:
            raise RequestError(str(error)) from error


def numbered(service: Service, kept: tuple[Service, ...]) -> Service:
    """Return a service whose instances have numbers: an address keeps the one that it has.

    What no service has any more is free for others.

    Raises:
        RequestError: there are no more numbers.
    """
    numbers = {one.address: one.number for other in kept for one in other.instances}
    taken = set(numbers.values())
    free = (number for number in range(1, MOST_NUMBERS + 1) if number not in taken)
    instances = []
    for one in service.instances:
        number = numbers.get(one.address) or next(free, 0)
        if not number:
            raise RequestError(f"{MOST_NUMBERS} instances are declared; more may not be")
        numbers[one.address] = number
        instances.append(replace(one, number=number))
    return replace(service, instances=tuple(instances))


__all__ = ["Picture", "PolicyDesk", "PolicyError"]

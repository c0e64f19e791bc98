"""What operators asked for while the brain runs: circuits, freezing; kept in the bus's store."""

import logging
from dataclasses import dataclass, replace

import msgpack
from pydantic import TypeAdapter, ValidationError

from bus import Bus, BusError
from bus.subjects import OPERATORS
from controller.errors import RequestError
from controller.state import CircuitRequest, Policies

LOG = logging.getLogger("foresteer.operators")
VERSION = 1
MOST = 1000
"""Circuits that operators may ask for."""

MODES = ("observe", "advise", "act")

_REQUESTS = TypeAdapter(tuple[CircuitRequest, ...])


@dataclass(frozen=True, slots=True)
class Wanted:
    """Operators' circuits by name, and whether everything else stands still.

    ``mode``: what the brain may do, None for what is configured.
    """

    circuits: tuple[CircuitRequest, ...] = ()
    frozen: bool = False
    mode: str | None = None

    def circuit(self, name: str) -> CircuitRequest | None:
        """Return the request of that name."""
        return next((one for one in self.circuits if one.name == name), None)

    def without(self, name: str) -> "Wanted":
        """Return the same without one circuit."""
        return replace(self, circuits=tuple(one for one in self.circuits if one.name != name))

    def having(self, request: CircuitRequest) -> "Wanted":
        """Return the same with a circuit, in the place of one of that name."""
        return replace(self, circuits=(*self.without(request.name).circuits, request))

    def into(self, policies: Policies) -> Policies:
        """Return policies that include what operators asked for."""
        return replace(policies, requests=self.circuits, frozen=policies.frozen or self.frozen)


class OperatorBook:
    """Holds what is wanted; every change is kept before it counts."""

    def __init__(self) -> None:
        self.wanted = Wanted()
        self._bus: Bus | None = None

    async def connect(self, bus: Bus) -> None:
        """Take what an earlier brain kept; what is damaged is left out, and said so."""
        self._bus = bus
        try:
            content = await bus.get(OPERATORS)
            if content is None:
                return
            kept = msgpack.unpackb(content)
            if kept["version"] != VERSION:
                raise ValueError(f"version {kept['version']}")
            mode = kept.get("mode")
            self.wanted = Wanted(
                _REQUESTS.validate_python(kept["circuits"]),
                bool(kept["frozen"]),
                mode if mode in MODES else None,
            )
        except (BusError, ValueError, KeyError, TypeError, ValidationError) as error:
            LOG.error("what operators asked for is lost: %s", error)

    async def change(self, wanted: Wanted) -> None:
        """Keep what is wanted from now on.

        Raises:
            RequestError: there are too many circuits, or the store does not answer.
        """
        if len(wanted.circuits) > MOST:
            raise RequestError(f"{len(wanted.circuits)} circuits are asked for; {MOST} may be")
        body = {
            "version": VERSION,
            "circuits": _REQUESTS.dump_python(wanted.circuits),
            "frozen": wanted.frozen,
            "mode": wanted.mode,
        }
        if self._bus is not None:
            try:
                await self._bus.put(OPERATORS, msgpack.packb(body))
            except BusError as error:
                raise RequestError(f"it cannot be kept: {error}") from error
        self.wanted = wanted

"""The book of policies: versions and services, kept in the bus's store before they count."""

import logging
from dataclasses import replace

from bus import Bus, BusError
from bus.subjects import POLICIES
from controller.decide.policy import with_layers
from controller.errors import RequestError
from controller.layers import Layers
from controller.policies.document import parse
from controller.policies.errors import PolicyError
from controller.policies.versions import Shelf, Version, pack, unpack
from controller.state import Policies, Service

LOG = logging.getLogger("foresteer.policies")


class PolicyBook:
    """Holds the layers in force and the services; every change is kept before it counts."""

    def __init__(self) -> None:
        self.shelf = Shelf()
        self.layers = Layers()
        self._bus: Bus | None = None

    async def connect(self, bus: Bus) -> None:
        """Take what an earlier brain kept; what is damaged is left out, and said so.

        Where the last version is no good for this program, the last one before it that is counts.
        """
        self._bus = bus
        try:
            content = await bus.get(POLICIES)
            shelf = unpack(content) if content is not None else Shelf()
        except (BusError, ValueError) as error:
            LOG.error("what policies were applied is lost: %s", error)
            return
        self.shelf = shelf
        for version in reversed(shelf.versions):
            try:
                self.layers = parse(version.text, f"version {version.number}").layers(
                    version.number
                )
            except PolicyError as error:
                LOG.error("%s: the version before it counts", error)
            else:
                return

    def into(self, policies: Policies) -> Policies:
        """Return policies that include the layers in force."""
        return with_layers(policies, self.layers)

    async def apply(
        self, text: str, layers: Layers, author: str, time_s: float, comment: str
    ) -> Version:
        """Keep a checked document as the next version, and have it in force; return it.

        Raises:
            RequestError: it cannot be kept; nothing has changed.
        """
        version = Version(self.shelf.number + 1, text, author, time_s, comment)
        await self._keep(self.shelf.having(version))
        self.layers = replace(layers, version=version.number)
        return version

    async def declare(self, services: tuple[Service, ...]) -> None:
        """Keep the services.

        Raises:
            RequestError: they cannot be kept; nothing has changed.
        """
        await self._keep(self.shelf.with_services(services))

    async def _keep(self, shelf: Shelf) -> None:
        if self._bus is not None:
            try:
                await self._bus.put(POLICIES, pack(shelf))
            except BusError as error:
                raise RequestError(f"it cannot be kept: {error}") from error
        self.shelf = shelf

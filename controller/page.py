"""Serves the API and the page from the brain, on a socket that may have been handed in."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from bus.instance import PAGE_SOCKET
from controller.api import Label, Place, Round, Status, create_app
from controller.api.operate import Operations
from controller.api.policy import PolicyOperations
from controller.api.series import Desk
from controller.api.view import HEALTHY
from controller.errors import ControllerError
from controller.loop import Tick

if TYPE_CHECKING:
    from controller.brain import Brain

PORTS = 100
WAITING_TICKS = 8


class PageView:
    """What the API may see of the brain; see controller.api.View."""

    def __init__(self, brain: "Brain") -> None:
        self._brain = brain

    def status(self) -> Status:
        """Return how the brain is, part by part."""
        brain = self._brain
        found = dict(brain.status())
        network = brain.collector.network if brain.collector else None
        switches = len(network.locations) if network else 0
        agents = brain.collector.served(brain.clock.monotonic()) if brain.collector else set()
        missing = (
            [x.engine.name for x in network.locations if x.engine.number not in agents]
            if network
            else []
        )
        components = {
            "southbound": HEALTHY if found["southbound"] else "away: switches keep their state",
            "bus": HEALTHY if found["bus"] else "away: engines keep their state",
            "switches": HEALTHY
            if found["switches"] == switches and network
            else f"{found['switches']} of {switches} connected",
            "engines": HEALTHY
            if network and not missing
            else f"headless: {', '.join(missing)}"
            if missing
            else "none known",
            "decide worker": HEALTHY if found["decide_pid"] else "not running",
            "model": found["model_problem"] or HEALTHY,
        }
        return Status(
            str(brain.instance.directory),
            found["mode"],
            bool(found["ready"]),
            int(found["skipped_ticks"]),
            int(found["rule_errors"]),
            components,
            found,
        )

    def label(self) -> Label | None:
        """Return the network's name and whether its traffic is made up."""
        collector = self._brain.collector
        return Label(collector.network.name, collector.network.synthetic) if collector else None

    def places(self) -> Sequence[Place]:
        """Return the locations with their coordinates."""
        collector = self._brain.collector
        locations = collector.network.locations if collector else ()
        return [Place(x.name, x.lat, x.lon) for x in locations]

    def last(self) -> Round | None:
        """Return the last tick."""
        return self._brain.loop.last

    def recent(self) -> Sequence[Round]:
        """Return the last ticks, oldest first."""
        return list(self._brain.loop.recent)

    def desk(self) -> Desk:
        """Return what is behind the series."""
        return self._brain.desk

    def operations(self) -> Operations:
        """Return what takes operators' requests."""
        return self._brain

    def policies(self) -> PolicyOperations:
        """Return what takes policies and services."""
        return self._brain

    async def subscribe(self) -> AsyncIterator[Round]:
        """Yield ticks as they come; one who does not keep up misses some."""
        queue: asyncio.Queue[Tick] = asyncio.Queue(WAITING_TICKS)
        self._brain.listeners.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._brain.listeners.discard(queue)


def page_socket(host: str, port: int) -> socket.socket:
    """Return the page's listening socket: the one handed in, else one on the next free port.

    Raises:
        ControllerError: no port is free.
    """
    handed = os.environ.get(PAGE_SOCKET)
    if handed:
        return socket.socket(fileno=os.dup(int(handed)))
    for candidate in range(port, port + PORTS):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
        except OSError:
            listener.close()
            continue
        listener.listen(128)
        return listener
    raise ControllerError(f"no port from {port} to {port + PORTS - 1} is free on {host}")


async def serve(brain: "Brain", listener: socket.socket) -> None:
    """Serve until cancelled."""
    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(
            create_app(PageView(brain)), log_level="warning", lifespan="off", access_log=False
        )
    )
    # the brain has its own signal handlers
    server.capture_signals = contextlib.nullcontext  # type: ignore[assignment,method-assign]
    await server.serve(sockets=[listener])

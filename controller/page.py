"""Serves the API and the page from the brain, on a socket that may have been handed in."""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from fastapi import FastAPI

from bus.instance import PAGE_SOCKET
from controller.api import Access, Label, Place, Round, Status, create_app
from controller.api.access import Audit, Role, TokenBook, TokenError
from controller.api.access.own import AUDIT, TOKENS, own_token
from controller.api.guard import LOOPBACK
from controller.api.operate import Operations
from controller.api.policy import PolicyOperations
from controller.api.series import Desk
from controller.api.view import HEALTHY, Came, Shadowed
from controller.config import Api
from controller.errors import ControllerError
from controller.explain.answers import JournalExplainer
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
        return [Place(x.name, x.lat, x.lon, x.region, x.prefix) for x in locations]

    def last(self) -> Round | None:
        """Return the last tick."""
        return self._brain.loop.last

    def recent(self) -> Sequence[Round]:
        """Return the last ticks, oldest first."""
        return list(self._brain.loop.recent)

    def version(self) -> Hashable:
        """Return what changes with every tick and every plan."""
        loop = self._brain.loop
        seen = [one.snapshot.number for one in (loop.last, *list(loop.events)[-1:]) if one]
        term = self._brain.actor.term if self._brain.actor else 0
        return *seen, loop.plan.number if loop.plan else None, term

    def decided(self) -> Sequence[Round]:
        """Return the last decisions, of ticks and events, oldest first."""
        loop = self._brain.loop
        return sorted((*loop.recent, *loop.events), key=lambda one: one.decision.time_s)

    def journaled(self, plan: int) -> int | None:
        """Return the journal's number of a plan's decision."""
        return self._brain.journaled.get(plan)

    def came(self) -> Sequence[Came]:
        """Return what came of the last decisions of which that is known."""
        return [Came(*one) for one in self._brain.hindsight.known]

    def shadowed(self) -> Sequence[Shadowed]:
        """Return the engines that have shadows, or should."""
        collector, shadows = self._brain.collector, self._brain.shadows
        if collector is None:
            return []
        engines = {x.engine.number: x.engine for x in collector.network.locations}

        def name(number: int) -> str:
            return engines[number].name if number in engines else str(number)

        streams = shadows.streams()
        found = []
        for number, one in sorted(shadows.assignments.items()):
            ends = tuple(
                {
                    **asdict(end.report),
                    "agent": end.agent,
                    "primary": name(end.report.primary),
                    "shadow": name(end.report.shadow),
                }
                for end in streams
                if end.report.primary == number
            )
            found.append(
                Shadowed(
                    name(number),
                    engines[number].stage if number in engines else "",
                    tuple(map(name, one.shadows)),
                    one.generation,
                    tuple(map(name, one.shared)),
                    one.missing,
                    ends,
                    shadows.problem_of(number),
                )
            )
        return found

    def thresholds(self) -> Mapping[str, Mapping[str, float | None]]:
        """Return the configured thresholds by kind."""
        limits = self._brain.config.series.thresholds
        return {kind: one.model_dump() for kind, one in limits.items()}

    def explainer(self) -> JournalExplainer:
        """Return what answers for decisions."""
        return JournalExplainer(self._brain.instance.journal)

    def modes(self) -> "Brain":
        """Return what changes the mode."""
        return self._brain

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
        # the protocol is named, or asyncio would not have short answers sent at once
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
        except OSError:
            listener.close()
            continue
        listener.listen(128)
        return listener
    raise ControllerError(f"no port from {port} to {port + PORTS - 1} is free on {host}")


def access_of(brain: "Brain") -> Access:
    """Return who may ask this brain for what; make the token of the machine's own root first.

    Raises:
        ControllerError: tokens cannot be read or written.
    """
    instance, api = brain.instance.directory, brain.config.api
    try:
        tokens = TokenBook(instance / TOKENS, brain.clock.wall)
        own_token(tokens, instance)
    except TokenError as error:
        raise ControllerError(str(error)) from error
    return Access(
        tokens,
        Audit(instance / AUDIT, brain.clock.wall),
        Role.VIEWER if api.anonymous == "viewer" else None,
        frozenset({*LOOPBACK, brain.config.page_host, *api.names}),
        {"read": api.reads_per_s, "change": api.changes_per_s, "login": api.logins_per_s},
        secure=api.certificate is not None,
        clock=brain.clock.monotonic,
        wall=brain.clock.wall,
    )


async def serve(brain: "Brain", listener: socket.socket, access: Access) -> None:
    """Serve until cancelled.

    Raises:
        ControllerError: the certificate cannot be read.
    """
    await serve_app(create_app(PageView(brain), access), listener, brain.config.api)


async def serve_app(app: FastAPI, listener: socket.socket, api: Api) -> None:
    """Serve an application until cancelled, by TLS where a certificate is configured.

    Raises:
        ControllerError: the certificate cannot be read.
    """
    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            lifespan="off",
            access_log=False,
            server_header=False,
            ssl_certfile=api.certificate,
            ssl_keyfile=api.key,
            ssl_ca_certs=str(api.client_ca) if api.client_ca else None,
            ssl_cert_reqs=ssl.CERT_REQUIRED if api.client_ca else ssl.CERT_NONE,
        )
    )
    # the brain has its own signal handlers
    server.capture_signals = contextlib.nullcontext  # type: ignore[assignment,method-assign]
    try:
        await server.serve(sockets=[listener])
    except (OSError, ssl.SSLError) as error:
        raise ControllerError(f"the API cannot be served: {error}") from error

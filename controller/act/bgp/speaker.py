"""What is announced, held to what is wanted: by diff, again after either side restarted."""

import asyncio
import contextlib
import json
import logging
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Any

from bus import Clock, Instance
from bus.instance import unix_address
from controller.act.bgp.child import SOCKET, Child, Speaking
from controller.act.bgp.errors import BgpError
from controller.act.bgp.learned import Learned
from controller.act.bgp.routes import (
    AllowList,
    Announcement,
    Key,
    announce_command,
    difference,
)
from controller.state import ExternalPath

LOG = logging.getLogger("foresteer.bgp")
ANSWER_S = 5.0
LINE_BYTES = 8 << 20


class Speaker:
    """Announces for several owners (services), each of which says all that it wants.

    ``owners``: all there will be. What an earlier brain announced stays until each of them has
    said what it wants, unless it is not ours any more.
    """

    def __init__(
        self,
        instance: Instance,
        speaking: Speaking,
        allow: AllowList,
        learned: Learned,
        clock: Clock,
        counts: Counter[str],
        *,
        owners: Iterable[str],
    ) -> None:
        self._speaking = speaking
        self._allow = allow
        self._learned = learned
        self._clock = clock
        self._counts = counts
        self._owners = frozenset(owners)
        self._path = instance.directory / SOCKET
        self.child = Child(instance, speaking, clock, counts)
        self._wanted: dict[str, dict[Key, str]] = {}
        self._said: dict[Key, str] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._answers: deque[asyncio.Future[bool]] = deque()
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def connected(self) -> bool:
        """Whether ExaBGP listens to us."""
        return self._writer is not None

    @property
    def up(self) -> frozenset[str]:
        """The neighbours whose sessions are up."""
        return frozenset(self._learned.up)

    async def start(self) -> None:
        """Start ExaBGP, or take over the one that runs."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(
            self._serve, unix_address(self._path), limit=LINE_BYTES
        )
        self._path.chmod(0o600)
        self._spawn(self.child.run())

    async def close(self) -> None:
        """Leave: with ``hold`` ExaBGP goes on by itself, else it ends and so do its routes."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)
        if self._speaking.on_loss == "withdraw":
            await self.child.stop()

    async def announce(self, owner: str, routes: Iterable[Announcement]) -> None:
        """Have exactly these routes of an owner's announced, and what it had besides withdrawn.

        Raises:
            BgpError: one must not be announced (then nothing changes), the speaker does not take
                one, or it is away (then it is announced once it is back).
        """
        commands: dict[Key, str] = {}
        others = {key for name, own in self._wanted.items() if name != owner for key in own}
        known = {one.address for one in self._speaking.neighbours}
        for route in routes:
            try:
                self._allow.check(route)
                if route.neighbour not in known:
                    raise BgpError("no_neighbour", f"there is no neighbour {route.neighbour}")
                if route.key in others:
                    raise BgpError("bad_route", f"{route.prefix} is announced for another service")
            except BgpError as error:
                self.count(error)
                raise
            commands[route.key] = announce_command(route, self._speaking.local_as)
        self._wanted[owner] = commands
        await self._sync()

    def count(self, error: BgpError) -> None:
        """Count an error under its kind."""
        self._counts[error.kind] += 1

    def holds(self, owner: str) -> bool:
        """Return whether ExaBGP has taken all that an owner wants, and no more."""
        wanted = self._wanted.get(owner)
        return self.connected and wanted is not None and not self._missing(wanted)

    def paths(self) -> tuple[ExternalPath, ...]:
        """Return what the neighbours announce, of those believed."""
        return self._learned.paths(self._clock.monotonic())

    def status(self) -> Mapping[str, Any]:
        """Return how things stand."""
        return {
            "speaker": self.connected,
            "pid": self.child.pid,
            "sessions": {one.address: one.address in self.up for one in self._speaking.neighbours},
            "suppressed": list(self._learned.suppressed(self._clock.monotonic())),
            "announced": len(self._said),
            "learned": len(self.paths()),
            "counts": dict(self._counts),
        }

    def _missing(self, wanted: Mapping[Key, str]) -> bool:
        return any(self._said.get(key) != text for key, text in wanted.items())

    def _desired(self) -> dict[Key, str]:
        desired = {key: text for own in self._wanted.values() for key, text in own.items()}
        if self._owners - self._wanted.keys():
            for key, text in self._said.items():
                if key not in desired and self._still_ours(key):
                    desired[key] = text
        return desired

    def _still_ours(self, key: Key) -> bool:
        with contextlib.suppress(BgpError):
            self._allow.check(Announcement(*key))
            return True
        return False

    async def _sync(self) -> None:
        async with self._turn:
            if self._writer is None:
                self._counts["speaker_away"] += 1
                raise BgpError("speaker_away", "ExaBGP is away; it is told once it is back")
            todo = difference(self._desired(), self._said)
            if not todo:
                return
            loop = asyncio.get_running_loop()
            answers = [loop.create_future() for _ in todo]
            self._answers.extend(answers)
            self._writer.write("".join(f"{text}\n" for _, text in todo).encode())
            try:
                async with asyncio.timeout(ANSWER_S):
                    taken = await asyncio.gather(*answers)
            except TimeoutError as error:
                # its answers cannot be told apart any more: begin anew
                self._hang_up()
                raise BgpError("speaker_away", f"ExaBGP is silent for {ANSWER_S} s") from error
            refused = ""
            for (key, text), good in zip(todo, taken, strict=True):
                if not good:
                    refused = refused or text
                elif text.split()[2] == "announce":
                    self._said[key] = text
                else:
                    self._said.pop(key, None)
            self._counts["changes"] += len(todo)
            if refused:
                self._counts["rejected"] += 1
                raise BgpError("rejected", f"ExaBGP does not take: {refused}")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._hang_up()
        self._writer = writer
        try:
            while line := await reader.readline():
                self._hear(line.strip())
        except (OSError, ValueError) as error:
            LOG.error("ExaBGP's messages: %s", error)
        finally:
            if self._writer is writer:
                self._hang_up()
            writer.close()

    def _hang_up(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._counts["speaker_lost"] += 1
        self._learned.away(self._clock.monotonic())
        while self._answers:
            answer = self._answers.popleft()
            if not answer.done():
                answer.set_result(False)

    def _hear(self, line: bytes) -> None:
        if line in (b"done", b"error"):
            if self._answers:
                answer = self._answers.popleft()
                if not answer.done():
                    answer.set_result(line == b"done")
            return
        try:
            message = json.loads(line)
        except ValueError:
            self._counts["damaged"] += 1
            return
        if not isinstance(message, dict):
            self._counts["damaged"] += 1
        elif "relay" in message:
            self._welcome(message)
        elif message.get("type") in ("state", "update"):
            self._learned.take(message, self._clock.monotonic())

    def _welcome(self, hello: Mapping[str, Any]) -> None:
        """Go on from what a relay says was announced before us."""
        self._said = {(peer, prefix): text for peer, prefix, text in hello["announced"]}
        for peer in hello["up"]:
            self._learned.take(
                {"type": "state", "neighbor": {"address": {"peer": peer}, "state": "up"}},
                self._clock.monotonic(),
            )
        self._spawn(self._resume())

    async def _resume(self) -> None:
        """Say all that is wanted: what is not in force yet, and what is not wanted any more."""
        try:
            await self._sync()
        except BgpError as error:
            LOG.error("%s", error)

    def _spawn(self, job: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

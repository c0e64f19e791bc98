"""ExaBGP as a child: its configuration, and keeping it alive."""

import asyncio
import contextlib
import logging
import shlex
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bus import Clock, Instance, InstanceError

LOG = logging.getLogger("foresteer.bgp")
NAME = "bgp"
SOCKET = "bgp.sock"
RELAY = Path(__file__).with_name("relay.py")
LOOK_S = 0.1
BACKOFF_S, BACKOFF_MOST_S = 0.2, 30.0
LONG_S = 60.0
"""Having lived for so long, a child that ends is started again at once."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A router of a neighbouring network; ``location``: where of ours it is attached.

    ``password``: of the TCP session (RFC 2385), empty for none.
    """

    address: str
    local_address: str
    peer_as: int
    location: str
    hold_time_s: int = 9
    password: str = field(default="", repr=False)

    @property
    def family(self) -> str:
        """The address family that is spoken of."""
        return "ipv6" if ":" in self.address else "ipv4"


@dataclass(frozen=True, slots=True)
class Speaking:
    """Who we are, to whom we speak, and what becomes of the routes without a brain.

    ``on_loss``: ``hold`` or ``withdraw``, the latter ``loss_s`` after the brain went away.
    ``graceful_restart_s``: for how long neighbours keep routes while ExaBGP is away, 0: not at all.
    """

    local_as: int
    router_id: str
    neighbours: tuple[Neighbour, ...]
    on_loss: str = "hold"
    loss_s: float = 10.0
    graceful_restart_s: int = 0


def configuration(speaking: Speaking, socket: Path) -> str:
    """Return ExaBGP's configuration."""
    command = [
        *(sys.executable, "-I", "-S", str(RELAY)),
        *(str(socket), speaking.on_loss, str(speaking.loss_s)),
    ]
    lines = [
        "process foresteer {",
        f"  run {shlex.join(command)};",
        "  encoder json;",
        "}",
    ]
    for one in speaking.neighbours:
        restart = speaking.graceful_restart_s
        lines += [
            f"neighbor {one.address} {{",
            f"  router-id {speaking.router_id};",
            f"  local-address {one.local_address};",
            f"  local-as {speaking.local_as};",
            f"  peer-as {one.peer_as};",
            f"  hold-time {one.hold_time_s};",
            "  adj-rib-out true;",
            *([f'  md5-password "{one.password}";'] if one.password else []),
            f"  family {{ {one.family} unicast; }}",
            "  capability {",
            "    route-refresh enable;",
            *([f"    graceful-restart {restart};"] if restart else []),
            "  }",
            "  api {",
            "    processes [ foresteer ];",
            "    neighbor-changes;",
            "    receive { parsed; update; }",
            "  }",
            "}",
        ]
    return "\n".join(lines) + "\n"


class Child:
    """Keeps one ExaBGP running in an instance; one that runs already is adopted."""

    def __init__(
        self, instance: Instance, speaking: Speaking, clock: Clock, counts: Counter[str]
    ) -> None:
        self._instance = instance
        self._clock = clock
        self._counts = counts
        self._file = instance.directory / "bgp.conf"
        self._text = configuration(speaking, instance.directory / SOCKET)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self._instance.pid(NAME)

    async def run(self) -> None:
        """Keep it running until cancelled."""
        await self._configure()
        backoff_s, began_s = BACKOFF_S, self._clock.monotonic()
        while True:
            if not self._instance.running(NAME):
                self._reap()
                if self._process is not None:
                    lived_s = self._clock.monotonic() - began_s
                    backoff_s = BACKOFF_S if lived_s > LONG_S else backoff_s
                    LOG.error("ExaBGP ended; it is started again in %.1f s", backoff_s)
                    await self._clock.sleep_until(self._clock.monotonic() + backoff_s)
                    backoff_s = min(backoff_s * 2, BACKOFF_MOST_S)
                    self._counts["restarts"] += 1
                began_s = self._clock.monotonic()
                self._start()
            await self._clock.sleep_until(self._clock.monotonic() + LOOK_S)

    async def stop(self) -> None:
        """End it, which ends its sessions: neighbours forget what it announced."""
        await asyncio.to_thread(self._instance.stop, NAME)
        self._reap()

    async def _configure(self) -> None:
        """Write the configuration; one that runs with another is ended."""
        with contextlib.suppress(OSError):
            if self._file.read_text() == self._text:
                return
        await self.stop()
        self._file.touch(mode=0o600)
        self._file.chmod(0o600)
        self._file.write_text(self._text)

    def _start(self) -> None:
        # a session and process group of its own: what ends the brain does not end it
        command = ["setsid", sys.executable, "-P", "-m", "exabgp", "server", str(self._file)]
        environment = {
            "exabgp_api_ack": "true",
            "exabgp_api_cli": "false",
            "exabgp_daemon_drop": "false",
            "exabgp_log_level": "WARNING",
        }
        try:
            self._process = self._instance.start_once(NAME, command, environment=environment)
        except InstanceError as error:
            self._counts["not_started"] += 1
            LOG.error("%s", error)

    def _reap(self) -> None:
        if self._process is not None:
            self._process.poll()

"""The ways from the outside in: names and prefixes that follow plans, and what neighbours say."""

import asyncio
import contextlib
import logging
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bus import Clock, Instance
from controller.act.bgp import (
    AllowList,
    BgpChannel,
    Damping,
    Learned,
    Neighbour,
    Prefix,
    Speaker,
    Speaking,
)
from controller.act.dns import (
    DnsChannel,
    DnsError,
    Name,
    NameServer,
    PowerDnsServer,
    Rfc2136Server,
    read_secret,
    read_tsig_key,
)
from controller.act.remap import Care, Channel, Ramp, RemapAgent, by_location
from controller.act.remap.agent import Measure
from controller.config import Config
from controller.config_outside import Dns, DnsServer
from controller.errors import ConfigError
from controller.state import ExternalPath, Plan, Service

LOG = logging.getLogger("foresteer.outside")
GUARD = Path(__file__).parent / "act" / "dns" / "guard.py"


class Outside:
    """Brings names and prefixes to plans; without any declared it does nothing.

    ``measure``: how a service's new connections are spread at present, where that is known.
    """

    def __init__(
        self, config: Config, instance: Instance, clock: Clock, measure: Measure | None = None
    ) -> None:
        self._config = config
        self._instance = instance
        self._clock = clock
        self._measure = measure
        self.dns_counts: Counter[str] = Counter()
        self.bgp_counts: Counter[str] = Counter()
        self._names: list[DnsChannel] = []
        self._speaker: Speaker | None = None
        self._agent: RemapAgent | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Read the secrets, start the speaker, and begin to follow.

        Raises:
            ConfigError: a secret cannot be used.
        """
        channels: dict[str, list[Channel]] = defaultdict(list)
        self._names = dns_channels(self._config.dns, self.dns_counts)
        for name in self._names:
            channels[name.declared.service].append(name)
        if self._config.bgp.neighbours:
            neighbours = self._neighbours()
            self._speaker = self._bgp_speaker(neighbours)
            for declared in self._config.bgp.prefixes:
                prefix = Prefix(**declared.model_dump())
                channels[prefix.service].append(BgpChannel(prefix, neighbours, self._speaker))
            await self._speaker.start()
        if not channels:
            return
        asked = self._config.shifting
        self._agent = RemapAgent(
            channels,
            Ramp(asked.step, asked.interval_s, asked.retries),
            self._clock,
            care=Care(asked.least, asked.hold_off_s, asked.slack, asked.verify_s),
            measure=self._measure,
        )
        await self._agent.start()

    async def take(self, plan: Plan, services: Iterable[Service]) -> None:
        """Follow a plan from now on; it does not wait for that."""
        if self._agent is None:
            return
        if self._names and self._config.dns.on_loss == "withdraw" and self._guard is None:
            self._start_guard()
        self._agent.take(by_location(plan.services, services))

    def pause(self) -> None:
        """Change nothing until the next plan: the brain may not act."""
        if self._agent is not None:
            self._agent.pause()

    async def close(self) -> None:
        """Leave names and prefixes as they are, or withdraw them, as is configured."""
        if self._agent is not None:
            await self._agent.close()
        if self._guard is not None and self._guard.stdin is not None:
            # a word: we leave in order, and withdraw ourselves
            with contextlib.suppress(OSError):
                self._guard.stdin.write(b"bye\n")
                self._guard.stdin.close()
            await asyncio.to_thread(self._guard.wait)
            await withdraw_names(self._config.dns, self._names)
        if self._speaker is not None:
            await self._speaker.close()

    def external(self) -> tuple[ExternalPath, ...]:
        """Return what the neighbouring networks announce."""
        return () if self._speaker is None else self._speaker.paths()

    def status(self) -> Mapping[str, Any]:
        """Return how things stand; empty where nothing is declared."""
        found: dict[str, Any] = {}
        if self._agent is not None:
            found["shifts"] = self._agent.status()
        if self._names:
            found["dns"] = {"names": len(self._names), "counts": dict(self.dns_counts)}
        if self._speaker is not None:
            found["bgp"] = self._speaker.status()
        return found

    def _start_guard(self) -> None:
        """Start what withdraws names should this process die."""
        file = self._instance.directory / "dns-guard"
        try:
            with (self._instance.directory / "logs" / "dns-guard.log").open("ab") as log:
                self._guard = subprocess.Popen(
                    [sys.executable, "-P", str(GUARD), str(file), str(self._config.dns.loss_s)],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError as error:
            raise ConfigError(f"names could not be withdrawn on loss: {error}") from error
        if self._guard.stdin is not None:
            self._guard.stdin.write(self._config.dns.model_dump_json().encode() + b"\n")
            self._guard.stdin.flush()

    def _neighbours(self) -> tuple[Neighbour, ...]:
        return tuple(
            Neighbour(
                one.address,
                one.local_address,
                one.peer_as,
                one.location,
                one.hold_time_s,
                _password(one.password_file) if one.password_file else "",
            )
            for one in self._config.bgp.neighbours
        )

    def _bgp_speaker(self, neighbours: tuple[Neighbour, ...]) -> Speaker:
        asked = self._config.bgp
        allow = AllowList(asked.allow, {4: asked.longest_v4, 6: asked.longest_v6})
        learned = Learned(
            {one.address: one.location for one in neighbours},
            allow.ours,
            Damping(asked.half_life_s, asked.suppress, asked.reuse),
            self.bgp_counts,
        )
        speaking = Speaking(
            asked.local_as,
            asked.router_id,
            neighbours,
            asked.on_loss,
            asked.loss_s,
            asked.graceful_restart_s,
        )
        return Speaker(
            self._instance,
            speaking,
            allow,
            learned,
            self._clock,
            self.bgp_counts,
            owners=(one.service for one in asked.prefixes),
        )


def dns_channels(asked: Dns, counts: Counter[str]) -> list[DnsChannel]:
    """Return a channel per declared name.

    Raises:
        ConfigError: a secret cannot be used.
    """
    servers = {one.name: _name_server(one) for one in asked.servers} if asked.names else {}
    return [
        DnsChannel(
            Name(one.service, one.name, one.addresses, one.ttl_s),
            [servers[server.name] for server in asked.servers_of(one)],
            counts,
        )
        for one in asked.names
    ]


async def withdraw_names(asked: Dns, channels: Iterable[DnsChannel] | None = None) -> None:
    """Put every name's resting answer back; what cannot be is said."""
    if channels is None:
        channels = dns_channels(asked, Counter())
    rest = {one.name: one.rest for one in asked.names}
    jobs = (channel.withdraw(rest[channel.declared.name]) for channel in channels)
    for error in await asyncio.gather(*jobs, return_exceptions=True):
        if isinstance(error, DnsError):
            LOG.error("not withdrawn: %s", error)
        elif isinstance(error, BaseException):
            raise error


def _password(path: Path) -> str:
    text = read_secret(path)
    # it stands in quotes in ExaBGP's file, and the kernel takes 80 bytes (RFC 2385)
    if (
        not text.isascii()
        or not text.isprintable()
        or set(text) & set("\"';{}\\")
        or len(text) > 80
    ):
        raise ConfigError(f"{path} must hold at most 80 letters, digits and plain signs")
    return text


def _name_server(asked: DnsServer) -> NameServer:
    if asked.driver == "powerdns":
        return PowerDnsServer(
            asked.name,
            asked.zone,
            read_secret(asked.key_file),
            url=asked.url or "",
            how=asked.how,
            timeout_s=asked.timeout_s,
        )
    return Rfc2136Server(
        asked.name,
        asked.zone,
        read_tsig_key(asked.key_file),
        address=asked.address or "",
        port=asked.port,
        timeout_s=asked.timeout_s,
        slots=asked.records,
    )

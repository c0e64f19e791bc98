"""The engine agent: one per machine, it holds the engines there to what the brain wants.

Packets flow without it: programs, maps and links are pinned, and an agent that starts again opens
the pins and goes on from what the kernel has.
"""

import asyncio
import contextlib
import json
import logging
import signal
import socket
import subprocess
import time
from collections import Counter
from pathlib import Path

import numpy as np

from bus import Bus, BusError, Instance, derive_key, logs
from bus.keys import tag_key
from bus.subjects import AGENT_STATUS, INVENTORY, agent_apply, agent_counters, agent_shadows
from dataplane import loader
from dataplane.connections import Connections, Known
from dataplane.desired import RefusedError, State, mac_bytes, prefix_of, service_of
from dataplane.errors import AttachError, BpfError, DataplaneError
from dataplane.handshakes import HandshakeMeter
from dataplane.keys import write_keys
from dataplane.liveness import PERIOD_S as ECHO_PERIOD_S
from dataplane.liveness import Liveness
from dataplane.maps import (
    CLASS_DEMAND_KEY,
    REASON_SLOTS,
    REASONS,
    Maps,
    open_maps,
    read_counters,
)
from dataplane.measuring import Measuring, is_measured
from dataplane.ports import Attached, attach_engine, detach_engine
from dataplane.replication import Replication
from headers.files.network import Network, load_network, network_to_dict
from headers.messages import (
    AgentStatus,
    ApplyEngines,
    AssignShadows,
    Backend,
    CircuitCounter,
    CounterReport,
    CounterRequest,
    DemandCounter,
    EngineApplied,
    ServiceCounter,
    ShadowsAssigned,
)

LOG = logging.getLogger("foresteer.agent")
VERSION = "0.2.0"
ROUTER_MAC = "02:f0:00:00:00:01"
STATUS_PERIOD_S = 1.0
WATCH_PERIOD_S = 0.1
EVENTS_PERIOD_S = 0.002
"""How often events are read while connections are replicated."""
RATE_S = 0.5  # two looks at a counter are at least so far apart
WRONG_TAGS_PER_S = 10.0
"""More than this many packets with a wrong tag in a second are an alarm."""


class Rate:
    """How fast a counter grows, between two looks at it that are some time apart."""

    def __init__(self, apart_s: float = RATE_S) -> None:
        self._apart_s = apart_s
        self._last: tuple[int, float] | None = None
        self._rate = 0.0

    def per_s(self, value: int, now_s: float) -> float:
        """Return the growth per second since the last look; 0 at the first.

        Whoever asks again at once, be it somebody else, gets the same answer: a rate over an
        instant would be nothing or anything.
        """
        if self._last is None:
            self._last = (value, now_s)
        elif now_s - self._last[1] >= self._apart_s:
            self._rate = max(0, value - self._last[0]) / (now_s - self._last[1])
            self._last = (value, now_s)
        return self._rate


class Agent:
    """Serves the engines of a network file that are on this machine.

    ``loading``: the process that pins the programs, where they are not pinned yet.
    """

    def __init__(
        self,
        instance: Instance,
        network: Network,
        pins: Path,
        name: str,
        loading: "subprocess.Popen[str] | None" = None,
    ) -> None:
        self.instance = instance
        self._loading = loading
        self.network = network
        self.pins = pins
        self.name = name
        self.started_s = time.monotonic()
        self.refused: Counter[str] = Counter()
        self.engines: dict[int, Attached] = {}
        self.maps: Maps | None = None
        self.state: State | None = None
        self.connections: Connections | None = None
        self.liveness: Liveness | None = None
        self.measuring: Measuring | None = None
        self.replication: Replication | None = None
        self.handshakes = HandshakeMeter()
        self.backends: dict[int, Backend] = {}
        self.epoch = 0
        self.forecast = 0
        self.wrong_tags = Rate()
        self._key = b""

    def load(self) -> None:
        """Load the programs, attach the engines, open the maps.

        Raises:
            DataplaneError: in words, what is missing.
        """
        loader.finish_load(self._loading)
        self.maps = open_maps(self.pins)
        for location in self.network.locations:
            if location.engine.agent not in {"", self.name}:
                continue
            try:
                self.engines[location.engine.number] = attach_engine(
                    location.engine,
                    self.maps,
                    self.pins,
                    max_frame=self.network.max_frame,
                    router_mac=mac_bytes(ROUTER_MAC),
                    drop_refused=self.network.drop_refused,
                )
            except AttachError as error:
                self.refused["attach"] += 1
                print(f"engine {location.engine.name}: {error}", flush=True)
        if not self.engines:
            raise DataplaneError("no engine of the network could be attached")
        self.state = State(self.maps, self.engines)
        self.connections = Connections(self.maps)
        self.liveness = Liveness(
            self.engines,
            lambda engine, down: self._state().mark_down(engine, down=down),
            mac_bytes(ROUTER_MAC),
        )
        self.measuring = Measuring(self.liveness.transmit, mac_bytes(ROUTER_MAC))
        self.replication = Replication(
            self.name, self.network, self.engines, self.maps, self.instance.secret(),
            self.state,
        )  # fmt: skip
        self.connections.followers.append(self.replication)
        # what the kernel marks with is what goes on: an agent that starts again changes no epoch
        self._use_epoch(self.state.epoch())
        seed = derive_key(self.instance.secret(), "flow-hash", 0, 8)
        self.state.set_seed(int.from_bytes(seed, "little"))

    def _state(self) -> State:
        if self.state is None:
            raise DataplaneError("the engines are not loaded")
        return self.state

    def _use_epoch(self, epoch: int) -> None:
        """Have the keys around an epoch valid, before anything is marked with it."""
        if self.maps is None:
            raise DataplaneError("the engines are not loaded")
        secret = self.instance.secret()
        customers = {
            number for attached in self.engines.values() for _, number in attached.engine.customers
        }
        done = write_keys(self.maps, secret, epoch, customers)
        if done.removed:
            self._state().renew()
        self.epoch = epoch & 0xFF
        self._key = tag_key(secret, self.epoch)

    def detach(self) -> None:
        """Take everything off again."""
        if self.maps is not None:
            for attached in self.engines.values():
                detach_engine(attached, self.maps, self.pins)

    async def apply(self, wanted: ApplyEngines) -> EngineApplied:
        """Hold the engines to a state, and say what it took."""
        state = self._state()
        before = self.epoch
        try:
            state.check(wanted)
            if wanted.epoch & 0xFF != self.epoch:
                self._use_epoch(wanted.epoch)
            done = state.apply(wanted)
        except RefusedError as error:
            if self.epoch != before:
                self._use_epoch(before)
            self.refused["apply"] += 1
            LOG.warning("%s: refused: %s", logs.decision_id(wanted.term, wanted.generation), error)
            return EngineApplied(wanted.generation, 0, 0, 0, 0, str(error))
        LOG.log(
            logging.INFO if done.written or done.removed else logging.DEBUG,
            "%s: %d entries written, %d removed, %d buckets moved, %d mismatches",
            logs.decision_id(wanted.term, wanted.generation),
            done.written,
            done.removed,
            done.moved_buckets,
            done.mismatches,
        )
        self.forecast = wanted.forecast & 0xFFFFFF
        if self.liveness is not None:
            self.liveness.watch(probe for probe in wanted.probes if probe.engine in self.engines)
        if self.measuring is not None:
            self.measuring.use(probe for probe in wanted.measured if probe.engine in self.engines)
        self.backends = {backend.number: backend for backend in wanted.backends}
        if self.replication is not None:
            self.replication.applied()
        return EngineApplied(
            wanted.generation, done.written, done.removed, done.moved_buckets, done.mismatches
        )

    async def assign(self, wanted: AssignShadows) -> ShadowsAssigned:
        """Take who is whose shadow, and say how much of it was news."""
        if self.replication is None:
            raise DataplaneError("the engines are not loaded")
        try:
            return ShadowsAssigned(wanted.generation, self.replication.assign(wanted))
        except (DataplaneError, ValueError) as error:
            self.refused["shadows"] += 1
            return ShadowsAssigned(wanted.generation, 0, str(error))

    async def counters(self, _request: CounterRequest) -> CounterReport:
        """Read all counters."""
        state = self._state()
        if self.maps is None:
            raise DataplaneError("the engines are not loaded")
        demands = read_counters(self.maps.demand_counters)
        at = time.monotonic()
        reasons = read_counters(self.maps.reason_counters)
        rows, services = [], []
        slots = state.slots()
        prefixes = {slot: key for (kind, key), slot in slots.items() if kind == "prefix"}
        for (kind, key), slot in slots.items():
            packets, size = (int(x) for x in demands[slot])
            if kind == "prefix":
                rows.append(DemandCounter(*prefix_of(key), packets, size))
            elif kind == "class":
                base, number = CLASS_DEMAND_KEY.unpack(key)
                if base in prefixes:
                    engine, prefix = prefix_of(prefixes[base])
                    rows.append(DemandCounter(engine, prefix, packets, size, number))
            elif kind == "service":
                services.append(ServiceCounter(*service_of(key), packets, size))
        circuits = read_counters(self.maps.circuit_counters)
        applications = read_counters(self.maps.class_counters)
        return CounterReport(
            self.name,
            at,
            state.generation,
            tuple(rows),
            self._reasons(reasons.tolist()),
            tuple(services),
            tuple(
                CircuitCounter(int(n), int(circuits[n, 0]), int(circuits[n, 1]))
                for n in np.nonzero(circuits[:, 0])[0]
            ),
            {
                int(n): (int(applications[n, 0]), int(applications[n, 1]))
                for n in np.nonzero(applications[:, 0])[0]
            },
        )

    def _reasons(self, table: list[list[int]]) -> dict[int, dict[str, int]]:
        return {
            number: {
                name: table[number * REASON_SLOTS + position][0]
                for position, name in enumerate(REASONS)
                if table[number * REASON_SLOTS + position][0]
            }
            for number in self.engines
        }

    def status(self) -> AgentStatus:
        """Return what the agent says of itself every second."""
        state = self.state
        known = self.connections.known if self.connections else Known()
        totals = self._totals()
        rate = self.wrong_tags.per_s(totals["tag"], time.monotonic())
        alarms = []
        if rate > WRONG_TAGS_PER_S:
            alarms.append(f"{rate:.0f} packets/s carry a wrong tag")
        if self.liveness:
            alarms += [f"engine {n} does not answer" for n in sorted(self.liveness.down)]
        if self.replication and self.replication.problem:
            alarms.append(self.replication.problem)
        return AgentStatus(
            self.name,
            tuple(self.engines),
            state.term if state else 0,
            state.generation if state else 0,
            self.started_s,
            VERSION,
            dict(self.refused + self._measured_counts() + self._replication_counts()),
            loader.present_version(self.pins) or "",
            self.epoch,
            known.held,
            known.opened + known.closed,
            totals["event_lost"],
            rate,
            tuple(alarms),
            self.liveness.reports() if self.liveness else (),
            self.measuring.results() if self.measuring else (),
            self.handshakes.report(self.backends),
            self.replication.reports() if self.replication else (),
            self.maps.connections.entries if self.maps else 0,
        )

    def _replication_counts(self) -> Counter[str]:
        return self.replication.refused() if self.replication else Counter()

    def _measured_counts(self) -> Counter[str]:
        """Return what of measuring was refused or did not fit."""
        counts = self.measuring.counts if self.measuring else Counter[str]()
        names = ("too_many_clients", "unknown_backend")
        return Counter({"echo_unasked": counts["unasked"]}) + Counter(
            {name: self.handshakes.counts[name] for name in names}
        )

    def _totals(self) -> dict[str, int]:
        """Return what was counted by reason, over all engines of this machine."""
        if self.maps is None:
            return dict.fromkeys(REASONS, 0)
        table = read_counters(self.maps.reason_counters)[:, 0].reshape(-1, REASON_SLOTS)
        sums = table[list(self.engines)].sum(axis=0)
        return {name: int(sums[position]) for position, name in enumerate(REASONS)}

    async def watch(self, stop: asyncio.Event) -> None:
        """Read events, sweep connections, send echoes and judge them, until told to stop.

        While connections are replicated, events are read as they come.
        """
        watch_s = echo_s = wanted_s = time.monotonic()
        while not stop.is_set():
            now_s = time.monotonic()
            try:
                self._read_events()
                self._judge(now_s, now_s - wanted_s)
                if now_s >= echo_s:
                    echo_s = now_s + ECHO_PERIOD_S
                    self._send_echoes()
                if now_s >= watch_s:
                    watch_s = now_s + WATCH_PERIOD_S
                    self._watch_once(now_s)
            except (BpfError, OSError) as error:
                self.refused["watch"] += 1
                print(f"agent: {error}", flush=True)
                # what fails at once must not be tried all the time
                watch_s = echo_s = time.monotonic() + WATCH_PERIOD_S
            now_s = time.monotonic()
            wanted_s = max(now_s, min(watch_s, echo_s, self._echo_due_s()))
            if self.replication is not None and self.replication.active:
                wanted_s = min(wanted_s, now_s + EVENTS_PERIOD_S)
                await asyncio.sleep(wanted_s - now_s)
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), wanted_s - now_s)

    def _read_events(self) -> None:
        """Take what the programs told: of connections, and of echoes that came back."""
        if self.connections is None or self.liveness is None or self.measuring is None:
            return
        events, echoes = self.connections.read_events()
        if len(events):
            self.handshakes.take(events)
            if self.replication is not None:
                self.replication.take_events(events)
        if len(echoes):
            measured = is_measured(echoes)
            self.measuring.received(echoes[measured])
            self.liveness.received(echoes[~measured])

    def _send_echoes(self) -> None:
        if self.liveness is not None:
            self.liveness.send(self._key, self.epoch, self.forecast)

    def _judge(self, now_s: float, late_s: float) -> None:
        if self.liveness is not None:
            self.liveness.judge(now_s, late_s)

    def _echo_due_s(self) -> float:
        return self.liveness.due_s() if self.liveness is not None else float("inf")

    def _watch_once(self, now_s: float) -> None:
        if self.connections is None or self.measuring is None:
            return
        self.connections.sweep()
        self.measuring.send(self._key, self.epoch, self.forecast, time.monotonic())
        if self.replication is not None:
            self.replication.look_after(now_s)

    async def serve(self, stop: asyncio.Event) -> None:
        """Speak to the brain until told to stop; the bus may come and go."""
        bus = await Bus.connect(self.instance.bus_address(), f"agent {self.name}", timeout_s=60)
        await bus.subscribe(agent_apply(self.name), self.apply)
        await bus.subscribe(agent_counters(self.name), self.counters)
        await bus.subscribe(agent_shadows(self.name), self.assign)
        watching = asyncio.create_task(self.watch(stop))
        told = False
        while not stop.is_set():
            if not told:
                told = await self._tell_inventory(bus)
            await bus.publish(AGENT_STATUS, self.status())
            try:
                await asyncio.wait_for(stop.wait(), STATUS_PERIOD_S)
            except TimeoutError:
                continue
        await watching
        await bus.close()

    async def _tell_inventory(self, bus: Bus) -> bool:
        """Put the network file where the brain finds it; return whether that worked."""
        content = json.dumps(network_to_dict(self.network)).encode()
        try:
            await bus.put(INVENTORY, content)
        except BusError:
            return False
        return True


async def _main(
    instance: Instance,
    network_file: Path,
    pins: Path,
    name: str,
    *,
    keep: bool,
    loading: "subprocess.Popen[str] | None",
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    agent = Agent(instance, load_network(network_file), pins, name, loading)
    agent.load()
    print(f"{len(agent.engines)} engines attached", flush=True)
    try:
        await agent.serve(stop)
    finally:
        if not keep:
            agent.detach()


def run(
    instance: Instance,
    network_file: Path,
    pins: Path,
    name: str = "",
    *,
    keep: bool = True,
    loading: "subprocess.Popen[str] | None" = None,
) -> None:
    """Be the agent until a signal; with ``keep`` the programs stay when it ends.

    ``loading``: the process that was started to pin the programs (``loader.start_load``).

    Raises:
        DataplaneError: the engines cannot be attached.
        BusError: the bus does not answer.
        FileError: the network file is wrong.
    """
    logs.set_up()
    name = name or socket.gethostname()
    asyncio.run(_main(instance, network_file, pins, name, keep=keep, loading=loading))

"""The demo, inside its namespaces: ``python -m topologies.lab.demo SETTINGS_FILE``.

Brings the network up, replays the matrices while the loop runs, and leaves what was measured in
the run's directory for ``foresteer score``.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bus import Bus, BusError, Instance, InstanceError
from bus.instance import ENVIRONMENT
from bus.subjects import agent_counters
from headers.errors import FormatError
from headers.files import TrafficMatrices, load_matrices, load_topology, save_matrices
from headers.messages import CounterReport, CounterRequest
from topologies.errors import LabError, TopologyError
from topologies.fabric import FabricTopo
from topologies.lab.namespaces import loopback_up, when_left_alone
from topologies.lab.network import LabNetwork
from topologies.lab.replay import FRAME, Replay
from topologies.lab.scenario import STEERING_BYTES, Scenario, prepare
from topologies.lab.supervisor import Supervisor

ROUTER_MAC = "02:f0:00:00:00:01"
START_S = 1.0
NICENESS, GROUP_NICENESS = -5, -15  # what else runs should not show in the figures


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """What the demo was asked for; written by the command, read in the namespaces."""

    directory: str
    topology: str
    matrices: str
    count: int
    tick_s: float
    rate_mbps: float
    equal: bool
    keep: bool
    page: str
    label: str
    data: str
    delay: bool = True


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def link_rates(topo: FabricTopo) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Return [L]: the emulated links' rates in bit/s, in the order of the topology's links."""
    return np.array([topo.rate_bps[link] for link in topo.topology.links])


def write_history(scenario: Scenario, path: Path) -> None:
    """Give the brain the day before, as if it had measured it itself."""
    count = len(scenario.history_bps)
    if count:
        times = (np.arange(count) * int(scenario.data_step_s)).astype(np.int64)
        save_matrices(
            TrafficMatrices(
                "history",
                scenario.topology.names,
                times,
                scenario.history_bps / 1e6,
                scenario.synthetic,
            ),
            path,
        )


async def _delivered(instance: Instance, agent: str) -> int:
    bus = await Bus.connect(instance.bus_address(), "demo", timeout_s=5)
    try:
        report = await bus.request(agent_counters(agent), CounterRequest(), timeout_s=3)
    finally:
        await bus.close()
    if not isinstance(report, CounterReport):
        raise BusError("the agent's counters are of another kind")
    return sum(reasons.get("delivered", 0) for reasons in report.reasons.values())


def delivered(instance: Instance) -> int:
    """Return how many packets the engines delivered from circuits so far.

    Raises:
        BusError: the agent does not answer.
    """
    return asyncio.run(_delivered(instance, os.uname().nodename))


class Demo:
    """One run of the demo."""

    def __init__(self, settings: DemoSettings) -> None:
        self.settings = settings
        self.directory = Path(settings.directory)
        self.instance = Instance(self.directory / "instance")
        os.environ[ENVIRONMENT] = str(self.instance.directory)
        self.supervisor = Supervisor(self.instance, say)
        self.network: LabNetwork | None = None
        self.began_s = time.monotonic()

    def prepare(self) -> tuple[FabricTopo, Scenario]:
        """Scale the traffic to the network and tell the brain how time runs."""
        settings = self.settings
        topology = load_topology(Path(settings.topology))
        matrices = load_matrices(Path(settings.matrices))
        topo = FabricTopo(
            topology,
            settings.rate_mbps,
            equal=settings.equal,
            synthetic=matrices.synthetic,
            delay=settings.delay,
        )
        scenario = prepare(topology, matrices, settings.count, link_rates(topo), frame=FRAME)
        write_history(scenario, self.instance.directory / "history.npz")
        (self.instance.directory / "config.yaml").write_text(
            f"tick_s: {settings.tick_s}\ndata_step_s: {scenario.data_step_s}\nhold: true\n"
            # the demo shows the model as it is shipped, and every run the same
            "learning: {enabled: false}\n"
        )
        return topo, scenario

    def run(self) -> int:
        """Run the demo; return the exit status."""
        settings = self.settings
        topo, scenario = self.prepare()
        offered = scenario.wire_bps.sum(axis=(1, 2)).max() / 1e6
        say(
            f"{settings.label}: {settings.count} matrices of {scenario.data_step_s:g} s, one every"
            f" {settings.tick_s:g} s; at most {offered:.1f} Mb/s offered"
        )
        say(topo.about_rates())
        say("starting: bus, brain, southbound, Open vSwitch, engines, hosts ...")
        self.network = LabNetwork(self.instance, topo, self.supervisor)
        self.network.start()
        say(
            f"ready after {time.monotonic() - self.began_s:.1f} s: {len(topo.topology.nodes)}"
            f" locations, {len(topo.topology.links)} links; {topo.about_delay()}"
        )
        replay = Replay(
            self.directory,
            self.network.hosts(),
            scenario.packets_per_s,
            router_mac=ROUTER_MAC,
            step_s=settings.tick_s,
        )
        origin = time.monotonic() + START_S
        before = delivered(self.instance)
        # the brain's ticks and the replay's intervals begin together
        self.instance.save_settings({**self.instance.settings(), "origin_s": origin})
        starts: Callable[[], Any] = lambda: self.instance.start_once(  # noqa: E731
            "replay", replay.command
        )
        replay.start_at(origin)
        starts()
        self.follow(replay, origin, starts)
        after = delivered(self.instance)
        self.save(replay, scenario, after - before)
        done = subprocess.run(
            [sys.executable, "-m", "controller.cli", "score", str(self.directory)], check=False
        )
        if settings.keep:
            say(f"kept running: page at {settings.page}, Ctrl-C ends it")
            threading.Event().wait()
        return done.returncode

    def follow(self, replay: Replay, origin: float, start: Callable[[], Any]) -> None:
        """Print a line per tick until the last interval is over and its tick is done."""
        settings = self.settings
        last = -1
        end = origin + settings.count * settings.tick_s
        while True:
            state = self.instance.state()
            tick = state.get("tick")
            if isinstance(tick, int) and tick > last:
                last = tick
                self._line(replay, tick, state)
            now = time.monotonic()
            if (now > end + 1.2 and last >= settings.count) or now > end + 10:
                return
            if now < end:
                start()  # unless it runs: a replayer that died goes on where the clock is
            time.sleep(0.05)

    def _line(self, replay: Replay, tick: int, state: dict[str, Any]) -> None:
        if not 0 < tick <= self.settings.count:
            return
        sent = replay.counts("sent")[tick - 1].sum()
        received = replay.counts("received")[tick - 1].sum()
        rate = sent * (FRAME + STEERING_BYTES) * 8 / self.settings.tick_s / 1e6
        say(
            f"tick {tick:3d}/{self.settings.count}  offered {rate:6.1f} Mb/s"
            f"  arrived {100 * received / max(sent, 1):5.1f} %"
            f"  forecast: worst link {100 * state.get('max_utilisation', 0):3.0f} %"
            f"  moved {state.get('moved_buckets', 0):5d} buckets"
            f"  decided in {state.get('decide_ms', 0):3.0f} ms"
        )

    def save(self, replay: Replay, scenario: Scenario, steered: int) -> None:
        """Leave what the replay counted for the scoring."""
        settings = self.settings
        wire = self.network.topo.cabling.wire if self.network else None
        np.savez_compressed(
            self.directory / "replay.npz",
            sent=replay.counts("sent"),
            received=replay.counts("received"),
            reordered=replay.counts("reordered"),
            delay_ns=replay.counts("delay_ns"),
            delay_max_ns=replay.counts("delay_max_ns"),
            nodes=np.array(scenario.topology.names),
        )
        (self.directory / "replay.json").write_text(
            json.dumps(
                {
                    "data": {
                        "name": settings.data,
                        "synthetic": scenario.synthetic,
                        "step_s": scenario.data_step_s,
                    },
                    "tick_s": settings.tick_s,
                    "intervals": settings.count,
                    "wire_bytes": FRAME + STEERING_BYTES,
                    "steered_packets": steered,
                    "restarts": self.supervisor.restarts,
                    "wire": wire.totals() if wire else {},
                },
                indent=1,
            )
        )

    def stop(self) -> None:
        """End what runs."""
        self.supervisor.stop()


def raise_priority() -> None:
    """Go before what else runs on the machine, unless that was asked for already.

    Where the kernel groups processes by session, niceness counts within a group only: the group has
    one of its own.
    """
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, min(mine, NICENESS))
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(GROUP_NICENESS))


def _interrupt(winding_up: threading.Event, again_s: float = 1.0) -> None:
    """Interrupt ourselves until that is heard: a destructor or a callback may swallow it."""
    os.kill(os.getpid(), signal.SIGINT)
    while not winding_up.wait(again_s):
        os.kill(os.getpid(), signal.SIGINT)


def main() -> int:
    """Be the demo inside its namespaces."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    settings = DemoSettings(**json.loads(Path(sys.argv[1]).read_text()))
    demo: Demo | None = None
    winding_up = threading.Event()
    try:
        when_left_alone(lambda: _interrupt(winding_up))
        loopback_up()
        raise_priority()
        demo = Demo(settings)
        return demo.run()
    except KeyboardInterrupt:
        winding_up.set()
        say("interrupted: winding up")
        return 130
    except (LabError, TopologyError, FormatError, InstanceError, BusError) as error:
        say(f"error: {error}")
        return 1
    finally:
        winding_up.set()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if demo is not None:
            demo.stop()


def write_settings(settings: DemoSettings, path: Path) -> None:
    """Write the settings for the process inside."""
    path.write_text(json.dumps(asdict(settings), indent=1))


if __name__ == "__main__":
    sys.exit(main())

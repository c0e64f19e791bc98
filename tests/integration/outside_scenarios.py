"""Plans to names and prefixes at once, through Outside as the brain uses it; see names_lab."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from bus import Instance, SystemClock
from controller.config import Config, load_config
from controller.outside import Outside
from controller.state import Instance as Place
from controller.state import Plan, Service, ServiceSplit
from tests.integration.bgp_routers import BIRD, FRR, INNER_FRR, OUR_BIRD, OUR_FRR, via
from tests.integration.bgp_scenarios import chosen, network
from tests.integration.dns_scenarios import EAST, WEST, WWW
from tests.integration.dns_servers import BIND, Bind, ask
from tests.integration.names_lab import ZONE, Servers, until

ROOT = Path(__file__).resolve().parents[2]
SERVICES = (
    Service("web", "203.0.113.10", 6, 80, (Place("e1", "east", "10.9.0.1"),
            Place("w1", "west", "10.9.1.1"))),
)  # fmt: skip


def plan(east: float) -> Plan:
    """A plan of which only the services matter."""
    splits = tuple(
        ServiceSplit("web", source, ("e1", "w1"), (east, 1 - east), ()) for source in ("a", "b")
    )
    return Plan(1, 1, 1, (), (), {}, {}, 0.0, "test", "", services=splits)


def written(servers: Servers, bind: Bind, *, bgp: bool, on_loss: str) -> Config:
    """Return the configuration of a file as an operator would write it."""
    text = f"""
shifting: {{step: 0.25, interval_s: 0.3, least: 0.01, verify_s: 0.5, hold_off_s: 0.5}}
dns:
  on_loss: {on_loss}
  loss_s: 0.5
  servers:
    - {{name: bind, zone: {ZONE}, key_file: {bind.key_file}, address: 127.0.0.1, port: {BIND},
       timeout_s: 0.3}}
  names:
    - service: web
      name: {WWW}
      ttl_s: 5
      addresses: {{east: [{", ".join(EAST)}], west: [{", ".join(WEST)}]}}
      rest: {{east: 1}}
"""
    if bgp:
        text += f"""
bgp:
  local_as: 65000
  router_id: {OUR_BIRD}
  allow: [203.0.113.0/24]
  on_loss: withdraw
  neighbours:
    - {{address: {BIRD}, local_address: {OUR_BIRD}, peer_as: 65010, location: east}}
    - {{address: {FRR}, local_address: {OUR_FRR}, peer_as: 65010, location: west}}
  prefixes:
    - {{service: web, prefix: 203.0.113.0/24}}
"""
    path = servers.directory / "config.yaml"
    path.write_text(text)
    return load_config(path)


def share_of_east() -> float:
    answer = ask(BIND, WWW)
    return sum(one in EAST for one in answer) / len(answer) if answer else -1.0


async def followed(servers: Servers) -> dict[str, Any]:
    """Shift a service by its name and its prefix; roll back when a server fails midway."""
    await network(servers)
    bind = Bind(servers)
    await bind.start()
    instance = Instance(servers.directory / "instance")
    outside = Outside(written(servers, bind, bgp=True, on_loss="hold"), instance, SystemClock())
    await outside.start()
    await until(lambda: all(outside.status()["bgp"]["sessions"].values()), "sessions")
    await until(lambda: len(outside.external()) == 3, "learned")
    found: dict[str, Any] = {}

    def where() -> dict[str, Any]:
        state: dict[str, Any] = outside.status()["shifts"]["services"]["web"]
        return state

    async def shifted(phase: str) -> None:
        await until(lambda: where()["phase"] == phase, phase)

    await outside.take(plan(1.0), SERVICES)
    await shifted("done")
    found["first_s"] = where()["converged_s"]
    await outside.take(plan(0.25), SERVICES)
    seen = [share_of_east()]

    def watched() -> bool:
        share = share_of_east()
        if share not in (seen[-1], -1.0):
            seen.append(share)
        return where()["phase"] == "done" and where()["wanted"] == where()["in_force"]

    await until(watched, "shifted to west")
    found["ramp"] = seen
    found["steps"] = where()["steps"]
    found["converged_s"] = where()["converged_s"]
    await chosen(INNER_FRR, OUR_FRR, "west by MED")
    # a server that fails midway: back to what was, on both ways
    await outside.take(plan(1.0), SERVICES)
    await until(lambda: where()["step"] == 1 and where()["phase"] == "settle", "first step")
    servers.stop("named", kill=True)
    await until(lambda: where()["phase"] in ("back", "rolled back", "stuck"), "going back")
    await bind.start()
    await until(lambda: where()["phase"] in ("rolled back", "stuck"), "rolled back")
    found["ended"] = where()["phase"]
    found["reason"] = where()["reason"]
    await until(lambda: share_of_east() == 0.25, "the name is back")
    await chosen(INNER_FRR, OUR_FRR, "the prefix is back")
    # later it is tried again, by itself
    await until(lambda: share_of_east() == 1.0, "tried again")
    await until(lambda: via("bird", "203.0.113.0/24") == OUR_BIRD, "the prefix follows")
    found["counts"] = outside.status()["shifts"]["counts"]
    await outside.close()
    await chosen("", "", "the prefix is withdrawn")
    found["name_held"] = share_of_east()
    return found


async def lost(servers: Servers) -> dict[str, Any]:
    """Kill a process that holds names, and see them go back to their resting answer."""
    bind = Bind(servers)
    await bind.start()
    config = written(servers, bind, bgp=False, on_loss="withdraw")
    found: dict[str, Any] = {}
    (servers.directory / "config.json").write_text(config.model_dump_json())
    for way, number in (("killed", signal.SIGKILL), ("ended", signal.SIGTERM)):
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.outside_scenarios", str(servers.directory)],
            cwd=ROOT,
        )
        await until(lambda: share_of_east() == 0.0, "all by west")
        os.kill(child.pid, number)
        child.wait(10)
        found[way] = share_of_east()
        found[f"{way}_s"] = await until(lambda: share_of_east() == 1.0, "the resting answer")
    return found


async def hold(directory: Path) -> None:
    """Be the process of ``lost``: bring the name to west, and stay until told to end."""
    config = Config.model_validate_json((directory / "config.json").read_text())
    outside = Outside(config, Instance(directory / "instance"), SystemClock())
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await outside.start()
    await outside.take(plan(0.0), SERVICES)
    await stop.wait()
    await outside.close()


if __name__ == "__main__":
    asyncio.run(hold(Path(sys.argv[1])))

"""Programs on real ports, pinned as the agent pins them, and gone within a second."""

import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from pyroute2 import IPRoute

from bus import Instance
from dataplane import syscall
from dataplane.bpffs import mount_bpffs
from dataplane.detach import detach
from dataplane.errors import DataplaneError
from dataplane.loader import PROGRAMS
from dataplane.netns import ifindex, network_namespace
from dataplane.tools_commands import detach as command
from headers.files.network import Engine, Location, Network, save_network
from tests.bpf.tools import Namespaces, drop_program, pass_program

MAP_CREATE, ARRAY = 0, 2
PORTS = ("e-eth1", "e-eth2")


@dataclass
class Site:
    """Two hosts joined by an engine: a bridge whose ports drop everything."""

    engine: int
    host: int
    instance: Instance
    pins: Path

    def programs(self) -> dict[str, int | None]:
        """Return the XDP program on each port, by netlink."""
        with network_namespace(self.engine), IPRoute() as routes:
            return {
                name: link.get_attr("IFLA_XDP").get_attr("IFLA_XDP_PROG_ID")
                for name in PORTS
                for link in routes.link("get", ifname=name)
            }

    def ping(self) -> bool:
        done = subprocess.run(
            ["nsenter", f"--net=/proc/{self.host}/ns/net", "ping", "-qc1", "-W1", "10.9.0.2"],
            capture_output=True,
            check=False,
        )
        return done.returncode == 0


def pinned(site: Site) -> list[str]:
    """Return what is pinned; the kernel keeps two files of its own there."""
    return [path.name for path in site.pins.iterdir() if "." not in path.name]


def pin_all(site: Site) -> list[int]:
    """Attach and pin as the agent does; return the links' descriptors."""
    (site.pins / "maps").mkdir()
    (site.pins / "links").mkdir()
    program, dropping = pass_program(), drop_program()
    array, _ = syscall.bpf(MAP_CREATE, struct.pack("<5I", ARRAY, 4, 4, 1, 0))
    for name in PROGRAMS:
        syscall.pin(program, site.pins / name)
    for name in ("ports", "keys"):
        syscall.pin(array, site.pins / "maps" / name)
    held = []
    with network_namespace(site.engine):
        for port in PORTS:
            held.append(syscall.attach_xdp(dropping, ifindex(port)))
            syscall.pin(held[-1], site.pins / "links" / f"e:{port}")
    for fd in (program, array, dropping):
        os.close(fd)
    return held


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("FORESTEER_INSTANCE", str(tmp_path / "instance"))
    instance = Instance.find()
    pins = instance.directory / "bpf"
    with Namespaces() as namespaces, ExitStack() as stack:
        engine, left, right = (namespaces.start() for _ in range(3))
        inside = f"nsenter --net=/proc/{engine}/ns/net "
        script = [
            "ip link add br0 type bridge",
            f"ip link add e-eth1 type veth peer name h-eth0 netns {left}",
            f"ip link add e-eth2 type veth peer name h-eth0 netns {right}",
            *(f"ip link set {port} master br0 up" for port in PORTS),
            "ip link set br0 up",
        ]
        for line in script:
            subprocess.run(inside + line, shell=True, check=True)
        # neighbours are known, so that what is measured is not when ARP tries again
        for here, there, pid in ((1, 2, left), (2, 1, right)):
            for line in (
                f"link set h-eth0 address 02:00:00:00:00:0{here} up",
                f"addr add 10.9.0.{here}/24 dev h-eth0",
                f"neigh add 10.9.0.{there} lladdr 02:00:00:00:00:0{there} dev h-eth0",
            ):
                subprocess.run(
                    f"nsenter --net=/proc/{pid}/ns/net ip {line}", shell=True, check=True
                )
        mount_bpffs(pins)
        stack.callback(subprocess.run, ["umount", str(pins)], check=True)
        yield Site(engine, left, instance, pins)


def test_everything_is_off_in_less_than_a_second_and_traffic_is_bridged(site: Site) -> None:
    for fd in pin_all(site):
        os.close(fd)
    assert all(site.programs().values())
    assert not site.ping()
    began = time.monotonic()
    result = CliRunner().invoke(command, [])
    took = time.monotonic() - began
    assert result.exit_code == 0, result.output
    assert took < 1
    assert site.programs() == dict.fromkeys(PORTS)
    assert site.ping()
    assert "e-eth1 of engine e is free" in result.output
    assert f"2 ports freed, {len(PROGRAMS) + 2} programs and maps removed" in result.output
    assert pinned(site) == []
    again = CliRunner().invoke(command, [])
    assert again.exit_code == 0
    assert "0 ports freed, 0 programs" in again.output


def test_link_that_somebody_holds_open_is_off_all_the_same(site: Site) -> None:
    held = pin_all(site)
    try:
        detach(site.pins, site.instance, dedicated=True)
        assert site.programs() == dict.fromkeys(PORTS)
    finally:
        for fd in held:
            os.close(fd)


def test_port_that_has_gone_is_no_obstacle(site: Site) -> None:
    for fd in pin_all(site):
        os.close(fd)
    subprocess.run(
        f"nsenter --net=/proc/{site.engine}/ns/net ip link del e-eth1", shell=True, check=True
    )
    done = detach(site.pins, site.instance, dedicated=True)
    assert done.links == ("e:e-eth1", "e:e-eth2")
    assert pinned(site) == []


def test_what_others_pinned_is_left_alone_and_told(site: Site) -> None:
    for fd in pin_all(site):
        os.close(fd)
    program = pass_program()
    (site.pins / "theirs").mkdir()
    for path in ("other", "theirs/one", "links/nocolon"):
        syscall.pin(program, site.pins / path)
    os.close(program)
    result = CliRunner().invoke(command, ["--pins", str(site.pins)])
    assert result.exit_code == 0, result.output
    assert "left alone: links, links/nocolon, other, theirs, theirs/one" in result.output
    assert (site.pins / "theirs/one").exists()


def test_folder_of_others_is_refused(site: Site) -> None:
    program = pass_program()
    (site.pins / "maps").mkdir()
    (site.pins / "links").mkdir()
    for path in ("maps/ports", "links/a:b"):
        syscall.pin(program, site.pins / path)
    os.close(program)
    with pytest.raises(DataplaneError, match="no program of Foresteer's: nothing was touched"):
        detach(site.pins, None, dedicated=False)
    assert (site.pins / "links/a:b").exists()


def test_without_privilege_it_says_what_to_do_and_changes_nothing(site: Site) -> None:
    for fd in pin_all(site):
        os.close(fd)
    code = (
        "import os, sys; from pathlib import Path; from dataplane.detach import detach\n"
        "from dataplane.errors import DataplaneError\n"
        "os.setuid(65534)\n"
        "try: detach(Path(sys.argv[1]), None, dedicated=True)\n"
        "except DataplaneError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(site.pins)], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip().endswith("run it as root"), done.stderr
    assert all(site.programs().values())


@pytest.mark.parametrize("alive", [True, False], ids=["alive", "killed"])
def test_real_agent_and_all_it_attached_are_gone_in_less_than_a_second(
    site: Site, tmp_path: Path, alive: bool
) -> None:
    network = tmp_path / "network.json"
    engine = Engine("e", 1, ("e-eth1",), "e-eth2", 1, site.engine)
    place = Location("A", 1, "10.9.0.0/16", "10.9.255.254", engine)
    save_network(Network("one", (place,), ()), network)
    bus = site.instance.ensure_bus()
    agent = site.instance.start_once(
        "agent", [sys.executable, "-m", "controller.cli", "engine", "--network", str(network)]
    )
    assert bus is not None
    assert agent is not None
    try:
        log = site.instance.directory / "logs" / "agent.log"
        deadline = time.monotonic() + 30
        while "engines attached" not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            assert agent.poll() is None, log.read_text()
            time.sleep(0.02)
        assert all(site.programs().values())
        if not alive:
            agent.kill()
            agent.wait()
        assert (site.pins / "maps" / "ports").exists()
        done = detach(site.pins, site.instance, dedicated=True)
        assert done.seconds < 1
        assert done.agent == (agent.pid if alive else None)
        assert not done.agent_lives
        assert {"e:e-eth1", "e:e-eth2"} <= set(done.links)
        assert done.left == ()
        assert pinned(site) == []
        assert site.programs() == dict.fromkeys(PORTS)
        assert site.ping()
    finally:
        for process in (agent, bus):
            process.kill()
            process.wait()

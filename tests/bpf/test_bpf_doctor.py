"""Faults planted on real interfaces: the doctor finds each, and its command mends it."""

import json
import os
import re
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pyroute2 import IPRoute

from dataplane import syscall
from dataplane.bpffs import mount_bpffs
from dataplane.detach import LINK_DETACH
from dataplane.netns import ifindex, network_namespace
from dataplane.tools_commands import doctor
from headers.files.network import Engine, Location, Network, save_network
from tests.bpf.tools import Namespaces, pass_program


@dataclass
class Site:
    """An engine between a host and a switch's port, each in a namespace of its own."""

    engine: int
    host: int
    network: Path
    peer: str

    def findings(self) -> dict[str, Any]:
        result = CliRunner().invoke(doctor, ["--network", str(self.network), "--json"])
        content = json.loads(result.output)
        assert result.exit_code == (0 if content["ok"] else 1)
        return {row["name"]: row for row in content["checks"]}

    def wrong(self) -> dict[str, Any]:
        """Return what is wrong with the ports."""
        return {
            name: row
            for name, row in self.findings().items()
            if ":" in name and row["status"] in ("warning", "failure")
        }


def inside(pid: int, command: str) -> None:
    subprocess.run(f"nsenter --net=/proc/{pid}/ns/net {command}", shell=True, check=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    base = tmp_path_factory.mktemp("site")
    peer = f"dr{os.getpid() % 100000}s"
    with Namespaces() as namespaces, pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORESTEER_INSTANCE", str(base / "instance"))
        engine, host = namespaces.start(), namespaces.start()
        inside(engine, f"ip link add e-eth1 type veth peer name h-eth0 netns {host}")
        inside(
            engine,
            f"ip link add e-eth2 mtu 1600 type veth peer name {peer} mtu 1600 netns {os.getpid()}",
        )
        subprocess.run(["ip", "link", "set", peer, "up"], check=True)
        for pid, name in ((engine, "e-eth1"), (engine, "e-eth2"), (host, "h-eth0")):
            inside(pid, f"ip link set {name} up")
        inside(host, "ethtool -K h-eth0 gro on tx off txvlan off")
        pins = base / "instance" / "bpf"
        mount_bpffs(pins)
        (pins / "links").mkdir()
        program = pass_program()
        for pid, port in ((None, peer), (engine, "e-eth1"), (engine, "e-eth2")):
            with network_namespace(pid):
                link = syscall.attach_xdp(program, ifindex(port))
            syscall.pin(link, pins / "links" / f"e:{port}")
            os.close(link)
        for pid, name in ((engine, "e-eth1"), (engine, "e-eth2"), (os.getpid(), peer)):
            inside(pid, f"ethtool -K {name} gro off")
        network = base / "network.json"
        place = Location(
            "A",
            1,
            "10.1.0.0/16",
            "10.1.0.254",
            Engine("e", 1, ("e-eth1",), "e-eth2", 1, engine, peer),
        )
        save_network(Network("one", (place,), ()), network)
        try:
            yield Site(engine, host, network, peer)
        finally:
            os.close(program)
            subprocess.run(["umount", str(pins)], check=True)


def test_right_site_has_nothing_wrong_with_its_ports(site: Site) -> None:
    assert site.wrong() == {}
    names = {name for name in site.findings() if ":" in name}
    assert names >= {"redirect:e-eth1", "redirect:e-eth2", "vlan:e-eth1", "checksum:e-eth1"}


FAULTS = [
    ("host", "ethtool -K h-eth0 gro off", "redirect:e-eth1", "failure"),
    ("engine", "ethtool -K e-eth1 gro on", "gro:e-eth1", "failure"),
    ("engine", "ethtool -K e-eth2 gro on", "gro:e-eth2", "failure"),
    ("engine", "ip link set e-eth2 mtu 1500", "mtu:e-eth2", "failure"),
    ("here", "ip link set {peer} mtu 1520", "mtu:{peer}", "failure"),
    ("host", "ethtool -K h-eth0 txvlan on", "vlan:e-eth1", "warning"),
    ("host", "ethtool -K h-eth0 tx on", "checksum:e-eth1", "failure"),
    ("engine", "ip link set e-eth1 down", "port:e-eth1", "failure"),
]


@pytest.mark.parametrize(("where", "fault", "name", "status"), FAULTS)
def test_planted_fault_is_found_and_gone_after_the_printed_command(
    site: Site, where: str, fault: str, name: str, status: str
) -> None:
    pid = {"host": site.host, "engine": site.engine, "here": os.getpid()}[where]
    inside(pid, fault.format(peer=site.peer))
    wrong = site.wrong()
    name = name.format(peer=site.peer)
    assert [(found, row["status"]) for found, row in wrong.items()] == [(name, status)]
    subprocess.run(wrong[name]["mend"], shell=True, check=True)
    assert site.wrong() == {}


def test_program_of_another_tool_is_found_and_gone_after_the_printed_command(site: Site) -> None:
    link = site.network.parent / "instance/bpf/links/e:e-eth1"
    kept = syscall.get(link)
    syscall.bpf(LINK_DETACH, struct.pack("<I", kept))
    program = pass_program()
    with network_namespace(site.engine), IPRoute() as routes:
        routes.link("set", index=ifindex("e-eth1"), xdp_fd=program)
    try:
        inside(site.engine, "ethtool -K e-eth1 gro off")
        wrong = site.wrong()
        assert list(wrong) == ["program:e-eth1"]
        subprocess.run(wrong["program:e-eth1"]["mend"], shell=True, check=True)
        inside(site.engine, "ethtool -K e-eth1 gro off")
        assert site.wrong() == {}
        with network_namespace(site.engine):
            other = syscall.attach_xdp(program, ifindex("e-eth1"))
        try:
            mend = site.wrong()["program:e-eth1"]["mend"]
            assert re.fullmatch(r"bpftool link detach id \d+", mend)
        finally:
            os.close(other)
    finally:
        link.unlink()
        with network_namespace(site.engine):
            again = syscall.attach_xdp(program, ifindex("e-eth1"))
        syscall.pin(again, link)
        for fd in (again, kept, program):
            os.close(fd)
        inside(site.engine, "ethtool -K e-eth1 gro off")


def test_interface_that_has_gone_is_named(site: Site) -> None:
    inside(site.engine, "ip link set e-eth1 name e-gone")
    try:
        assert "no interface e-eth1" in site.wrong()["port:e-eth1"]["text"]
    finally:
        inside(site.engine, "ip link set e-gone name e-eth1")


def test_engine_whose_namespace_has_gone_is_named(site: Site, tmp_path: Path) -> None:
    content = json.loads(site.network.read_text())
    content["locations"][0]["engine"]["netns_pid"] = 2**22 + 1
    other = tmp_path / "network.json"
    other.write_text(json.dumps(content))
    found = Site(site.engine, site.host, other, site.peer).wrong()
    assert "network namespace" in found["port:e-eth1"]["text"]

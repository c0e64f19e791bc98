"""What the doctor makes of facts: each check, each outcome, and what mends it."""

import errno
import json
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dataplane.doctor import CHECKS, Facts, Finding, Port, Role, Status, diagnose, facts, failed
from dataplane.interfaces import Interface
from dataplane.tools_commands import doctor

OK, WARNING, FAILURE = Status.OK, Status.WARNING, Status.FAILURE
NONE = Status.NOT_APPLICABLE
ENGINE, HOST_NS = Path("/proc/7/ns/net"), Path("/run/netns/h1")


def interface(name: str, **fields: Any) -> Interface:
    usual = {
        "index": 5,
        "namespace": ENGINE,
        "kind": "veth",
        "mtu": 1600,
        "up": True,
        "xdp": 9,
        "gro": False,
        "tx_checksum": True,
        "tx_vlan": True,
        "rx_vlan": True,
    }
    return Interface(name, **{**usual, **fields})


HOST_PEER = interface(
    "h1-eth0", namespace=HOST_NS, mtu=1500, xdp=None, gro=True, tx_checksum=False, tx_vlan=False
)
SWITCH_PEER = interface("s1-eth1", namespace=None)
PORTS = (
    Port("e1", Role.HOST, "e1-eth1", interface("e1-eth1", peer=HOST_PEER)),
    Port("e1", Role.FABRIC, "e1-eth2", interface("e1-eth2", peer=SWITCH_PEER)),
    Port("e1", Role.FABRIC_PEER, "s1-eth1", SWITCH_PEER),
)
HEALTHY = Facts(
    capabilities=(1 << 41) - 1,
    release="6.1.0-18-amd64",
    bpf_errno=errno.EBADF,
    jit=1,
    bpffs_known=True,
    pins=Path("/run/foresteer/default/bpf"),
    pins_mounted=True,
    agent_running=True,
    ovs_version=(3, 1, 0),
    ovs_trouble="",
    nats_server="/usr/sbin/nats-server",
    bcc_trouble="",
    bcc_of_debian=True,
    kernel_headers=True,
    memlock=8 << 20,
    interpreter="/opt/foresteer",
    own_programs=frozenset({9}),
    links={(9, 5): 3, (77, 5): 12},
    max_frame=1614,
    network_file=Path("/etc/foresteer/network.json"),
    ports=PORTS,
)


def with_ports(host_port: Any = None, host_peer: Any = None, fabric: Any = None) -> Facts:
    """Return healthy facts but for fields of the host port, its peer, and the fabric port."""
    peer = None if host_peer == "unseen" else replace(HOST_PEER, **(host_peer or {}))
    first = interface("e1-eth1", **{"peer": peer, **(host_port or {})})
    second = interface("e1-eth2", **{"peer": SWITCH_PEER, **(fabric or {})})
    return replace(
        HEALTHY,
        ports=(
            Port("e1", Role.HOST, "e1-eth1", first),
            Port("e1", Role.FABRIC, "e1-eth2", second),
            Port("e1", Role.FABRIC_PEER, "s1-eth1", second.peer),
        ),
    )


def found(known: Facts, name: str) -> Finding:
    (finding,) = [x for x in diagnose(known) if x.name == name]
    return finding


def test_healthy_host_has_nothing_to_mend() -> None:
    findings = diagnose(HEALTHY)
    assert [x for x in findings if x.status not in (OK, NONE) or x.mend] == []
    assert not failed(findings)
    assert len({x.name for x in findings}) == len(findings)


CAPS = HEALTHY.capabilities
HOST_CASES = [
    ({"capabilities": 0}, "privileges", FAILURE, "CAP_BPF, CAP_NET_ADMIN, CAP_SYS", "sudo"),
    ({"capabilities": CAPS & ~(1 << 12)}, "privileges", FAILURE, "CAP_NET_ADMIN missing", "sudo"),
    ({"capabilities": CAPS & ~(1 << 39)}, "privileges", OK, "", ""),
    ({"release": "5.4.0"}, "kernel", FAILURE, "5.4.0 is older than 5.9", "linux-image"),
    ({"release": "5.10.0-28"}, "kernel", WARNING, "bench dataplane", "linux-image"),
    ({"release": "mine"}, "kernel", FAILURE, "mine is older", "linux-image"),
    ({"bpf_errno": errno.ENOSYS}, "bpf", FAILURE, "CONFIG_BPF_SYSCALL", "linux-image"),
    ({"bpf_errno": errno.EPERM}, "bpf", FAILURE, "refused", "seccomp=unconfined"),
    ({"bpf_errno": errno.EPERM, "capabilities": 0}, "bpf", FAILURE, "refused", "sudo foresteer"),
    ({"jit": 0}, "jit", WARNING, "interpreted", "sysctl -w net.core.bpf_jit_enable=1"),
    ({"jit": None}, "jit", NONE, "not shown", ""),
    ({"bpffs_known": False}, "bpffs", FAILURE, "no bpf file system", "linux-image"),
    ({"pins_mounted": False}, "bpffs", FAILURE, "another mount namespace", "mount -t bpf bpf /run"),
    ({"pins_mounted": False, "agent_running": False}, "bpffs", OK, "will mount", ""),
    (
        {"pins_mounted": False, "agent_running": False, "capabilities": 0},
        "bpffs",
        FAILURE,
        "may not mount",
        "sudo mount -t bpf bpf /run/foresteer/default/bpf",
    ),
    ({"release": "5.10.0"}, "memlock", FAILURE, "8388608 bytes", "ulimit -l unlimited"),
    ({"release": "5.10.0", "memlock": resource.RLIM_INFINITY}, "memlock", OK, "no limit", ""),
    ({}, "memlock", NONE, "5.11", ""),
    ({"ovs_version": None}, "open vswitch", NONE, "not installed", ""),
    ({"ovs_version": (2, 7, 9)}, "open vswitch", FAILURE, "2.7.9 knows no NSH", "apt-get install"),
    ({"ovs_version": (2, 10)}, "open vswitch", OK, "2.10 answers", ""),
    ({"ovs_trouble": "no socket"}, "open vswitch", WARNING, "3.1.0 does not answer: no", "service"),
    (
        {"ovs_version": None, "ovs_trouble": "crashed"},
        "open vswitch",
        WARNING,
        "unknown does not answer",
        "service",
    ),
    ({"nats_server": None}, "nats-server", FAILURE, "no bus", "apt-get install nats-server"),
    (
        {"bcc_trouble": "No module named 'bcc'"},
        "bcc",
        FAILURE,
        "not for the interpreter in /opt/foresteer",
        "/usr/bin/python3 -m venv --system-site-packages /opt/foresteer",
    ),
    (
        {"bcc_trouble": "No module", "bcc_of_debian": False},
        "bcc",
        FAILURE,
        "not importable",
        "apt-get install python3-bpfcc",
    ),
    ({"kernel_headers": False}, "kernel headers", FAILURE, "linux/bpf.h", "linux-libc-dev"),
    ({"ports": ()}, "ports", NONE, "--network", ""),
    ({"max_frame": 1500}, "mtu:e1-eth2", WARNING, "above 1462 bytes", "1538/' /etc/foresteer/netw"),
]


@pytest.mark.parametrize(("change", "name", "status", "text", "mend"), HOST_CASES)
def test_check_of_the_host(
    change: dict[str, Any], name: str, status: Status, text: str, mend: str
) -> None:
    finding = found(replace(HEALTHY, **change), name)
    assert finding.status is status
    assert text in finding.text
    assert mend in finding.mend
    assert bool(finding.mend) == (status in (WARNING, FAILURE))


IN_ENGINE, IN_HOST = f"nsenter --net={ENGINE} ", f"nsenter --net={HOST_NS} "
SEEN_CASES: list[tuple[dict[str, Any], str, Status, str, str]] = [
    ({"host_port": {"up": False}}, "port:e1-eth1", FAILURE, "is down", "link set dev e1-eth1 up"),
    (
        {"fabric": {"mtu": 1500}},
        "mtu:e1-eth2",
        FAILURE,
        "1500 bytes; 1600 are needed",
        IN_ENGINE + "ip link set dev e1-eth2 mtu 1600",
    ),
    (
        {"fabric": {"peer": replace(SWITCH_PEER, mtu=1500)}},
        "mtu:s1-eth1",
        FAILURE,
        "1600 are needed",
        "ip link set dev s1-eth1 mtu 1600",
    ),
    (
        {"host_peer": {"mtu": 3000}},
        "mtu:e1-eth2",
        FAILURE,
        "3024 are needed: 3000 of the hosts",
        IN_ENGINE + "ip link set dev e1-eth2 mtu 3024",
    ),
    ({"host_peer": "unseen"}, "mtu:e1-eth2", OK, "carry 1500", ""),
    (
        {"host_peer": {"mtu": 3507}},
        "xdp:h1-eth0",
        FAILURE,
        "3507 is above 3506",
        IN_HOST + "ip link set dev h1-eth0 mtu 3506",
    ),
    ({"host_peer": {"mtu": 3506}}, "xdp:e1-eth1", OK, "is on it", ""),
    ({"host_port": {"xdp": None}}, "xdp:e1-eth1", OK, "can be attached", ""),
    ({"host_port": {"kind": "", "mtu": 9000}}, "xdp:e1-eth1", OK, "", ""),
    (
        {"host_port": {"xdp": 77}},
        "program:e1-eth1",
        FAILURE,
        "program 77 is on it, which is not pinned below /run/foresteer/default/bpf",
        "bpftool link detach id 12",
    ),
    (
        {"host_port": {"xdp": 78}},
        "program:e1-eth1",
        FAILURE,
        "another tool's, or another instance's",
        IN_ENGINE + "ip link set dev e1-eth1 xdp off",
    ),
    ({"host_port": {"xdp": None}}, "program:e1-eth1", OK, "no XDP program", ""),
    (
        {"host_peer": {"gro": False}},
        "redirect:e1-eth1",
        FAILURE,
        "vanish without a trace",
        IN_HOST + "ethtool -K h1-eth0 gro on",
    ),
    ({"host_peer": {"gro": False, "xdp": 3}}, "redirect:e1-eth1", OK, "takes", ""),
    (
        {"fabric": {"peer": replace(SWITCH_PEER, xdp=None)}},
        "redirect:e1-eth2",
        FAILURE,
        "vanish",
        "ethtool -K s1-eth1 gro on",
    ),
    (
        {"fabric": {"peer": replace(SWITCH_PEER, xdp=None, gro=True)}},
        "redirect:e1-eth2",
        WARNING,
        "fabric_peer",
        '"fabric_peer": "s1-eth1" in the network file',
    ),
    (
        {"host_peer": "unseen"},
        "redirect:e1-eth1",
        WARNING,
        "cannot be seen",
        "ethtool -K PEER gro on",
    ),
    ({"host_port": {"kind": ""}}, "redirect:e1-eth1", NONE, "no veth", ""),
    (
        {"host_port": {"gro": True}},
        "gro:e1-eth1",
        FAILURE,
        "merges packets",
        IN_ENGINE + "ethtool -K e1-eth1 gro off",
    ),
    (
        {"fabric": {"peer": replace(SWITCH_PEER, gro=True)}},
        "gro:s1-eth1",
        FAILURE,
        "merges packets",
        "ethtool -K s1-eth1 gro off",
    ),
    ({"host_port": {"gro": True, "xdp": None}}, "gro:e1-eth1", OK, "the agent turns it off", ""),
    (
        {"host_peer": {"tx_checksum": True}},
        "checksum:e1-eth1",
        FAILURE,
        "TCP stalls",
        IN_HOST + "ethtool -K h1-eth0 tx off",
    ),
    ({"host_peer": "unseen"}, "checksum:e1-eth1", WARNING, "cannot be seen", "tx off"),
    ({"host_port": {"kind": ""}}, "checksum:e1-eth1", NONE, "no veth", ""),
    (
        {"host_peer": {"tx_vlan": True}},
        "vlan:e1-eth1",
        WARNING,
        "XDP does not see them",
        IN_HOST + "ethtool -K h1-eth0 txvlan off",
    ),
    ({"host_peer": "unseen"}, "vlan:e1-eth1", NONE, "cannot be seen", ""),
    (
        {"host_port": {"kind": ""}},
        "vlan:e1-eth1",
        WARNING,
        "before XDP",
        IN_ENGINE + "ethtool -K e1-eth1 rxvlan off",
    ),
    ({"fabric": {"kind": "", "rx_vlan": False}}, "vlan:e1-eth2", OK, "are seen", ""),
]


@pytest.mark.parametrize(("change", "name", "status", "text", "mend"), SEEN_CASES)
def test_check_of_a_port(
    change: dict[str, Any], name: str, status: Status, text: str, mend: str
) -> None:
    finding = found(with_ports(**change), name)
    assert finding.status is status
    assert text in finding.text
    assert finding.mend.endswith(mend)
    assert bool(finding.mend) == (status in (WARNING, FAILURE))


def test_nobody_is_accused_where_the_pins_cannot_be_seen() -> None:
    blind = replace(with_ports({"xdp": 77}), pins_mounted=False)
    assert found(blind, "program:e1-eth1").status is NONE


def test_port_that_cannot_be_seen_is_a_failure_and_nothing_else_is_said_of_it() -> None:
    gone = Port("e1", Role.HOST, "e1-eth1", None, "there is no interface e1-eth1")
    findings = diagnose(replace(HEALTHY, ports=(gone,)))
    assert [(x.name, x.status) for x in findings if ":" in x.name] == [("port:e1-eth1", FAILURE)]


def test_every_check_can_come_out_in_more_than_one_way() -> None:
    seen: dict[str, set[Status]] = {}
    for known in (
        HEALTHY,
        *(replace(HEALTHY, **case[0]) for case in HOST_CASES),
        *(with_ports(**case[0]) for case in SEEN_CASES),
    ):
        for check in CHECKS:
            for finding in check(known):
                seen.setdefault(check.__name__, set()).add(finding.status)
    assert {name for name, statuses in seen.items() if len(statuses) < 2} == set()


def run(monkeypatch: pytest.MonkeyPatch, known: Facts, *options: str) -> tuple[int, str]:
    monkeypatch.setattr(facts, "gather", lambda *_: known)
    result = CliRunner().invoke(doctor, options)
    return result.exit_code, result.output


def test_command_prints_what_is_wrong_with_what_mends_it_and_ends_with_1(
    instance_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out = run(monkeypatch, replace(HEALTHY, nats_server=None))
    assert code == 1
    lines = out.splitlines()
    assert " ".join(lines[0].split()) == "failure nats-server: not installed: there is no bus"
    assert lines[1].strip() == "mend: apt-get install nats-server"
    assert "failures 1," in lines[2]


def test_command_ends_with_0_when_there_is_nothing_but_a_warning(
    instance_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out = run(monkeypatch, replace(HEALTHY, jit=0))
    assert code == 0
    assert "warnings 1, failures 0," in out


def test_all_prints_every_check(instance_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, out = run(monkeypatch, HEALTHY, "--all")
    assert len(out.splitlines()) == len(diagnose(HEALTHY)) + 1


def test_json_holds_every_check(instance_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out = run(monkeypatch, with_ports(host_peer={"gro": False}), "--json")
    content = json.loads(out)
    assert code == 1
    assert content["ok"] is False
    (row,) = [x for x in content["checks"] if x["name"] == "redirect:e1-eth1"]
    assert row["status"] == "failure"
    assert row["mend"].endswith("ethtool -K h1-eth0 gro on")


def test_file_that_is_no_network_is_refused_in_a_line(
    instance_directory: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "network.json"
    wrong.write_text("[]")
    result = CliRunner().invoke(doctor, ["--network", str(wrong)])
    assert result.exit_code == 1
    assert "version" in result.output
    assert "Traceback" not in result.output


@pytest.mark.slow
def test_facts_of_this_host_can_be_gathered_by_anybody(tmp_path: Path) -> None:
    seen = facts.gather(None, None, tmp_path / "bpf")
    assert seen.kernel > (4, 0)
    assert seen.bpf_errno in (errno.EBADF, errno.EPERM)
    assert not seen.pins_mounted
    assert not seen.agent_running
    assert {x.name for x in diagnose(seen)} >= {"kernel", "bpf", "ports"}

"""The facts about this host that decide whether engines can run on it."""

import contextlib
import os
import re
import resource
import shutil
import struct
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from bus import Instance
from dataplane import syscall
from dataplane.errors import AttachError, BpfError
from dataplane.interfaces import Interface, Places
from headers.files.network import Engine, load_network

_ANSWER_S = 3
_LINK_BY_ID, _LINK_NEXT_ID, _LINK_XDP = 30, 31, 6
_DEBIAN_BCC = Path("/usr/lib/python3/dist-packages/bcc")


class Role(Enum):
    """What a port is for."""

    HOST = "host"
    FABRIC = "fabric"
    FABRIC_PEER = "fabric peer"


@dataclass(frozen=True, slots=True)
class Port:
    """A port of an engine; ``interface`` is None where it cannot be seen, for ``trouble``."""

    engine: str
    role: Role
    name: str
    interface: Interface | None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is so on this host; None and "" stand for what there is not.

    ``capabilities``: the effective set as bits. ``bpf_errno``: what the system call answers to a
    request that can only be refused. ``jit``: None where the namespace does not show it.
    ``ovs_trouble`` and ``bcc_trouble``: the words of a command that failed. ``memlock``: bytes,
    -1 without limit. ``own_programs``: ids of programs on the links pinned below ``pins``;
    ``links``: the id of the XDP link, by program and interface number. ``max_frame``: bytes, from
    the network file.
    """

    capabilities: int
    release: str
    bpf_errno: int
    jit: int | None
    bpffs_known: bool
    pins: Path
    pins_mounted: bool
    agent_running: bool
    ovs_version: tuple[int, ...] | None
    ovs_trouble: str
    nats_server: str | None
    bcc_trouble: str
    bcc_of_debian: bool
    kernel_headers: bool
    memlock: int
    interpreter: str
    own_programs: frozenset[int] = frozenset()
    links: Mapping[tuple[int, int], int] = field(default_factory=dict)
    max_frame: int | None = None
    network_file: Path | None = None
    ports: tuple[Port, ...] = ()

    @property
    def kernel(self) -> tuple[int, ...]:
        """The kernel's version, as far as it is made of numbers."""
        match = re.match(r"(\d+)\.(\d+)", self.release)
        return tuple(int(part) for part in match.groups()) if match else (0, 0)


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _capabilities() -> int:
    match = re.search(r"^CapEff:\s*([0-9a-f]+)$", _read("/proc/self/status"), re.MULTILINE)
    return int(match.group(1), 16) if match else 0


def _bpf_errno() -> int:
    """Ask for the first key of a map that cannot be: the error tells who is in the way."""
    try:
        syscall.keys(0x7FFFFFFF, 4)
    except BpfError as error:
        return error.errno or 0
    return 0


def _trouble(*command: str) -> tuple[str, str]:
    """Run a command; return its output, and its last words where it failed."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_ANSWER_S * 2
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    words = (done.stderr or done.stdout).strip().splitlines()
    return done.stdout, (words[-1] if words else "no words") if done.returncode else ""


def _open_vswitch() -> tuple[tuple[int, ...] | None, str]:
    """Return the version of Open vSwitch that is installed, and why it does not answer."""
    if not shutil.which("ovs-vsctl"):
        return None, ""
    out, trouble = _trouble("ovs-vsctl", "--version")
    match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", out)
    version = tuple(int(part) for part in match.groups() if part) if match else None
    if not trouble:
        _, trouble = _trouble("ovs-vsctl", f"--timeout={_ANSWER_S}", "show")
    return version, trouble


def _link_info(fd: int) -> tuple[int, int, int, int]:
    """Return a link's type, id, program id and, where it has one, interface number."""
    info = syscall.Buf(64)
    syscall.bpf(syscall.OBJ_INFO, struct.pack("<IIQ", fd, info.size, info.address))
    kind, number, program, _, interface = struct.unpack_from("<5I", info.bytes())
    return kind, number, program, interface


def _own_programs(pins: Path) -> frozenset[int]:
    """Return the ids of the programs on pinned links."""
    found = set()
    with contextlib.suppress(OSError):
        for path in (pins / "links").iterdir():
            fd = syscall.get(path)
            try:
                found.add(_link_info(fd)[2])
            finally:
                os.close(fd)
    return frozenset(found)


def _xdp_links() -> dict[tuple[int, int], int]:
    """Return the id of every XDP link of this machine, by program and interface number."""
    found: dict[tuple[int, int], int] = {}
    last = 0
    with contextlib.suppress(BpfError):  # the last one, or no privilege
        while True:
            _, after = syscall.bpf(_LINK_NEXT_ID, struct.pack("<III", last, 0, 0))
            last = struct.unpack_from("<I", after, 4)[0]
            try:
                fd, _ = syscall.bpf(_LINK_BY_ID, struct.pack("<III", last, 0, 0))
            except FileNotFoundError:
                continue
            try:
                kind, number, program, interface = _link_info(fd)
            finally:
                os.close(fd)
            if kind == _LINK_XDP:
                found[program, interface] = number
    return found


def _mounted(directory: Path) -> bool:
    lines = _read("/proc/self/mounts").splitlines()
    return any(line.split()[1:3] == [str(directory), "bpf"] for line in lines)


def _headers() -> bool:
    system = Path("/usr/include")
    return (system / "linux/bpf.h").exists() and any(system.glob("*-linux-gnu/asm"))


def ports_of(engine: Engine, places: Places) -> tuple[Port, ...]:
    """Look at every port of an engine."""
    there = None if engine.netns_pid is None else Path(f"/proc/{engine.netns_pid}/ns/net")
    wanted = [(Role.HOST, name, there) for name in engine.host_ports]
    wanted.append((Role.FABRIC, engine.fabric_port, there))
    if engine.fabric_peer is not None:
        wanted.append((Role.FABRIC_PEER, engine.fabric_peer, None))
    found = []
    for role, name, namespace in wanted:
        try:
            found.append(Port(engine.name, role, name, places.look(name, namespace)))
        except AttachError as error:
            found.append(Port(engine.name, role, name, None, str(error)))
    return tuple(found)


def gather(instance: Instance | None, network_file: Path | None, pins: Path) -> Facts:
    """Find out everything about this host, and about the ports on it that a network file names.

    Raises:
        FileError: the network file is wrong.
    """
    network = None if network_file is None else load_network(network_file)
    version, ovs_trouble = _open_vswitch()
    jit = _read("/proc/sys/net/core/bpf_jit_enable").strip()
    ports: tuple[Port, ...] = ()
    if network is not None:
        places = Places()
        try:
            ports = tuple(
                port for location in network.locations for port in ports_of(location.engine, places)
            )
        finally:
            places.close()
    return Facts(
        capabilities=_capabilities(),
        release=os.uname().release,
        bpf_errno=_bpf_errno(),
        jit=int(jit) if jit else None,
        bpffs_known="\tbpf\n" in _read("/proc/filesystems"),
        pins=pins,
        pins_mounted=_mounted(pins),
        agent_running=instance is not None and instance.running("agent"),
        ovs_version=version,
        ovs_trouble=ovs_trouble,
        nats_server=shutil.which("nats-server"),
        bcc_trouble=_trouble(sys.executable, "-c", "import bcc; bcc.BPF.XDP")[1],
        bcc_of_debian=_DEBIAN_BCC.is_dir(),
        kernel_headers=_headers(),
        memlock=resource.getrlimit(resource.RLIMIT_MEMLOCK)[0],
        interpreter=sys.prefix,
        own_programs=_own_programs(pins),
        links=_xdp_links(),
        max_frame=network.max_frame if network else None,
        network_file=network_file,
        ports=ports,
    )

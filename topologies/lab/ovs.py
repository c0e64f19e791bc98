"""An Open vSwitch of the lab's own, in user space, with its files in the lab's private /run."""

import ctypes
import os
import re
import socket
import subprocess
import time
from pathlib import Path

from bus.instance import Instance
from topologies.errors import LabError

RUN = Path("/run/openvswitch")
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
SEND_BUFFER = 1 << 20
RECEIVE_BUFFER = 8 << 20
NICENESS = -15
READY_S = 10.0

_PIDFD_OPEN, _PIDFD_GETFD = 434, 438
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_LIBC = ctypes.CDLL(None, use_errno=True)


def start_database(instance: Instance) -> None:
    """Make a new database and start its server.

    Raises:
        LabError: Open vSwitch is not installed, or the server does not come up.
    """
    RUN.mkdir(parents=True, exist_ok=True)
    environment()
    database = RUN / "conf.db"
    try:
        subprocess.run(["ovsdb-tool", "create", str(database), SCHEMA], check=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise LabError("Open vSwitch is missing: install openvswitch-switch") from error
    instance.start_once(
        "ovsdb",
        [
            "ovsdb-server",
            str(database),
            f"--remote=punix:{RUN}/db.sock",
            f"--pidfile={RUN}/ovsdb-server.pid",
            "--log-file=/dev/null",
            "-vconsole:warn",
        ],
    )
    _wait((RUN / "db.sock").exists, "ovsdb-server")
    # the socket is there a moment before anybody listens
    command = ["ovs-vsctl", "--retry", f"--timeout={int(READY_S)}", "--no-wait", "init"]
    subprocess.run(command, check=True)


def environment() -> None:
    """Have every Open vSwitch tool that this process starts use the lab's instance."""
    for name in ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR"):
        os.environ[name] = str(RUN)


def start_switch(instance: Instance) -> subprocess.Popen[bytes] | None:
    """Start ovs-vswitchd unless it runs."""
    return instance.start_once(
        "vswitchd",
        [
            "ovs-vswitchd",
            f"unix:{RUN}/db.sock",
            f"--pidfile={RUN}/ovs-vswitchd.pid",
            "--log-file=/dev/null",
            "-vconsole:warn",
        ],
    )


def wait_switch() -> None:
    """Wait until ovs-vswitchd has taken the configuration.

    Raises:
        LabError: it does not in time.
    """
    done = subprocess.run(
        [
            "ovs-vsctl",
            f"--timeout={int(READY_S)}",
            "set",
            "Open_vSwitch",
            ".",
            "external_ids:foresteer=lab",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LabError(f"ovs-vswitchd does not come up: {done.stderr.strip()}")


def _wait(condition, what: str) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + READY_S
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"{what} does not come up")
        time.sleep(0.01)


def make_room(pid: int) -> int:
    """Give ovs-vswitchd precedence and its packet sockets room; return how many there were.

    All its ports share one small send buffer by default, so that a queue at one congested port
    makes it drop packets to others; and on a busy machine it must not lose what it is late for:
    the emulated network should not feel who looks at it.
    """
    os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(task.name), NICENESS)
    handle = _LIBC.syscall(_PIDFD_OPEN, pid, 0)
    if handle < 0:
        return 0
    count = 0
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if not re.match(r"socket:", str(entry.readlink())):
                    continue
            except OSError:
                continue
            copy = _LIBC.syscall(_PIDFD_GETFD, handle, int(entry.name), 0)
            if copy < 0:
                continue
            with socket.socket(fileno=copy) as ours:
                if ours.family == socket.AF_PACKET:
                    ours.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, SEND_BUFFER)
                    ours.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
                    count += 1
    finally:
        os.close(handle)
    return count

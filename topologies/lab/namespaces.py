"""Namespaces of our own: a lab's interfaces, processes, /tmp and /run meet nobody else's.

When the first process in there ends, for whatever reason, the kernel takes all the rest with it.
"""

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from topologies.errors import LabError

OUTER_NETWORK = "FORESTEER_OUTER_NETNS_FD"
LIFELINE = "FORESTEER_LIFELINE_FD"
KEEP = "FORESTEER_KEEP"

_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_CLONE_NEWNS = 0x00020000
_LIBC = ctypes.CDLL(None, use_errno=True)


def _mount(source: str, target: Path, kind: str | None, flags: int) -> None:
    """Call mount(2)."""
    result = _LIBC.mount(
        source.encode(), str(target).encode(), kind.encode() if kind else None, flags, None
    )
    if result:
        error = os.strerror(ctypes.get_errno())
        raise LabError(f"mount {kind or 'bind'} at {target}: {error}: are you root?")


def start_inside(
    module: str,
    arguments: Sequence[str],
    *,
    network: bool = True,
    keep: Sequence[Path] = (),
    pass_fds: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
    session: bool = True,
    private: Sequence[Path] = (Path("/tmp"), Path("/run")),
) -> tuple[subprocess.Popen[bytes], int]:
    """Run ``python -m module`` as a child in namespaces of its own.

    ``private``: folders that it has for itself; ``keep``: paths that must stay visible though they
    lie below them. ``session``: out of
    the terminal's reach, so that Ctrl-C comes to us only. Returns the child
    and the lifeline: when that descriptor is closed, also by a crash, the child winds up.

    Raises:
        LabError: not root, or a kernel without namespaces.
    """
    if os.geteuid():
        raise LabError("namespaces, XDP and Open vSwitch need root: run it with sudo")
    outer = os.open("/proc/self/ns/net", os.O_RDONLY)
    read, lifeline = os.pipe()
    command = [
        *("unshare", "--mount", "--propagation=unchanged"),
        *("--pid", "--fork", "--kill-child=KILL"),
    ]
    if network:
        command.append("--net")
    kept = [Path.cwd(), Path(sys.prefix), Path(__file__).resolve().parents[2], *keep]
    try:
        child = subprocess.Popen(
            [
                *(*command, sys.executable, "-m", "topologies.lab.enter"),
                *(os.pathsep.join(map(str, private)), module, *arguments),
            ],
            pass_fds=(outer, read, *pass_fds),
            start_new_session=session,
            env={
                **os.environ,
                **(environment or {}),
                OUTER_NETWORK: str(outer),
                LIFELINE: str(read),
                KEEP: os.pathsep.join(str(path.resolve()) for path in kept),
            },
        )
    except OSError as error:
        raise LabError(f"unshare cannot be run: {error}") from error
    finally:
        os.close(outer)
        os.close(read)
    return child, lifeline


def when_left_alone(act: Callable[[], object]) -> None:
    """Have something done, in a thread, once whoever started us here is gone or lets go of us.

    Nothing where there is no lifeline: started by hand.
    """
    descriptor = os.environ.get(LIFELINE)
    if descriptor is None:
        return

    def wait() -> None:
        os.read(int(descriptor), 1)
        act()

    threading.Thread(target=wait, daemon=True).start()


def _keep_mounts_to_ourselves() -> None:
    """Make all mounts of this namespace private, also from within a chroot.

    There "/" is no mount point, but only mount points can be made private, as Mininet's mnexec
    does too. Entering a mount namespace leads to its real root, even the one that we are in; from
    there we make a mount point of where we were, and go back.
    """
    root, home = os.open("/", os.O_PATH), Path.cwd()
    here = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    if _LIBC.setns(here, _CLONE_NEWNS):
        raise LabError(f"setns: {os.strerror(ctypes.get_errno())}: are you root?")
    _mount("none", Path("/"), None, _MS_REC | _MS_PRIVATE)
    inside = str(Path(f"/proc/self/fd/{root}").readlink())
    if inside != "/":
        _mount(inside, Path(inside), None, _MS_BIND | _MS_REC)
    os.chdir(inside)
    os.chroot(".")
    os.chdir(home)
    os.close(root)
    os.close(here)


def make_private(directories: Sequence[Path]) -> None:
    """Give this mount namespace its own /proc and folders; what must stay visible is kept.

    Raises:
        LabError: mounting is refused.
    """
    kept = {Path(path) for path in os.environ.get(KEEP, "").split(os.pathsep) if path}
    below = sorted(
        path for path in kept if path.exists() and any(path.is_relative_to(d) for d in directories)
    )
    handles = [(path, os.open(path, os.O_PATH)) for path in below]
    _keep_mounts_to_ourselves()
    _mount("proc", Path("/proc"), "proc", 0)
    for directory in directories:
        _mount("tmpfs", directory, "tmpfs", 0)
    for path, handle in handles:
        path.mkdir(parents=True, exist_ok=True)
        _mount(f"/proc/self/fd/{handle}", path, None, _MS_BIND | _MS_REC)
        os.close(handle)
    if Path("/run") in directories:
        Path("/run/lock").mkdir(exist_ok=True)


def loopback_up() -> None:
    """Bring the loopback interface of this network namespace up."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)

"""Namespaces of the benchmark's own: two runs side by side do not meet, and nothing is left.

When the first process in there ends, for whatever reason, the kernel takes all the rest with it.
"""

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from dataplane.errors import DataplaneError

SCRATCH = Path("/sys/fs/bpf")
"""A folder that every kernel with BPF has; in there a tmpfs hides it."""
_LIFELINE = "FORESTEER_BENCH_LIFELINE"
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_CLONE_NEWNS = 0x00020000
_LIBC = ctypes.CDLL(None, use_errno=True)


def run_inside(arguments: Sequence[str], timeout_s: float) -> int:
    """Run ``python -m dataplane.bench.inside`` in namespaces of its own; return its exit status.

    Raises:
        DataplaneError: not root, no namespaces, or it takes too long.
    """
    if os.geteuid():
        raise DataplaneError("network namespaces and XDP need root: run it with sudo")
    read, lifeline = os.pipe()
    try:
        child = subprocess.Popen(
            [
                *("unshare", "--net", "--mount", "--propagation=unchanged"),
                *("--pid", "--fork", "--kill-child=KILL"),
                *(sys.executable, "-m", "dataplane.bench.inside", *arguments),
            ],
            pass_fds=(read,),
            env={**os.environ, _LIFELINE: str(read)},
        )
    except OSError as error:
        os.close(lifeline)
        raise DataplaneError(f"unshare cannot be run: {error}") from error
    finally:
        os.close(read)
    try:
        return child.wait(timeout_s)
    except subprocess.TimeoutExpired as error:
        raise DataplaneError(f"the benchmark did not end within {timeout_s:.0f} s") from error
    finally:
        os.close(lifeline)
        child.kill()
        child.wait()


def settle() -> Path:
    """Be inside: mounts are ours, the scratch folder is empty, and we end when the parent does.

    To be called before a package brings threads (NumPy does): a mount namespace is entered by
    processes of one thread only. Returns the scratch folder, with a bpffs at ``pins`` in it.

    Raises:
        DataplaneError: mounting is refused.
    """
    _keep_mounts_to_ourselves()
    _mount("proc", Path("/proc"), "proc", 0)
    _mount("tmpfs", SCRATCH, "tmpfs", 0)
    pins = SCRATCH / "pins"
    pins.mkdir()
    _mount("bpf", pins, "bpf", 0)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    return SCRATCH


def _end_with_parent() -> None:
    """Wait for the end of the pipe that only the parent holds open."""
    os.read(int(os.environ[_LIFELINE]), 1)
    os._exit(1)


def _mount(source: str, target: Path, kind: str | None, flags: int) -> None:
    if _LIBC.mount(
        source.encode(), str(target).encode(), kind.encode() if kind else None, flags, None
    ):
        error = os.strerror(ctypes.get_errno())
        raise DataplaneError(f"mount {kind or 'bind'} at {target}: {error}")


def _keep_mounts_to_ourselves() -> None:
    """Make all mounts private, also in a chroot, whose "/" is no mount point and cannot be made so.

    Entering a mount namespace leads to its real root; there we make a mount point of where we were.
    """
    root, home = os.open("/", os.O_PATH), Path.cwd()
    here = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    if _LIBC.setns(here, _CLONE_NEWNS):
        raise DataplaneError(f"setns: {os.strerror(ctypes.get_errno())}: are you root?")
    _mount("none", Path("/"), None, _MS_REC | _MS_PRIVATE)
    inside = str(Path(f"/proc/self/fd/{root}").readlink())
    if inside != "/":
        _mount(inside, Path(inside), None, _MS_BIND | _MS_REC)
    os.chdir(inside)
    os.chroot(".")
    os.chdir(home)
    os.close(root)
    os.close(here)

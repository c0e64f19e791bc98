"""Everything of ours off this host at once: links first, so that traffic is bridged again.

Only what the agent pins is touched: ``links/ENGINE:PORT``, ``maps/*``, the programs' names and
the folders ``version-*`` and ``layout-*`` below one directory of a bpffs. It needs neither agent
nor bus.
"""

import contextlib
import ctypes
import errno
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from bus import Instance
from dataplane import syscall
from dataplane.errors import BpfError, DataplaneError
from dataplane.loader import PROGRAMS

LINK_DETACH = 34
BPFFS_MAGIC = 0xCAFE4A11
# the agent ends at once; one that does not is killed, which costs no packet
AGENT_STOP_S = 0.4
_POLL_S = 0.005
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Detached:
    """What was done: the links taken off, how many maps and programs, and what was left alone.

    ``agent``: the id of the agent that was stopped; ``agent_lives``: one runs all the same,
    somewhere that it cannot be stopped from, or because something starts it again.
    """

    links: tuple[str, ...]
    objects: int
    left: tuple[str, ...]
    agent: int | None
    agent_lives: bool
    seconds: float


def on_bpffs(directory: Path) -> bool:
    """Return whether a directory is on a bpffs; raises PermissionError when it is hidden."""
    buffer = ctypes.create_string_buffer(256)  # struct statfs begins with the type, as a long
    if _LIBC.statfs(str(directory).encode(), buffer):
        code = ctypes.get_errno()
        if code in (errno.EACCES, errno.EPERM):
            raise PermissionError(code, os.strerror(code), str(directory))
        return False
    return bool(struct.unpack_from("@l", buffer)[0] & 0xFFFFFFFF == BPFFS_MAGIC)


def detach(pins: Path, instance: Instance | None, *, dedicated: bool) -> Detached:
    """Stop the agent of an instance, and take off all that it pinned below ``pins``.

    ``dedicated``: the directory is the instance's own; another one must hold a program of ours
    before anything there is touched. Done twice, it finds nothing to do.

    Raises:
        DataplaneError: the pins are not to be seen from here, are not ours, or may not be removed;
            then the agent still runs.
    """
    began = time.monotonic()
    lives = instance is not None and instance.running("agent")
    try:
        there = on_bpffs(pins)
        if not there and lives:
            raise DataplaneError(_elsewhere(pins, instance))
        if there and not dedicated and _left(pins) and not _ours(pins):
            raise DataplaneError(f"{pins} holds no program of Foresteer's: nothing was touched")
        stopped = _stop_agent(instance) if lives and instance else None
        links = _remove_links(pins / "links") if there else ()
        objects = _remove_objects(pins) if there else 0
        left = _left(pins) if there else ()
    except PermissionError as error:
        raise DataplaneError(
            f"{error.filename or pins}: {error.strerror}: run it as root"
        ) from error
    return Detached(
        links,
        objects,
        left,
        stopped,
        instance is not None and instance.running("agent"),
        time.monotonic() - began,
    )


def _elsewhere(pins: Path, instance: Instance | None) -> str:
    pid = instance.pid("agent") if instance else None
    where = f"nsenter -t {pid} -m foresteer detach" if pid else "run it where the agent runs"
    return f"an agent runs, but its pins at {pins} are not seen here: {where}"


def _left(pins: Path) -> tuple[str, ...]:
    """Return what is pinned; files with a dot in their names are the kernel's own."""
    return tuple(sorted(str(x.relative_to(pins)) for x in pins.rglob("*") if "." not in x.name))


def _ours(pins: Path) -> bool:
    return any((pins / name).exists() for name in PROGRAMS) or any(pins.glob("layout-*"))


def _stop_agent(instance: Instance) -> int | None:
    """End the agent; return its id, or None where it is not of this PID namespace."""
    pid = instance.pid("agent")
    if pid is None:
        return None
    instance.stop("agent", AGENT_STOP_S)
    deadline = time.monotonic() + AGENT_STOP_S
    while instance.running("agent") and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return pid


def _entries(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


def _remove_links(directory: Path) -> tuple[str, ...]:
    """Take every pinned link off its interface, and its pin away."""
    names = []
    for path in _entries(directory):
        if ":" not in path.name:
            continue
        # detached by name: unpinning alone leaves it while any process holds a descriptor
        with contextlib.suppress(BpfError):
            fd = syscall.get(path)
            try:
                syscall.bpf(LINK_DETACH, struct.pack("<I", fd))
            finally:
                os.close(fd)
        path.unlink()
        names.append(path.name)
    _remove_folder(directory)
    return tuple(names)


def _remove_objects(pins: Path) -> int:
    """Unpin maps and then programs: what shows that the directory is ours goes last."""
    count = 0
    # a load that was cut short leaves programs of its own
    programs = (pins / f"{name}{suffix}" for suffix in ("-new", "") for name in PROGRAMS)
    for path in (*_entries(pins / "maps"), *programs):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            path.unlink()
            count += 1
    for folder in (pins / "maps", *pins.glob("version-*"), *pins.glob("layout-*")):
        _remove_folder(folder)
    return count


def _remove_folder(directory: Path) -> None:
    """Remove a folder if it is there and empty."""
    with contextlib.suppress(OSError):
        directory.rmdir()

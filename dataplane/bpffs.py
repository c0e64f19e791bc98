"""The file system that programs, maps and links are pinned on."""

import os
from pathlib import Path

from dataplane.errors import DataplaneError


def mount_bpffs(directory: Path) -> None:
    """Mount a bpffs at a directory unless one is there.

    Raises:
        DataplaneError: mounting is not allowed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with Path("/proc/self/mounts").open() as mounts:
        if any(line.split()[1:3] == [str(directory), "bpf"] for line in mounts):
            return
    if os.spawnvp(os.P_WAIT, "mount", ["mount", "-t", "bpf", "bpf", str(directory)]):
        raise DataplaneError(f"no bpffs can be mounted at {directory}: run as root")

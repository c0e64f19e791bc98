"""Machines of a lab, as network namespaces, and cables between them.

What is started in them ends with the PID namespace that all of it runs in.
"""

import subprocess
import time
from pathlib import Path

from dataplane.errors import DataplaneError


def run(*command: str) -> str:
    """Run a command that must succeed; return what it said."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise DataplaneError(f"{' '.join(command)}: {done.stderr or done.stdout}")
    return done.stdout


class Node:
    """A network namespace, held open by a process that only sleeps."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "600"])
        deadline = time.monotonic() + 5
        mine = Path("/proc/self/ns/net").readlink()
        while Path(f"/proc/{self.holder.pid}/ns/net").readlink() == mine:
            if time.monotonic() > deadline:
                raise DataplaneError("no network namespace")
            time.sleep(0.005)
        self.run("ip", "link", "set", "lo", "up")

    @property
    def pid(self) -> int:
        """Return the number of a process in here."""
        return self.holder.pid

    def command(self, *command: str) -> list[str]:
        """Return a command that runs in here."""
        return ["nsenter", "--net", "--target", str(self.pid), *command]

    def run(self, *command: str) -> str:
        """Run a command in here."""
        return run(*self.command(*command))

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """Start a command in here."""
        return subprocess.Popen(self.command(*command), stdout=subprocess.PIPE, text=True)


_numbers = iter(range(2000, 4000))


def veth(one: str, where: Node | None, other: str, there: Node | None, mtu: int = 1500) -> None:
    """Make a veth pair whose ends have numbers of their own."""
    near = ["netns", str(where.pid)] if where else []
    far = ["netns", str(there.pid)] if there else []
    run(
        *("ip", "link", "add", "name", one, "index", str(next(_numbers)), "mtu", str(mtu)),
        *(*near, "type", "veth", "peer", "name", other, "index", str(next(_numbers))),
        *("mtu", str(mtu), *far),
    )
    for name, node in ((one, where), (other, there)):
        (node.run if node else run)("ip", "link", "set", name, "up")
        (node.run if node else run)("ethtool", "-K", name, "tx", "off", "txvlan", "off")

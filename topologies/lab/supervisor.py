"""Keeps the lab's processes running: whatever dies is started again, and that is said."""

import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bus.instance import Instance
from topologies.lab import ovs

PERIOD_S = 0.1
AGAIN_S = 1.0
STOP_S = 8.0  # for all processes together


def southbound_command(port: int, address: str = "127.0.0.1") -> list[str]:
    """Return the command that runs the southbound."""
    import sys

    app = Path(__file__).resolve().parents[2] / "controller" / "app.py"
    manager = Path(sys.executable).with_name("ryu-manager")
    return [
        str(manager),
        "--ofp-listen-host",
        address,
        "--ofp-tcp-listen-port",
        str(port),
        str(app),
    ]


@dataclass(slots=True)
class Supervisor:
    """Watches named processes; ``say`` gets a line for each that had to be started again."""

    instance: Instance
    say: Callable[[str], None]
    starts: dict[str, Callable[[], subprocess.Popen[bytes] | None]] = field(default_factory=dict)
    on_switch_restart: Callable[[], None] | None = None
    restarts: dict[str, int] = field(default_factory=dict)
    _started_s: dict[str, float] = field(default_factory=dict)
    _children: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def add(self, name: str, command: Sequence[str]) -> None:
        """Have a command run from now on."""
        self.starts[name] = lambda: self.instance.start_once(name, command)
        self._ensure(name)

    def add_own(self, name: str, start: Callable[[], subprocess.Popen[bytes] | None]) -> None:
        """Have a process run that knows itself how it is started."""
        self.starts[name] = start
        self._ensure(name)

    def _ensure(self, name: str) -> bool:
        """Start a process unless it runs; one that dies at once is not started at once again."""
        now = time.monotonic()
        if now - self._started_s.get(name, -AGAIN_S) < AGAIN_S and not self.instance.running(name):
            return False
        child = self.starts[name]()
        if child is not None:
            self._children.append(child)
            self._started_s[name] = now
        return child is not None

    def watch(self) -> None:
        """Begin to watch, in a thread."""
        # taken here, so that no death goes unnoticed until the thread gets its turn
        seen = {name: self.instance.pid(name) for name in self.starts}
        self._thread = threading.Thread(target=self._run, args=(seen,), daemon=True)
        self._thread.start()

    def _run(self, seen: dict[str, int | None]) -> None:
        while not self._stop.wait(PERIOD_S):
            self._children = [child for child in self._children if child.poll() is None]
            for name in list(self.starts):
                began = time.monotonic()
                self._ensure(name)
                pid = self.instance.pid(name)
                if pid is not None and seen.get(name) not in (None, pid):
                    self.restarts[name] = self.restarts.get(name, 0) + 1
                    if name == "vswitchd" and self.on_switch_restart is not None:
                        self.on_switch_restart()
                        outage = time.monotonic() - began
                        self.say(f"{name} had died: started and refilled, outage {outage:.1f} s")
                    else:
                        self.say(f"{name} had died: started again")
                if pid is not None:
                    seen[name] = pid

    def stop(self) -> None:
        """Stop watching and end the processes, the last started first."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2)
        deadline = time.monotonic() + STOP_S
        for name in reversed(list(self.starts)):
            left = deadline - time.monotonic()
            self.instance.stop(name, timeout_s=min(2.0, max(0.0, left)))


def wait_ovs(instance: Instance) -> None:
    """Wait for ovs-vswitchd and give its sockets room; called whenever it started."""
    ovs.wait_switch()
    pid = instance.pid("vswitchd")
    if pid is not None:
        ovs.make_room(pid)

"""Open vSwitch with AF_XDP ports, as a peer: an instance of the benchmark's own.

Its forwarding thread never sleeps, so it is stopped (SIGSTOP) while others are measured.
"""

import os
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from dataplane.bench.rig import SWITCHED, command
from dataplane.errors import LoadError

_SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
_READY_S = 10


class Switch:
    """A private ovs-vswitchd that forwards what comes in at one AF_XDP port to another."""

    def __init__(self, directory: Path, processors: set[int]) -> None:
        """Start it, with its forwarding thread on ``processors``.

        Raises:
            LoadError: Open vSwitch is missing or takes no AF_XDP ports.
        """
        directory.mkdir(parents=True)
        for name in ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR"):
            os.environ[name] = str(directory)
        database, sock = directory / "conf.db", directory / "db.sock"
        command("ovsdb-tool", "create", str(database), _SCHEMA)
        self._log = (directory / "log").open("w")
        self._children: list[subprocess.Popen[bytes]] = []
        self._start("ovsdb-server", str(database), f"--remote=punix:{sock}")
        deadline = time.monotonic() + _READY_S
        while not sock.exists():
            if time.monotonic() > deadline:
                raise LoadError("ovsdb-server does not come up")
            time.sleep(0.01)
        self._vsctl("--no-wait", "init")
        self._place(processors, "--no-wait")
        self._switch = self._start("ovs-vswitchd", f"unix:{sock}")
        self._add_bridge()

    def _start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a daemon in the foreground."""
        try:
            child = subprocess.Popen(
                [program, *arguments, "--log-file=/dev/null", "-vconsole:warn"],
                stdout=self._log,
                stderr=self._log,
            )
        except OSError as error:
            raise LoadError(f"{program} is missing: install openvswitch-switch") from error
        self._children.append(child)
        return child

    @staticmethod
    def _vsctl(*words: str) -> str:
        return command("ovs-vsctl", f"--timeout={_READY_S}", *words)

    def _add_bridge(self) -> None:
        _, engine, out, _ = SWITCHED.ends
        bridge = ["--", "set", "bridge", "ob0", "datapath_type=netdev", "fail_mode=secure"]
        self._vsctl("add-br", "ob0", *bridge)
        for number, name in enumerate((engine, out), 1):
            self._vsctl(
                *("add-port", "ob0", name, "--", "set", "interface", name, "type=afxdp"),
                *(f"ofport_request={number}", "options:xdp-mode=native", "options:n_rxq=1"),
            )
            error = self._vsctl("get", "interface", name, "error").strip()
            if error not in ("[]", ""):
                raise LoadError(f"Open vSwitch takes no AF_XDP port: {error}")
        command("ovs-ofctl", "add-flow", "ob0", "in_port=1,actions=output:2")

    def _place(self, processors: set[int], *options: str) -> None:
        mask = sum(1 << x for x in processors)
        self._vsctl(*options, "set", "Open_vSwitch", ".", f"other_config:pmd-cpu-mask={mask:x}")

    def move(self, processors: set[int]) -> None:
        """Have its forwarding thread run elsewhere; it must have been stopped, and is again."""
        self.go_on()
        self._place(processors)
        self.stop()

    def stop(self) -> None:
        """Have it use no processor."""
        self._switch.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Have it forward again."""
        self._switch.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it."""
        for child in self._children:
            child.kill()
            child.wait()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

"""An Open vSwitch of a lab's own: it forwards by circuit, and carries nothing else."""

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from dataplane.errors import DataplaneError


class CoreSwitch:
    """A bridge ``core`` whose ports are numbered as given; its processes end with ours."""

    def __init__(self, directory: Path, ports: Mapping[str, int]) -> None:
        directory.mkdir()
        self._environment = {
            **os.environ,
            "OVS_RUNDIR": str(directory),
            "OVS_DBDIR": str(directory),
            "OVS_LOGDIR": str(directory),
        }
        self._directory = directory
        self._children: list[subprocess.Popen[bytes]] = []
        database, socket = directory / "conf.db", directory / "db.sock"
        self._call("ovsdb-tool", "create", database, "/usr/share/openvswitch/vswitch.ovsschema")
        self._start("ovsdb-server", str(database), f"--remote=punix:{socket}")
        deadline = time.monotonic() + 10
        while not socket.exists():
            if time.monotonic() > deadline:
                raise DataplaneError("ovsdb-server does not come up")
            time.sleep(0.005)
        # the commands below wait for the daemon themselves
        self._start("ovs-vswitchd", f"unix:{socket}")
        change = ("ovs-vsctl", f"--db=unix:{socket}")
        self._call(*change, "--retry", "--timeout=10", "--no-wait", "init")
        self._call(
            *(*change, "add-br", "core", "--"),
            *("set", "bridge", "core", "datapath_type=netdev", "fail_mode=secure"),
        )
        for port, number in ports.items():
            self._call(
                *(*change, "add-port", "core", port),
                *("--", "set", "interface", port, f"ofport_request={number}"),
            )

    def close(self) -> None:
        """End it; the bridge goes with it, its ports stay."""
        for child in self._children[::-1]:
            child.terminate()
            child.wait(10)

    def _start(self, *command: str) -> None:
        child = subprocess.Popen(
            command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._children.append(child)

    def _call(self, *command: str | Path) -> None:
        done = subprocess.run(
            command, env=self._environment, check=False, capture_output=True, text=True
        )
        if done.returncode:
            raise DataplaneError(f"{command[0]}: {done.stderr}")

    def forward(self, circuits: Mapping[int, int]) -> None:
        """Send circuits, by their number, out of ports, by theirs."""
        manage = f"unix:{self._directory}/core.mgmt"
        for spi, port in circuits.items():
            flow = f"dl_type=0x894f,nsh_spi={spi},actions=output:{port}"
            self._call("ovs-ofctl", "-O", "OpenFlow13", "add-flow", manage, flow)

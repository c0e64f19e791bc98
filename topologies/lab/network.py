"""The lab's network: Mininet on our own Open vSwitch, from building to being ready."""

import logging
import signal
import time
from typing import Any

from mininet.log import lg
from mininet.net import Mininet
from mininet.node import RemoteController

from bus.instance import Instance
from topologies.errors import LabError
from topologies.fabric import FabricHost, FabricTopo, agent_command, wait_ready
from topologies.lab import ovs
from topologies.lab.replay import ReplayHost
from topologies.lab.supervisor import Supervisor, southbound_command, wait_ovs

PORT = 6653
LINK_OUTAGE_S = 10.0


class LabNetwork:
    """Open vSwitch, southbound, brain, bus, agent and a Mininet network, supervised."""

    def __init__(self, instance: Instance, topo: FabricTopo, supervisor: Supervisor) -> None:
        self.instance = instance
        self.topo = topo
        self.supervisor = supervisor
        self.net: Any = None
        lg.setLevel(logging.CRITICAL)  # it complains of limits that it cannot raise

    def start(self, timeout_s: float = 60.0) -> None:
        """Start everything and wait until the brain says that the network is as planned.

        Raises:
            LabError: a part does not come up; it names the log to read.
        """

        def too_long(*_: object) -> None:
            raise LabError(f"the network does not start: read {self.instance.directory}/logs")

        # Mininet waits for ever for a node that does not start
        signal.signal(signal.SIGALRM, too_long)
        signal.alarm(int(timeout_s) * 2)
        try:
            self._start(timeout_s)
        finally:
            signal.alarm(0)

    def _start(self, timeout_s: float) -> None:
        supervisor, instance = self.supervisor, self.instance
        supervisor.add_own("bus", instance.ensure_bus)
        supervisor.add_own("brain", instance.ensure_brain)
        supervisor.add("southbound", southbound_command(PORT))
        ovs.start_database(instance)
        supervisor.add_own("vswitchd", lambda: ovs.start_switch(instance))
        ovs.wait_switch()
        self.net = Mininet(
            topo=self.topo,
            build=False,
            autoSetMacs=True,
            host=FabricHost,
            controller=None,
            waitConnected=False,
        )
        self.net.addController(RemoteController("c0", ip="127.0.0.1", port=PORT))
        self.net.build()
        self.topo.wait = False
        self.net.start()
        wait_ovs(instance)
        if self.topo.cabling.wire is not None:
            supervisor.add("wire", self.topo.cabling.wire.command)
        supervisor.add("agent", agent_command(instance))
        supervisor.on_switch_restart = self._mend_switch
        supervisor.watch()
        if not wait_ready(instance, timeout_s):
            raise LabError(f"the network is not ready: read {instance.directory}/logs")
        for host in self.net.hosts:
            # a host that speaks to its gateway is a host that is known
            host.sendCmd(f"ping -c1 -W0.2 {host.params['defaultRoute'].split()[-1]}")
        for host in self.net.hosts:
            host.waitOutput()
        self._wait_hosts(timeout_s)

    def _wait_hosts(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self.instance.state().get("hosts", 0) < len(self.net.hosts):
            if time.monotonic() > deadline:
                raise LabError("not all hosts were found by their ARP requests")
            time.sleep(0.05)

    def _mend_switch(self) -> None:
        """After ovs-vswitchd came back: rates again, room again, and wait for the flows."""
        wait_ovs(self.instance)
        self.topo.shape()
        wait_ready(self.instance, LINK_OUTAGE_S)

    def hosts(self) -> list[ReplayHost]:
        """Return the hosts, in the order of the topology's nodes."""
        return [
            ReplayHost(host.pid, str(host.defaultIntf()), host.IP(), host.MAC())
            for host in (self.net[f"h{i}"] for i in range(1, len(self.topo.topology.nodes) + 1))
        ]

    def stop(self) -> None:
        """End the processes; the namespaces take the rest."""
        self.supervisor.stop()

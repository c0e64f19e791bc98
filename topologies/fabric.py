"""Any topology as an emulated network: a switch, an engine and a host at every location.

host ── engine (a two-port bridge with XDP on both ports) ── Open vSwitch ══ other switches

The same classes serve the demo and Mininet's own command. When the network starts, they write the
network file into the instance's directory and start the engine agent.
"""

import math
import sys
import time
from collections import defaultdict
from typing import Any

from mininet.log import info
from mininet.node import Host, OVSSwitch, Switch
from mininet.topo import Topo

from bus.instance import Instance
from headers.files import Topology
from headers.files.network import Engine, Location, Network, NetworkLink, save_network
from topologies.cabling import CORE_MTU, Cabling, FabricLink
from topologies.errors import TopologyError
from topologies.sources import find_topology

FASTEST_MBPS = 20.0
SLOWEST_MBPS = 2.0
"""Less carries so few packets that its load says nothing; the spread is compressed before that."""

MAX_FRAME = CORE_MTU + 14
MAX_LOCATIONS = 254
HOST_SIDE, FABRIC_SIDE = 1, 2
READY_S = 30.0
BFD_MS, BFD_PORTS = 100, 36
"""A link whose carrier stays while nothing comes through is noticed after three times this.

With more ports the pause grows: all run through one thread of Open vSwitch.
"""


class FabricSwitch(OVSSwitch):
    """Open vSwitch in user space: no kernel module is needed."""

    def __init__(self, name: str, bfd_ms: int = BFD_MS, **params: Any) -> None:
        self.bfd = f"bfd:enable=true bfd:min_tx={bfd_ms} bfd:min_rx={bfd_ms} bfd:mult=3"
        super().__init__(
            name,
            **{
                **params,
                "datapath": "user",
                "protocols": "OpenFlow13",
                "failMode": "secure",
                "reconnectms": 1000,
                "batch": False,
            },
        )

    def intfOpts(self, intf: Any) -> str:  # noqa: N802
        """Return what is set with a port: those that lead to other switches are watched by BFD."""
        options: str = super().intfOpts(intf)
        far = intf.link and (intf.link.intf2 if intf.link.intf1 is intf else intf.link.intf1)
        if not (far and isinstance(far.node, FabricSwitch)):
            return options
        return f"{options} -- set Interface {intf} {self.bfd}"

    def vsctl(self, *args: Any, **kwargs: Any) -> Any:
        """Run ovs-vsctl; what it complains of is an error, not a line to overlook."""
        out = super().vsctl(*args, **kwargs)
        if out and "ovs-vsctl:" in out:
            raise TopologyError(f"switch {self.name}: {out.strip()}")
        return out


class FabricHost(Host):
    """A host that knows nothing: an address, a gateway, and no static entries."""

    def config(self, **params: Any) -> Any:
        """Configure the interface so that XDP can redirect packets to it."""
        result = super().config(**params)
        interface = self.defaultIntf()
        self.cmd(
            f"ethtool -K {interface} gro on tx off; ip link set {interface} mtu 1500;"
            f" sysctl -qw net.ipv6.conf.all.disable_ipv6=1"
        )
        return result


class EngineNode(Switch):
    """A forwarding engine. Mininet takes it for a switch, so ``pingall`` leaves it alone."""

    def __init__(self, name: str, fabric: "FabricTopo", location: str, **params: Any) -> None:
        params["inNamespace"] = True
        super().__init__(name, **params)
        self.fabric = fabric
        self.location = location

    def start(self, _controllers: Any) -> None:
        """Bridge the two ports; what the programs do not take is bridged."""
        ports = [str(self.intfs[p]) for p in (HOST_SIDE, FABRIC_SIDE)]
        self.cmd(
            "sysctl -qw net.ipv6.conf.all.disable_ipv6=1;"
            "ip link add br0 type bridge && ip link set br0 mtu 1500 up;"
            + ";".join(f"ip link set {port} master br0 up" for port in ports)
        )

    @classmethod
    def batchStartup(cls, engines: Any, run: Any = None) -> Any:  # noqa: ARG003, N802
        """Shape the links, write the network file and start the agent; called by Mininet."""
        engines = tuple(engines)
        if engines:
            engines[0].fabric.bring_up(engines)
        return engines


class FabricTopo(Topo):
    """A topology with rates that one machine can carry."""

    def build(  # type: ignore[no-untyped-def]
        self,
        topology: Topology | str = "abilene",
        rate: float = FASTEST_MBPS,
        *,
        equal: bool = False,
        synthetic: bool = False,
        delay: bool = True,
        wire: bool = False,
        wait: bool = True,
        **_params,
    ) -> None:
        """Make the nodes and links.

        ``rate``: Mb/s of the fastest link, the others in proportion (or all alike: ``equal``),
        but none below SLOWEST_MBPS: where one would be, all get a power of their proportion.
        ``delay``: links have the topology's propagation delay. ``wire``: they are wires even where
        netem would do or there is no delay, so that they can be cut silently.

        Raises:
            TopologyError: too many locations, no links, or no topology of that name.
        """
        if isinstance(topology, str):
            topology = find_topology(topology)
        if len(topology.nodes) > MAX_LOCATIONS:
            raise TopologyError(
                f"{topology.name} has {len(topology.nodes)} locations;"
                f" at most {MAX_LOCATIONS} can be emulated"
            )
        if not topology.links:
            raise TopologyError(f"{topology.name} has no links")
        self.topology = topology
        self.synthetic = synthetic
        self.wait = wait
        capacities = [link.capacity_mbps for link in topology.links]
        fastest, slowest = max(capacities), min(capacities)
        self.power = 0.0 if equal else spread_power(slowest / fastest, rate)
        self.rate_bps = {
            link: 1e6 * rate * (link.capacity_mbps / fastest) ** self.power
            for link in topology.links
        }
        self.ports: dict[Any, Any]
        self.engine_of: dict[str, str] = {}
        bfd_ms = BFD_MS * max(1, -(-len(topology.links) // BFD_PORTS))
        for number, name in enumerate(topology.names, 1):
            switch = self.addSwitch(
                f"s{number}", cls=FabricSwitch, dpid=f"{number:x}", bfd_ms=bfd_ms
            )
            engine = self.addSwitch(f"e{number}", cls=EngineNode, fabric=self, location=name)
            host = self.addHost(
                f"h{number}",
                cls=FabricHost,
                ip=f"10.{number}.0.1/16",
                defaultRoute=f"via 10.{number}.255.254",
            )
            self.engine_of[name] = engine
            self.addLink(host, engine, port1=0, port2=HOST_SIDE, cls=FabricLink)
            self.addLink(engine, switch, port1=FABRIC_SIDE, port2=1, cls=FabricLink)
        self._add_core(delay=delay, wire=wire)

    def _add_core(self, *, delay: bool, wire: bool) -> None:
        """Join the switches: one veth pair carries a link and its opposite direction."""
        index = {name: number for number, name in enumerate(self.topology.names, 1)}
        waiting: dict[tuple[str, str], list[Any]] = defaultdict(list)
        free = dict.fromkeys(self.topology.names, 2)
        self.cabling = Cabling(self.rate_bps, delay=delay, wire=wire)
        self.core = self.cabling.core
        for link in self.topology.links:
            opposite = waiting[link.dst, link.src]
            if opposite:
                port_name, peer_name = opposite.pop()
                self.core.append((link, peer_name, port_name))
                continue
            ports = []
            for end in (link.src, link.dst):
                ports.append(free[end])
                free[end] += 1
            self.addLink(
                f"s{index[link.src]}",
                f"s{index[link.dst]}",
                port1=ports[0],
                port2=ports[1],
                cls=self.cabling.link,
            )
            names = (
                f"s{index[link.src]}-eth{ports[0]}",
                f"s{index[link.dst]}-eth{ports[1]}",
            )
            self.core.append((link, *names))
            waiting[link.src, link.dst].append(names)

    def network(self, engines: Any) -> Network:
        """Describe the running network, for the brain and the agent."""
        place = {node.name: node for node in self.topology.nodes}
        locations = []
        for engine in engines:
            number = int(engine.name[1:])
            node = place[engine.location]
            locations.append(
                Location(
                    node.name,
                    number,
                    f"10.{number}.0.0/16",
                    f"10.{number}.255.254",
                    Engine(
                        engine.name,
                        number,
                        (f"{engine.name}-eth{HOST_SIDE}",),
                        f"{engine.name}-eth{FABRIC_SIDE}",
                        1,
                        engine.pid,
                        f"s{number}-eth1",
                    ),
                    node.lat,
                    node.lon,
                )
            )
        order = {name: position for position, name in enumerate(self.topology.names)}
        locations.sort(key=lambda location: order[location.name])
        links = tuple(
            NetworkLink(x.src, x.dst, self.rate_bps[x], x.metric, x.delay_ms)
            for x in self.topology.links
        )
        return Network(self.topology.name, tuple(locations), links, self.synthetic, MAX_FRAME)

    def shape(self) -> None:
        """Give every core link its rate and length; after Open vSwitch took the ports."""
        self.cabling.shape()

    def about_rates(self) -> str:
        """Say in a few words how the links' rates come of the capacities."""
        rates = sorted(self.rate_bps.values())
        if self.power in (0.0, 1.0):
            return f"links of {rates[0] / 1e6:.3g} to {rates[-1] / 1e6:.3g} Mb/s"
        return (
            f"links of {rates[0] / 1e6:.3g} to {rates[-1] / 1e6:.3g} Mb/s (not in proportion to"
            f" their capacities, but to the power {self.power:.2f} of them: the slowest would carry"
            " next to nothing)"
        )

    def about_delay(self) -> str:
        """Say in a few words what the links' propagation delay is."""
        return self.cabling.about_delay()

    def bring_up(self, engines: Any) -> None:
        """Shape links, publish the network file, start the agent, wait until all is in place."""
        instance = Instance.find()
        self.cabling.connect(instance)
        self.shape()
        info(f"*** Rates are set; {self.about_delay()}\n")
        save_network(self.network(engines), instance.network_file)
        instance.stop("agent")
        instance.start_once("agent", agent_command(instance))
        if self.wait:
            wait_ready(instance, READY_S)


def spread_power(slowest_share: float, rate_mbps: float) -> float:
    """Return the power of the capacities that gives the slowest link SLOWEST_MBPS; 1 at most."""
    floor = min(SLOWEST_MBPS, rate_mbps) / rate_mbps
    if slowest_share >= floor:
        return 1.0
    return math.log(floor) / math.log(slowest_share)


def agent_command(instance: Instance) -> list[str]:
    """Return the command that serves the engines of this machine."""
    return [
        sys.executable,
        "-m",
        "controller.cli",
        "engine",
        "--network",
        str(instance.network_file),
    ]


def wait_ready(instance: Instance, timeout_s: float) -> bool:
    """Wait until the brain says that switches, links and engines are as planned."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if instance.state().get("ready"):
            return True
        time.sleep(0.05)
    info(f"*** The brain is not ready after {timeout_s:g} s: see {instance.directory}/logs\n")
    return False

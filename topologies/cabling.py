"""The core's cables: veth pairs with a rate, a queue, and a length.

A length (propagation delay) comes from netem where the kernel has it, else from the wire
(topologies/lab/wire.c), which sits in the middle of every cable.
"""

import fcntl
import itertools
import os
import socket
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mininet.link import Link as VethLink

from bus.instance import Instance
from topologies.errors import LabError, TopologyError
from topologies.lab.wire import DOWN, SILENT, UP, Cable, Wire, far_side

__all__ = ["CORE_MTU", "DOWN", "SILENT", "UP", "Cabling", "FabricLink"]

CORE_MTU = 1600
QUEUE_PACKETS = 50
HTB = "burst 15k quantum 3000"
BFD_RATE_BPS = 64_000
BFD_MATCH = "match ip protocol 17 0xff match ip dport 3784 0xffff"

_IFREQ = struct.Struct("16sH22x")
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1

_numbers = itertools.count(1000)


class FabricLink(VethLink):
    """A veth pair whose ends have numbers that no other interface of this machine's lab has.

    One set of BPF maps serves all engines, keyed by interface number, so numbers must not repeat
    from one network namespace to the next.
    """

    @classmethod
    def makeIntfPair(  # noqa: N802
        cls,
        intfname1: str,
        intfname2: str,
        addr1: str | None = None,
        addr2: str | None = None,
        node1: Any = None,
        node2: Any = None,
        deleteIntfs: bool = True,  # noqa: ARG003, N803
    ) -> Any:
        """Create the pair; called by Mininet."""
        _pair(
            node1,
            intfname1,
            addr1,
            f"{intfname2} index {next(_numbers)} mtu {CORE_MTU}"
            + (f" address {addr2}" if addr2 else "")
            + f" netns {node2.pid}",
        )


class WiredLink(FabricLink):
    """Two veth pairs with room for the wire between them; both ends lie with the switches."""

    @classmethod
    def makeIntfPair(  # noqa: N802
        cls,
        intfname1: str,
        intfname2: str,
        addr1: str | None = None,
        addr2: str | None = None,
        node1: Any = None,
        node2: Any = None,
        deleteIntfs: bool = True,  # noqa: ARG003, N803
    ) -> Any:
        """Create both; called by Mininet."""
        for node, name, address in ((node1, intfname1, addr1), (node2, intfname2, addr2)):
            far = far_side(name)
            _pair(node, name, address, f"{far} index {next(_numbers)} mtu {CORE_MTU}")
            # only what switches send goes over the cable
            node.cmd(f"sysctl -qw net.ipv6.conf.{far}.disable_ipv6=1; ip link set {far} up")


def _pair(node: Any, name: str, address: str | None, peer: str) -> None:
    out = node.cmd(
        f"ip link add name {name} index {next(_numbers)} mtu {CORE_MTU}"
        + (f" address {address}" if address else "")
        + f" type veth peer name {peer}"
    )
    if out:
        raise TopologyError(f"no veth pair {name}, {peer}: {out.strip()}")


class Cabling:
    """The cables of one topology.

    ``core``: for every directed link the port that it leaves by and the one that it arrives at.
    ``rates_bps``: by link. ``delay`` and ``wire`` as in FabricTopo.
    """

    def __init__(self, rates_bps: Mapping[Any, float], *, delay: bool, wire: bool) -> None:
        self.core: list[tuple[Any, str, str]] = []
        self.wire: Wire | None = None
        self._rates_bps = rates_bps
        self._lengths = any(link.delay_ms for link in rates_bps)
        self._delay = delay and self._lengths
        self._always = wire
        self._netem: bool | None = None
        self._instance: Instance | None = None

    @property
    def wired(self) -> bool:
        """Whether cables have a wire in the middle; the kernel is asked once."""
        if self._always or not self._delay:
            return self._always
        if self._netem is None:
            self._netem = has_netem()
        return not self._netem

    def link(self, *arguments: Any, **options: Any) -> FabricLink:
        """Make a cable; called by Mininet as if it were a class of links."""
        return (WiredLink if self.wired else FabricLink)(*arguments, **options)

    def _delay_ms(self, link: Any) -> float:
        return float(link.delay_ms or 0.0) if self._delay else 0.0

    def connect(self, instance: Instance) -> None:
        """Put the wire in, where there is to be one; frames that came before are lost.

        Raises:
            LabError: it does not come up.
        """
        self._instance = instance
        if not self.wired:
            return
        leaving = {port: link for link, port, _ in self.core}
        cables = []
        for link, port, peer in self.core:
            if peer in leaving and peer < port:
                continue  # the same cable, seen from its other end
            back = leaving.get(peer, link)
            cables.append(
                Cable(
                    port,
                    peer,
                    self._delay_ms(link),
                    self._delay_ms(back),
                    self._rates_bps[link],
                    self._rates_bps[back],
                )
            )
        instance.stop("wire")
        self.wire = Wire(instance.directory, cables)
        instance.start_once("wire", self.wire.command)
        self.wire.wait()

    def shape(self) -> None:
        """Give every core link its rate; after Open vSwitch took the ports, which drops qdiscs.

        Raises:
            TopologyError: tc refuses.
        """
        script = []
        for _, port, _peer in self.core:
            subprocess.run(
                ["tc", "qdisc", "del", "dev", port, "root"], capture_output=True, check=False
            )
        for link, port, _peer in self.core:
            rate = int(self._rates_bps[link])
            script += [
                f"qdisc add dev {port} root handle 1: htb default 1",
                f"class add dev {port} parent 1: classid 1:1 htb rate {rate} {HTB}",
                f"qdisc add dev {port} parent 1:1 handle 10: {self._queue(link, rate)}",
                # a full queue must not look like a broken link: BFD has a class of its own
                f"class add dev {port} parent 1: classid 1:2 htb rate {BFD_RATE_BPS} {HTB}",
                f"qdisc add dev {port} parent 1:2 handle 20: {self._queue(link, BFD_RATE_BPS)}",
                f"filter add dev {port} parent 1: protocol ip prio 1 u32 {BFD_MATCH} flowid 1:2",
            ]
        path = Path("/tmp") / f"foresteer-tc-{os.getpid()}"
        path.write_text("\n".join(script) + "\n")
        done = subprocess.run(["tc", "-b", path], capture_output=True, text=True, check=False)
        path.unlink()
        if done.returncode:
            raise TopologyError(f"tc: {done.stderr.strip()}")

    def _queue(self, link: Any, rate: int) -> str:
        """Return the queue of a link: with its propagation delay where netem gives it."""
        if self.wired or not self._delay_ms(link):
            return f"pfifo limit {QUEUE_PACKETS}"
        # what is on its way counts as queued there
        on_the_way = int(rate * link.delay_ms / 1000 / 8 / CORE_MTU) + 1
        return f"netem delay {link.delay_ms}ms limit {QUEUE_PACKETS + on_the_way}"

    def about_delay(self) -> str:
        """Say in a few words what the links' propagation delay is."""
        if self._delay:
            means = "wires" if self.wired else "netem"
            return f"links have the propagation delay of the topology ({means})"
        if self._lengths:
            return "links have no propagation delay: it was not wanted"
        return "links have no propagation delay: the topology has none"

    def ends(self, src: str, dst: str) -> tuple[str, str]:
        """Return the ports of the (first) cable between two locations.

        Raises:
            LabError: there is no such cable.
        """
        for link, port, peer in self.core:
            if (link.src, link.dst) == (src, dst):
                return port, peer
        raise LabError(f"there is no cable from {src} to {dst}")

    def lower(self, src: str, dst: str, *, up: bool = False) -> None:
        """Lower (or raise) the ports at both ends of a cable, as an engineer would, at once."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
            for port in self.ends(src, dst):
                name = port.encode()
                answer = fcntl.ioctl(asked, _SIOCGIFFLAGS, _IFREQ.pack(name, 0))
                flags = _IFREQ.unpack(answer)[1]
                flags = flags | _IFF_UP if up else flags & ~_IFF_UP
                fcntl.ioctl(asked, _SIOCSIFFLAGS, _IFREQ.pack(name, flags))

    def cut(self, src: str, dst: str, state: int, *, one_way: bool = False) -> None:
        """Set the state of the (first) cable between two locations: UP, DOWN or SILENT.

        Raises:
            LabError: there is no such cable, or no wire in it.
        """
        port, _ = self.ends(src, dst)
        if self.wire is None or self._instance is None:
            raise LabError(f"there is no wire in the cable from {src} to {dst}")
        self.wire.cut(port, state, self._instance.pid("wire"), one_way=one_way)


def has_netem() -> bool:
    """Whether this kernel can delay packets; tried on loopback with a delay of nothing."""
    trial = ["tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "0ms"]
    if subprocess.run(trial, capture_output=True, check=False).returncode:
        return False
    subprocess.run(["tc", "qdisc", "del", "dev", "lo", "root"], capture_output=True, check=False)
    return True

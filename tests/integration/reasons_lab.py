"""Two engines with a real agent, real hosts, and a Linux router for the core.

``python -m tests.integration.reasons_lab RESULT``, in namespaces of its own. It is the router:
what is not steered is really routed by its kernel, what is steered is handed from one port to the
other. Each case of reasons_cases.py is put in as a frame; what was counted and where the packet
came out is written as JSON.
"""

import asyncio
import contextlib
import json
import os
import select
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from bus import Bus, Instance
from dataplane.bench.stage.nodes import Node, run, veth
from dataplane.explain import Plane, read_plane
from dataplane.maps import KEY_SLOT, U32, open_maps
from dataplane.netns import network_namespace
from headers.files import network as files
from headers.messages import (
    ApplyEngines,
    Backend,
    EdgeCircuit,
    EngineDemand,
    EngineDesired,
    Grant,
    Hop,
    InstanceHere,
    Neighbour,
    Service,
)
from headers.packet import ETHERTYPE
from tests.integration import reasons_cases as cases
from tests.integration.plane_lab import PlaneLab
from tests.integration.reasons_cases import Case, Counted, End
from topologies.lab.namespaces import loopback_up

VERSION = 1 << 28
LATEST_S = 2.0
QUIET_S = 0.05
_ALL = 3
"""ETH_P_ALL."""
_PORTS = {"host1": "e1h", "guest": "e1c", "core2": "e2f"}
_NO_FILTER = (
    'for f in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e "$f" ] || echo 0 > "$f"; done'
)
"""Where br_netfilter is loaded, a bridge drops IP packets that are not whole."""


def _everywhere(number: int) -> tuple[int, ...]:
    return (number,) * 256


def _write(path: str, value: int) -> str:
    return f"echo {value} > /proc/sys/net/{path}"


class ReasonsLab(PlaneLab):
    """Host 1 and a customer before engine 1, host 2 behind engine 2, this namespace between."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="reasons"))
        self.instance = Instance(self.directory / "instance")
        self.connections = 1024
        self.generation = 0
        self.child = None
        self.hosts = {n: Node(f"h{n}") for n in (1, 2, 3)}
        self.nodes = {n: Node(f"e{n}") for n in (1, 2)}
        for n in (1, 2):
            veth("eth0", self.hosts[n], f"e{n}h", self.nodes[n])
            veth(f"e{n}f", self.nodes[n], f"core{n}", None, 1600)
        veth("eth0", self.hosts[3], "e1c", self.nodes[1], 1600)
        for n, ports in ((1, ("e1h", "e1c", "e1f")), (2, ("e2h", "e2f"))):
            node = self.nodes[n]
            node.run("sh", "-c", _write("ipv6/conf/all/disable_ipv6", 1))
            node.run("sh", "-c", _NO_FILTER)
            node.run("ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
            for port in ports:
                node.run("ip", "link", "set", port, "master", "br0")
            node.run("ip", "link", "set", "br0", "up")
        self._hosts()
        self._routes_of_engine()
        self._router()
        self.network = self.directory / "network.json"
        self.write_network()
        self.instance.ensure_bus()

    def _hosts(self) -> None:
        for n, address, prefix in ((1, cases.HOST1, 1), (2, cases.HOST2, 2), (3, cases.GUEST, 1)):
            host, gateway = self.hosts[n], f"10.{prefix}.255.254"
            host.run("sh", "-c", _write("ipv6/conf/eth0/accept_ra", 0))
            host.run("ethtool", "-K", "eth0", "gro", "on")
            host.run("ip", "addr", "add", f"{address}/16", "dev", "eth0")
            host.run("ip", "neigh", "add", gateway, "lladdr", cases.ROUTER_MAC, "dev", "eth0")
            host.run("ip", "route", "add", "default", "via", gateway)
        for n in (1, 2):
            self.hosts[n].run("ip", "addr", "add", f"fd0{n}::1/64", "dev", "eth0", "nodad")
        others = (cases.UNSTEERED, cases.NO_CIRCUIT, cases.NO_DEMAND, cases.UNLISTED)
        routed = (cases.BY_PORT, cases.BY_BRIDGE)
        virtual = (cases.VIP, cases.VIP_EMPTY, cases.VIP_NO_WAY, cases.VIP_HERE)
        for address in (*others, *routed, *virtual):
            self.hosts[2].run("ip", "addr", "add", f"{address}/32", "dev", "lo")

    def _routes_of_engine(self) -> None:
        """Let engine 2's kernel have routes: one by a port of its own, one by its bridge."""
        node = self.nodes[2]
        veth("e2x", node, "eth1", self.hosts[2])
        self.hosts[2].run("ethtool", "-K", "eth1", "gro", "on")
        self.hosts[2].run("sh", "-c", _write("ipv4/conf/eth1/rp_filter", 0))
        # it only receives here: what it would say by itself is nobody's packet
        self.hosts[2].run("sh", "-c", _write("ipv6/conf/eth1/disable_ipv6", 1))
        self.hosts[2].run("ip", "link", "set", "eth1", "multicast", "off")
        node.run("sh", "-c", _write("ipv4/conf/all/forwarding", 1))
        for address, port in ((cases.BY_PORT, "e2x"), (cases.BY_BRIDGE, "br0")):
            inside = "eth1" if port == "e2x" else "eth0"
            node.run("ip", "route", "add", f"{address}/32", "dev", port)
            node.run(
                *("ip", "neigh", "add", address, "dev", port),
                *("lladdr", self.mac(2, inside)),
            )

    def _router(self) -> None:
        """Make this namespace route between the two ports, without asking anybody for anything."""
        macs = {n: self.mac(n) for n in (1, 2, 3)}
        script = [_write("ipv4/ip_forward", 1)]
        for scope in ("all", "core1", "core2"):
            script += [
                _write(f"ipv4/conf/{scope}/rp_filter", 0),
                _write(f"ipv4/conf/{scope}/send_redirects", 0),
            ]
        run("sh", "-ec", "\n".join(script))
        for n in (1, 2):
            port = f"core{n}"
            run("ip", "link", "set", port, "address", cases.ROUTER_MAC)
            run("ip", "addr", "add", f"10.{n}.255.254/16", "dev", port)
        for address, n, port in (
            (cases.HOST1, 1, "core1"),
            (cases.GUEST, 3, "core1"),
            (cases.HOST2, 2, "core2"),
            (cases.UNLISTED, 2, "core2"),
        ):
            run("ip", "neigh", "add", address, "lladdr", macs[n], "dev", port)
        for prefix in ("10.3.0.0/16", "10.4.0.0/16", "10.5.0.0/16", "10.7.0.0/16", "10.9.0.0/16"):
            run("ip", "route", "add", prefix, "via", cases.HOST2)
        for one, other in (("core1", "core2"), ("core2", "core1")):
            threading.Thread(target=_relay, args=(one, other), daemon=True).start()

    def mac(self, n: int, port: str = "eth0") -> str:
        """Return a host's MAC address."""
        found: str = json.loads(self.hosts[n].run("ip", "-j", "link", "show", port))[0]["address"]
        return found

    def write_network(self, **changes: Any) -> None:
        """Write the network file that the agent is given."""
        ports: dict[int, tuple[str, ...]] = {1: ("e1h", "e1c"), 2: ("e2h", "e2x")}
        customers = {1: (("e1c", cases.CUSTOMER),), 2: ()}
        locations = tuple(
            files.Location(
                f"L{n}",
                n,
                f"10.{n}.0.0/16",
                f"10.{n}.255.254",
                files.Engine(
                    f"e{n}",
                    n,
                    ports[n],
                    f"e{n}f",
                    1,
                    self.nodes[n].pid,
                    f"core{n}",
                    customers[n],
                ),
            )
            for n in (1, 2)
        )
        network = files.Network("reasons", locations, (), max_frame=cases.MAX_FRAME)
        self.network.write_text(json.dumps(files.network_to_dict(replace(network, **changes))))

    def wanted(self) -> ApplyEngines:
        """Return a state in which each reason can be met."""
        self.generation += 1
        there, way = _everywhere(cases.THERE), _everywhere(0)
        one = EngineDesired(
            1,
            (
                EngineDemand("10.2.0.0/16", there),
                EngineDemand("fd02::/64", there),
                EngineDemand("10.3.0.0/16", way),
                EngineDemand("10.4.0.0/16", _everywhere(99)),
            ),
            (EdgeCircuit(cases.THERE, 2 << 16, VERSION, 1),),
            (Hop(cases.BACK, 1, deliver=True), Hop(cases.THROUGH, 1, deliver=True)),
            (Neighbour(cases.HOST1, self.mac(1)),),
            (
                Service(cases.VIP, 17, cases.PORT, _everywhere(1)),
                Service(cases.VIP_EMPTY, 17, cases.PORT, _everywhere(40)),
                Service(cases.VIP_NO_WAY, 17, cases.PORT, _everywhere(2)),
                Service(cases.VIP_HERE, 17, cases.PORT, _everywhere(3)),
            ),
        )
        two = EngineDesired(
            2,
            (),
            (),
            (
                Hop(cases.THERE, 1, deliver=True),
                Hop(cases.THROUGH, 2, deliver=False, next_mac=cases.ROUTER_MAC),
            ),
            (Neighbour(cases.HOST2, self.mac(2)), Neighbour("fd02::1", self.mac(2))),
            (),
            (InstanceHere(7, self.mac(2)),),
        )
        return ApplyEngines(
            1,
            self.generation,
            cases.EPOCH,
            1,
            cases.ROUTER_MAC,
            (one, two),
            backends=(Backend(1, 2, 7, there), Backend(2, 2, 7), Backend(3, 1, 99)),
            grants=(
                Grant(cases.CUSTOMER, cases.GRANTED, cases.THERE),
                Grant(cases.CUSTOMER, cases.WITHOUT_CIRCUIT, 99),
            ),
        )

    @contextlib.contextmanager
    def keyless(self) -> Any:
        """Be without the present epoch's key, as no agent would leave it."""
        maps, place = open_maps(self.instance.directory / "bpf"), U32.pack(cases.EPOCH)
        held = maps.keys.get(place)
        assert held is not None
        maps.keys.set(place, KEY_SLOT.pack(0, 0, 0, KEY_SLOT.unpack(held)[3]))
        try:
            yield
        finally:
            maps.keys.set(place, held)
            maps.close()


def _relay(one: str, other: str) -> None:
    """Hand steered frames from one port to the other, as a core does."""
    inward = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE))
    inward.bind((one, ETHERTYPE))
    outward = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    outward.bind((other, 0))
    while True:
        outward.send(inward.recv(2048))


class Eyes:
    """Where packets go in, and where they come out."""

    def __init__(self, lab: ReasonsLab) -> None:
        self._in: dict[str, socket.socket] = {"core2": _raw("core2", 0)}
        self._out: dict[socket.socket, End] = {_raw("core1", _ALL): End.ROUTER}
        for name, n in (("host1", 1), ("guest", 3)):
            with network_namespace(lab.hosts[n].pid):
                self._in[name] = _raw("eth0", 0)
        for n, end in ((1, End.HOST1), (2, End.HOST2)):
            with network_namespace(lab.hosts[n].pid):
                for port in (cases.PORT, cases.OTHER_PORT):
                    self._out[_listening(port)] = end
        with network_namespace(lab.hosts[1].pid):
            icmp = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self._out[icmp] = End.EXPIRED

    def put(self, where: str, frames: list[bytes]) -> None:
        """Put frames into a port."""
        for frame in frames:
            self._in[where].send(frame)

    def seen(self, case: Case, frames: list[bytes], seconds: float) -> list[str]:
        """Return where the case's packet came out; wait for the first, then a moment more."""
        found: list[str] = []
        deadline = time.monotonic() + seconds
        while (rest := deadline - time.monotonic()) > 0:
            for ready in select.select(list(self._out), [], [], rest)[0]:
                data, end = ready.recv(4096), self._out[ready]
                if _is_of(end, data, case, frames):
                    found.append(end.value)
                    deadline = min(deadline, time.monotonic() + QUIET_S)
        return sorted(found)


def _is_of(end: End, data: bytes, case: Case, frames: list[bytes]) -> bool:
    if end is End.ROUTER:
        # others that come by here are looked for at their hosts
        return case.end is End.ROUTER and data in frames
    if end is End.EXPIRED:
        # 20 bytes of IP, 8 of ICMP (time exceeded), then the packet that it is about
        return data[20] == 11 and data[28:].find(case.name.encode() + b"\0") > 0
    return data.startswith(case.name.encode() + b"\0")


def _raw(port: str, protocol: int) -> socket.socket:
    found = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
    found.bind((port, protocol))
    return found


def _listening(port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    found.bind(("::", port))
    return found


async def _counted(lab: ReasonsLab, bus: Bus, before: Counted, case: Case) -> Counted:
    """Return what the engines counted since, once it is what the case wants, or time is up."""
    deadline = time.monotonic() + LATEST_S
    while True:
        after = (await lab.counters(bus)).reasons
        found: Counted = {}
        for engine, reasons in after.items():
            named = case.counted.get(engine, {})
            grown = {
                name: number - before.get(engine, {}).get(name, 0)
                for name, number in reasons.items()
                if number != before.get(engine, {}).get(name, 0)
                and (name != "plain" or name in named)
            }
            if grown:
                found[engine] = grown
        if found == case.counted or time.monotonic() > deadline:
            return found


def _foretold(plane: Plane, case: Case, frames: list[bytes]) -> dict[str, int]:
    """Return what ``packet explain`` says that the engine where frames come in will count."""
    fates = [fate for frame in frames for fate in plane.fates(frame, _PORTS[case.where])]
    return dict(Counter(reason for fate in fates for reason in fate.reasons))


async def _run(lab: ReasonsLab, bus: Bus, eyes: Eyes, plane: Plane, case: Case) -> dict[str, Any]:
    before = (await lab.counters(bus)).reasons
    frames = case.frames(lab.instance.secret())
    foretold = _foretold(plane, case, frames)
    with lab.keyless() if case.keyless else contextlib.nullcontext():
        eyes.put(case.where, frames)
        wait = QUIET_S if case.end is End.NOWHERE else LATEST_S
        ends = await asyncio.to_thread(eyes.seen, case, frames, wait)
        counted = await _counted(lab, bus, before, case)
    return {"counted": counted, "ends": ends, "foretold": foretold}


async def _quiet(lab: ReasonsLab, bus: Bus) -> None:
    """Wait until nobody says anything that is counted: hosts announce themselves at first."""
    deadline, last = time.monotonic() + 8, None
    while (now := (await lab.counters(bus)).reasons) != last:
        assert time.monotonic() < deadline, "it does not become quiet"
        last = now
        await asyncio.sleep(0.3)


async def reasons(lab: ReasonsLab) -> dict[str, Any]:
    """Run all cases; return what was seen of each."""
    lab.start_agent()
    bus = await lab.bus()
    await lab.ready(bus)
    await lab.apply(bus, lab.wanted())
    eyes, found = Eyes(lab), {}
    await _quiet(lab, bus)
    for strict in (False, True):
        if strict:
            lab.stop_agent()
            lab.write_network(drop_refused=True)
            lab.start_agent()
            await lab.ready(bus)
        plane = read_plane(lab.instance.directory / "bpf")
        for case in cases.CASES:
            if case.strict is strict:
                found[case.name] = await _run(lab, bus, eyes, plane, case)
    await bus.close()
    return found


def main() -> int:
    """Run it all."""
    out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    loopback_up()
    found: dict[str, Any] = {}
    lab = None
    try:
        lab = ReasonsLab()
        found = asyncio.run(reasons(lab))
    except BaseException:
        found = {"error": traceback.format_exc()}
        for log in Path("/tmp").glob("reasons*/agent.log"):
            found["error"] += log.read_text()[-3000:]
    finally:
        os.write(out, json.dumps(found).encode())
        if lab is not None:
            lab.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Checks of the ports that a network file names, and of what is on their other ends."""

from collections.abc import Iterator

from dataplane.doctor.facts import Facts, Port, Role
from dataplane.doctor.finding import Finding, Findings, failure, none, ok, warning
from dataplane.interfaces import Interface

HEADER = 24  # bytes that steering adds to a frame
ETHERNET = 14
INNER_MTU = 1500
# a veth's frame with XDP lies in one page of 4 KiB, with headroom and what the kernel appends
XDP_VETH_MTU = 3506


def ports_seen(facts: Facts) -> Findings:
    """Without a network file there are no ports to look at."""
    if not facts.ports:
        yield none("ports", "none are named: give a network file with --network")
    for port in facts.ports:
        name = f"port:{port.name}"
        if port.interface is None:
            yield failure(
                name,
                f"{port.role.value} port of engine {port.engine}: {port.trouble}",
                f"ip link add {port.name} type veth peer name {port.name}-p"
                if "no interface" in port.trouble
                else "foresteer network --help",
            )
        elif not port.interface.up:
            yield failure(
                name,
                f"{port.role.value} port of engine {port.engine} is down",
                port.interface.command(f"ip link set dev {port.name} up"),
            )
        else:
            yield ok(name, f"{port.role.value} port of engine {port.engine} is up")


def _seen(facts: Facts, *roles: Role) -> Iterator[tuple[Port, Interface]]:
    for port in facts.ports:
        if port.role in roles and port.interface is not None:
            yield port, port.interface


def _inner_mtu(facts: Facts, engine: str) -> int:
    """Return the largest MTU of an engine's hosts, as far as their interfaces can be seen."""
    seen = [
        face.peer.mtu
        for port, face in _seen(facts, Role.HOST)
        if port.engine == engine and face.peer is not None
    ]
    return max(seen, default=INNER_MTU)


def mtu(facts: Facts) -> Findings:
    """A steered packet is 24 bytes longer; the fabric carries what the network file says."""
    for port, face in _seen(facts, Role.FABRIC):
        inner = _inner_mtu(facts, port.engine)
        frame = facts.max_frame or 0
        wanted = max(inner + HEADER, frame - ETHERNET)
        small = [x for x in (face, face.peer) if x is not None and x.mtu < wanted]
        name = f"mtu:{port.name}"
        for short in small:
            yield failure(
                name if short is face else f"mtu:{short.name}",
                f"{short.mtu} bytes; {wanted} are needed: {inner} of the hosts and {HEADER} of the"
                f" header, and largest frames of {frame}",
                short.command(f"ip link set dev {short.name} mtu {wanted}"),
            )
        if not small and 0 < frame < inner + HEADER + ETHERNET:
            yield warning(
                name,
                f"packets above {frame - HEADER - ETHERNET} bytes stay unmarked: the network file's"
                f" max_frame is {frame}, and the hosts' MTU {inner}",
                f'sed -i \'s/"max_frame": *[0-9]*/"max_frame": {inner + HEADER + ETHERNET}/\''
                f" {facts.network_file or 'FILE'}",
            )
        elif not small:
            yield ok(name, f"{face.mtu} bytes carry {inner} and the header")


def xdp_possible(facts: Facts) -> Findings:
    """With XDP on one end of a veth pair, the other end's packets must fit in a page."""
    for port, face in _seen(facts, *Role):
        large = [x for x in (face, face.peer) if x and x.kind == "veth" and x.mtu > XDP_VETH_MTU]
        for one in large:
            yield failure(
                f"xdp:{one.name}",
                f"the MTU {one.mtu} is above {XDP_VETH_MTU}: XDP cannot be attached to this end of"
                " the veth pair or the other, or loses frames",
                one.command(f"ip link set dev {one.name} mtu {XDP_VETH_MTU}"),
            )
        if not large:
            yield ok(
                f"xdp:{port.name}", f"a program {'is on it' if face.xdp else 'can be attached'}"
            )


def foreign_programs(facts: Facts) -> Findings:
    """An interface takes one XDP program; another's keeps ours off."""
    for port, face in _seen(facts, *Role):
        name = f"program:{port.name}"
        if face.xdp is None:
            yield ok(name, "no XDP program is on it")
        elif face.xdp in facts.own_programs:
            yield ok(name, "ours is on it")
        elif facts.agent_running and not facts.pins_mounted:
            yield none(name, f"program {face.xdp} is on it; without the pins nobody knows whose")
        else:
            link = facts.links.get((face.xdp, face.index))
            yield failure(
                name,
                f"program {face.xdp} is on it, which is not pinned below {facts.pins}:"
                " another tool's, or another instance's",
                face.command(f"ip link set dev {port.name} xdp off")
                if link is None
                else f"bpftool link detach id {link}",
            )


def redirect_peers(facts: Facts) -> Findings:
    """A veth whose peer has neither XDP nor GRO drops every frame redirected to it, silently."""
    for port, face in _seen(facts, Role.HOST, Role.FABRIC):
        name = f"redirect:{port.name}"
        if face.kind != "veth":
            yield none(name, f"{port.name} is no veth")
        elif face.peer is None:
            yield warning(
                name,
                f"the other end of {port.name} cannot be seen from here; it needs XDP or gro on",
                "ethtool -K PEER gro on",
            )
        elif face.peer.xdp or (face.peer.gro and port.role is Role.HOST):
            yield ok(name, f"{face.peer.name} takes redirected frames")
        elif face.peer.gro:
            yield warning(
                name,
                f"{face.peer.name} merges packets, which unmarked TCP through a switch in user"
                " space does not survive; name it as the engine's fabric_peer, and it gets a"
                " program instead",
                f'"fabric_peer": "{face.peer.name}" in the network file',
            )
        else:
            yield failure(
                name,
                f"{face.peer.name} has neither XDP nor gro on: frames redirected to {port.name}"
                " vanish without a trace",
                face.peer.command(f"ethtool -K {face.peer.name} gro on"),
            )


def merging(facts: Facts) -> Findings:
    """Merged packets would leave an engine larger than the link takes."""
    for port, face in _seen(facts, *Role):
        name = f"gro:{port.name}"
        if face.gro and face.xdp:
            yield failure(
                name,
                f"{port.name} merges packets before they are bridged: larger than the fabric takes",
                face.command(f"ethtool -K {port.name} gro off"),
            )
        elif face.gro:
            yield ok(name, "the agent turns it off when it attaches")
        else:
            yield ok(name, "off")


def checksums(facts: Facts) -> Findings:
    """A host that leaves checksums to its veth sends packets that nobody completes."""
    for port, face in _seen(facts, Role.HOST):
        name = f"checksum:{port.name}"
        if face.kind != "veth":
            yield none(name, f"{port.name} is no veth: its hosts' hardware fills in checksums")
        elif face.peer is None:
            yield warning(
                name,
                f"the host behind {port.name} cannot be seen; it must fill in its checksums itself",
                "ethtool -K IFACE tx off",
            )
        elif face.peer.tx_checksum:
            yield failure(
                name,
                f"{face.peer.name} leaves checksums to others: TCP stalls, though ping works",
                face.peer.command(f"ethtool -K {face.peer.name} tx off"),
            )
        else:
            yield ok(name, f"{face.peer.name} fills in its checksums")


def _sender(name: str, port: Port, face: Interface) -> Finding:
    """Say whether the other end of a veth pair puts its tags into the packet."""
    if face.peer is None:
        return none(name, f"the other end of {port.name} cannot be seen")
    if not face.peer.tx_vlan:
        return ok(name, "802.1Q tags are seen")
    return warning(
        name,
        f"{face.peer.name} keeps 802.1Q tags beside the packet: XDP does not see them",
        face.peer.command(f"ethtool -K {face.peer.name} txvlan off"),
    )


def vlan_tags(facts: Facts) -> Findings:
    """A tag that an offload keeps beside the packet is not seen by XDP."""
    for port, face in _seen(facts, Role.HOST, Role.FABRIC):
        name = f"vlan:{port.name}"
        if face.kind == "veth":
            if port.role is Role.HOST:  # a switch puts its tags into the packet
                yield _sender(name, port, face)
        elif face.rx_vlan:
            yield warning(
                name,
                f"{port.name} takes 802.1Q tags off before XDP sees them",
                face.command(f"ethtool -K {port.name} rxvlan off"),
            )
        else:
            yield ok(name, "802.1Q tags are seen")

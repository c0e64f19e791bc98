"""Attaching engines: programs to their ports, and what the programs must know of the ports."""

import os
from dataclasses import dataclass
from pathlib import Path

from dataplane import syscall
from dataplane.errors import AttachError, BpfError
from dataplane.maps import FALLBACK_DROP, FALLBACK_PASS, FALLBACK_RETURN, PORT, U32, Maps
from dataplane.netns import ifindex, network_namespace, switch_gro_off
from headers.files.network import Engine

SLOTS_PER_ENGINE = 4
FABRIC_SLOT = 0


@dataclass(frozen=True, slots=True)
class Attached:
    """An engine with its ports: their numbers, in the order of ``Engine.host_ports``."""

    engine: Engine
    fabric: int
    hosts: tuple[int, ...]

    def slot(self, position: int) -> int:
        """Return the redirect slot of the fabric port (0) or of host port ``position`` - 1."""
        return self.engine.number * SLOTS_PER_ENGINE + position


def link_name(engine: str, port: str) -> str:
    """Return the name that a port's link is pinned by; bpffs takes no dots (``eth0.100``)."""
    return f"{engine}:{port}".replace(".", "%")


def _attach(pins: Path, program: str, engine: Engine, port: str) -> None:
    """Put a pinned program on a port of the present namespace; the link is pinned.

    A link that is there already gets the program instead of the one it has, between two packets;
    one whose interface disappeared is made anew.
    """
    link = pins / "links" / link_name(engine.name, port)
    fd = syscall.get(pins / program)
    try:
        if link.exists():
            held = syscall.get(link)
            try:
                if syscall.link_ifindex(held) == ifindex(port):
                    syscall.replace_program(held, fd)
                    return
            finally:
                os.close(held)
            link.unlink()
        held = syscall.attach_xdp(fd, ifindex(port))
    except BpfError as error:
        raise AttachError(
            f"{program} cannot be attached to {port} of engine {engine.name}: {error.strerror}."
            " Is another XDP program on it (ip link shows 'xdp'), or does the driver lack XDP?"
        ) from error
    finally:
        os.close(fd)
    try:
        link.parent.mkdir(exist_ok=True)
        syscall.pin(held, link)
    finally:
        os.close(held)
    switch_gro_off(port)


def attach_engine(
    engine: Engine,
    maps: Maps,
    pins: Path,
    *,
    max_frame: int,
    router_mac: bytes,
    drop_refused: bool = False,
    fabric_program: str = "steer",
) -> Attached:
    """Put mark on the host ports and steer on the fabric port of an engine.

    Ports that are attached already go on without a packet lost, with the programs pinned now.

    Raises:
        AttachError: a port or the namespace is gone, a program is refused, or two engines of this
            machine have ports with the same number (the maps are keyed by it).
    """
    if engine.fabric_peer is not None:
        _attach(pins, "pass_all", engine, engine.fabric_peer)
    customers = dict(engine.customers)
    with network_namespace(engine.netns_pid):
        fabric = ifindex(engine.fabric_port)
        hosts = tuple(ifindex(port) for port in engine.host_ports)
        attached = Attached(engine, fabric, hosts)
        names = (engine.fabric_port, *engine.host_ports)
        for position, (number, name) in enumerate(zip((fabric, *hosts), names, strict=True)):
            known = maps.ports.get(U32.pack(number))
            if known is None:
                raise AttachError(
                    f"engine {engine.name}: interface number {number} is not below"
                    f" {maps.ports.entries}: create the port anew with another number"
                    " (ip link add ... index N)"
                )
            if PORT.unpack(known)[0] not in (0, engine.number):
                raise AttachError(
                    f"engine {engine.name}: a port has interface number {number}, as one of engine"
                    f" number {PORT.unpack(known)[0]} has: create the ports with distinct numbers"
                )
            # a devmap resolves the number in the namespace of whoever writes it
            maps.tx_ports.set(U32.pack(attached.slot(position)), U32.pack(number))
            fallback = FALLBACK_PASS if position else FALLBACK_RETURN
            wanted = PORT.pack(
                engine.number,
                attached.slot(FABRIC_SLOT),
                max_frame,
                FALLBACK_DROP if drop_refused else fallback,
                router_mac,
                customers.get(name, 0),
                PORT.unpack(known)[6],
            )
            if known != wanted:
                maps.ports.set(U32.pack(number), wanted)
        _attach(pins, fabric_program, engine, engine.fabric_port)
        for port in engine.host_ports:
            _attach(pins, "mark", engine, port)
    return attached


def detach_engine(attached: Attached, maps: Maps, pins: Path) -> None:
    """Take an engine's programs off: traffic is bridged as if they had never been there."""
    engine = attached.engine
    for port in (engine.fabric_peer, engine.fabric_port, *engine.host_ports):
        if port is not None:
            (pins / "links" / link_name(engine.name, port)).unlink(missing_ok=True)
    for number in (attached.fabric, *attached.hosts):
        maps.ports.set(U32.pack(number), bytes(PORT.size))

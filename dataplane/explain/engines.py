"""What this machine's engines would do with a frame, by the twin over the tables in force."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dataplane.capture import VERDICTS, SampledPort, attached_ports, find_port
from dataplane.errors import BpfError, DataplaneError
from dataplane.maps import CONNECTION, U32, open_maps
from dataplane.ports import SLOTS_PER_ENGINE
from dataplane.twin import Machine, Outcome, Tables
from dataplane.twin.memory import DROP, REDIRECT, TX, Connection
from dataplane.twin.packets import L2_PLAIN, Parsed, ether_type, parse
from dataplane.twin.steer import read
from dataplane.twin.tables import Route
from headers.packet.steering import ETHERTYPE

Held = Callable[[bytes], bytes | None]
"""What the connection table holds under a flow's key."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What an engine does with a frame that comes in at a port.

    ``verdict``: XDP's; ``reasons``: as counted, in order; ``text``: what becomes of the frame;
    ``frame``: as it leaves.
    """

    engine: str
    port: str
    program: str
    verdict: str
    reasons: tuple[str, ...]
    text: str
    frame: bytes


@dataclass(frozen=True, slots=True)
class Plane:
    """The tables of a running data plane, its ports, and the interface of each redirect slot."""

    tables: Tables
    ports: tuple[SampledPort, ...]
    slots: dict[int, int]
    held: Held = lambda _key: None

    def fates(self, frame: bytes, port: str = "") -> tuple[Fate, ...]:
        """Return what would become of a frame at a port, or at each where it could come in.

        Raises:
            DataplaneError: no such port.
        """
        chosen = [find_port(self.ports, port)] if port else self._likely(frame)
        return tuple(self._fate(frame, each) for each in chosen)

    def _is_fabric(self, port: SampledPort) -> bool:
        engine = self.tables.ports[port.ifindex].engine
        return self.slots.get(engine * SLOTS_PER_ENGINE) == port.ifindex

    def _likely(self, frame: bytes) -> Sequence[SampledPort]:
        """Return fabric ports for what is steered, those of its engine if one is known; else all.

        What comes from hosts can come in at each port that faces them.
        """
        known = [port for port in self.ports if port.ifindex in self.tables.ports]
        if ether_type(frame) != (ETHERTYPE, L2_PLAIN):
            return [port for port in known if not self._is_fabric(port)]
        fabric = [port for port in known if self._is_fabric(port)]
        header = read(frame[L2_PLAIN:])
        if header is None:
            return fabric
        hop = self.tables.hops.get((header.circuit, header.spi_si & 0xFF))
        engine = hop.engine if hop else header.c1 >> 16
        there = [port for port in fabric if self.tables.ports[port.ifindex].engine == engine]
        return there or fabric

    def _fate(self, frame: bytes, port: SampledPort) -> Fate:
        if port.ifindex not in self.tables.ports:
            raise DataplaneError(f"{port.engine}:{port.name} is no port of an engine of ours")
        asked: list[int] = []

        def fib(family: int, _src: bytes, _dst: bytes, _length: int, _ifindex: int) -> Route | None:
            asked.append(family)
            return None

        program = "steer" if self._is_fabric(port) else "mark"
        machine = Machine(replace(self.tables, fib=fib))
        self._remember(machine, frame, port)
        run = machine.steer if program == "steer" else machine.mark
        outcome = run(frame, port.ifindex)
        text = self._text(outcome, port)
        if asked:
            text += ", unless the kernel has a route for it: then it is routed (not looked up here)"
        return Fate(
            port.engine,
            port.name,
            program,
            VERDICTS[outcome.verdict],
            outcome.reasons,
            text,
            outcome.frame,
        )

    def _remember(self, machine: Machine, frame: bytes, port: SampledPort) -> None:
        """Let the twin know of the connection that the frame belongs to, if one is held."""
        kind, l2 = ether_type(frame)
        packet = parse(kind, frame[l2:])
        if not isinstance(packet, Parsed):
            return
        key = packet.key(self.tables.ports[port.ifindex].engine)
        value = self.held(key)
        if value is not None:
            last, opened, packets, size, backend, state = CONNECTION.unpack(value)[:6]
            machine.connections[key] = Connection(backend, state, last, opened, packets, size)

    def _text(self, outcome: Outcome, port: SampledPort) -> str:
        if outcome.verdict == DROP:
            return "it ends here"
        if outcome.verdict == TX:
            return f"it goes back out of {port.name}"
        if outcome.verdict != REDIRECT:
            return "it goes on to the kernel, which bridges or routes it"
        ifindex = self.slots.get(outcome.slot or 0)
        name = next((x.name for x in self.ports if x.ifindex == ifindex), None)
        return f"it leaves by {name or f'redirect slot {outcome.slot}'}"


def read_plane(pins: Path) -> Plane:
    """Read the tables of the engines whose programs are pinned below ``pins``.

    Raises:
        DataplaneError: none are running there, or their maps cannot be read.
    """
    ports = attached_ports(pins)
    try:
        maps = open_maps(pins)
        tables = Tables.from_maps(maps)
        slots = {
            slot: U32.unpack(value)[0]
            for engine in {port.engine for port in tables.ports.values()}
            for slot in range(engine * SLOTS_PER_ENGINE, (engine + 1) * SLOTS_PER_ENGINE)
            if (value := maps.tx_ports.get(U32.pack(slot))) is not None
        }
    except (BpfError, PermissionError) as error:
        raise DataplaneError(f"the maps below {pins}: {error.strerror}") from error
    return Plane(tables, ports, slots, maps.connections.get)

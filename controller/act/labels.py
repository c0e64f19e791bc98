"""A circuit as labels on switches: its path, the way back from a dead link, and its backup.

After H. Haskin, R. Krishnan, draft-haskin-mpls-fast-reroute-05: the switch before a dead link sends
packets back the way they came, with the protection bit set; the circuit's source sends those on to
a disjoint path. So every link of the path is protected by one backup, without anybody being told.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from controller.state import Circuit
from headers.messages import TURN_BACK, Label
from headers.packet.steering import MAX_CIRCUIT

Port = tuple[int, int]
PROTECTION = MAX_CIRCUIT + 1


@dataclass(frozen=True, slots=True)
class Ports:
    """Where links leave and arrive, as (dpid, port) by the link's name."""

    out: Mapping[str, Port]
    into: Mapping[str, Port]

    def known(self, links: tuple[str, ...]) -> bool:
        """Whether all links were discovered."""
        return all(link in self.out for link in links)

    def two_way(self, link: str) -> bool:
        """Whether packets can go back over a link: its cable is a link the other way, too."""
        if link not in self.into:
            return False
        back = self.into[link], self.out[link]
        return any((port, self.into.get(name)) == back for name, port in self.out.items())


def circuit_labels(circuit: Circuit, end: Port, ports: Ports) -> tuple[tuple[int, Label], ...]:
    """Return a circuit's labels, each with the datapath id of its switch.

    ``end``: the port of the engine that the circuit ends at. A circuit over a link that was never
    discovered has none; with such a link on its backup it has none of those for the backup.
    """
    if not ports.known(circuit.links):
        return ()
    protected = _protected(circuit, ports)
    turns = _turns(circuit.links, ports) if protected else 0
    labels = []
    for hop, link in enumerate(circuit.links):
        dpid, port = ports.out[link]
        backup, came_in = 0, 0
        if protected and hop == 0:
            backup = ports.out[circuit.backup[0]][1]
        elif hop <= turns and hop > 0:
            backup, came_in = TURN_BACK, ports.into[circuit.links[hop - 1]][1]
        label = Label(circuit.spi, port, came_in, backup, circuit.generation)
        labels.append((dpid, label))
    labels.append((end[0], Label(circuit.spi, end[1], generation=circuit.generation)))
    if protected:
        labels += _protection(circuit, end, ports, turns)
    return tuple(labels)


def _protected(circuit: Circuit, ports: Ports) -> bool:
    backup = circuit.backup
    return (
        bool(circuit.links and backup)
        and ports.known(backup)
        and all(link in ports.into for link in backup)
        and ports.out[backup[0]] != ports.out[circuit.links[0]]
    )


def _turns(links: tuple[str, ...], ports: Ports) -> int:
    """Return up to which hop packets can be sent back to the source."""
    for hop, link in enumerate(links[:-1]):
        if not ports.two_way(link):
            return hop
    return len(links) - 1


def _protection(circuit: Circuit, end: Port, ports: Ports, turns: int) -> list[tuple[int, Label]]:
    """Return the labels of packets that have the protection bit.

    All name the port that packets come in by: a switch may lie both on the way back and on the
    backup. Where both come in by one port, the backup leads on, which is shorter.
    """
    spi, generation = circuit.spi | PROTECTION, circuit.generation
    found: dict[Port, int] = {}
    for hop in range(turns):
        dpid, came_in = ports.out[circuit.links[hop]]
        before = ports.out[circuit.backup[0]] if hop == 0 else ports.into[circuit.links[hop - 1]]
        found[dpid, came_in] = before[1]
    onwards = [ports.out[link] for link in circuit.backup[1:]] + [end]
    for link, leaves in zip(circuit.backup, onwards, strict=True):
        found[ports.into[link]] = leaves[1]
    return [
        (dpid, Label(spi, port, came_in, generation=generation))
        for (dpid, came_in), port in found.items()
    ]

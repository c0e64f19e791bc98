"""Which circuits engines measure, in turn, beside watching each other."""

from collections.abc import Iterable

from controller.act.compile import LAST_HOP
from controller.state import Circuit
from headers.files.network import Network
from headers.messages import Probe


def engine_measures(network: Network, circuits: Iterable[Circuit]) -> tuple[Probe, ...]:
    """Return an echo for every circuit that has a way back: out on it, back on the lowest number.

    So what differs between two circuits of the same ends is the circuits' own.
    """
    numbers = {location.name: location.engine.number for location in network.locations}
    known = sorted(circuits, key=lambda circuit: circuit.spi)
    back: dict[tuple[str, str], int] = {}
    for circuit in known:
        back.setdefault((circuit.dst, circuit.src), circuit.spi)
    return tuple(
        Probe(
            numbers[circuit.src],
            numbers[circuit.dst],
            circuit.spi,
            LAST_HOP,
            back[circuit.src, circuit.dst],
            LAST_HOP,
        )
        for circuit in known
        if (circuit.src, circuit.dst) in back
    )

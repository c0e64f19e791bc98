"""How an edge chooses a circuit and what header it puts on."""

from dataplane.maps import MAX_ENGINES
from dataplane.twin.memory import REDIRECT, Arrival, Outcome
from dataplane.twin.packets import Parsed, decrement_ttl, push, tag_of
from dataplane.twin.tables import EdgeCircuit, Tables
from headers.packet import SteeringHeader

PRIORITY, APPLICATION = 0x0F000000, 0x00FFFF00


def is_down(tables: Tables, c1: int) -> bool:
    """Return whether the engine that C1 names is known to be down."""
    return c1 >> 16 & MAX_ENGINES - 1 in tables.down


def usable(tables: Tables, circuit: int, engine: int) -> EdgeCircuit | None:
    """Return the circuit, where this engine may put packets on it."""
    found = tables.edges.get(circuit)
    return found if circuit and found and found.engine == engine else None


def bucket_circuit(at: Arrival, slot: int, position: int) -> tuple[int, EdgeCircuit] | None:
    """Return a bucket's circuit; its backup while the engine at the first's end is down.

    Without a backup the first stays: what is known may be wrong.
    """
    tables, engine = at.tables, at.port.engine
    first, second = tables.bucket(slot, position)
    primary = usable(tables, first, engine)
    if primary and not is_down(tables, primary.c1):
        return first, primary
    backup = usable(tables, second, engine)
    if backup and not is_down(tables, backup.c1):
        at.count("on_backup", 0)
        return second, backup
    return (first, primary) if primary else None


def context(tables: Tables, c2: int, number: int) -> int:
    """Return C2 with a class's application type and priority; class 0 changes nothing."""
    if not number:
        return c2
    application, priority = tables.class_table.get(number, (0, 0))
    return c2 & ~(PRIORITY | APPLICATION) | (priority & 0xF) << 24 | application << 8


def no_key(tables: Tables) -> bool:
    """Return whether there is no key for the present epoch."""
    return tables.domain.c3 >> 24 not in tables.keys


def header_of(
    tables: Tables, circuit: int, edge: EdgeCircuit, c1: int, c2: int, packet: Parsed
) -> SteeringHeader:
    """Return a tagged header of the present epoch and forecast."""
    c3 = tables.domain.c3
    return SteeringHeader(
        circuit,
        edge.si,
        engine=c1 >> 16,
        port=c1 & 0xFFFF,
        version=c2 >> 28,
        priority=c2 >> 24 & 0xF,
        application=c2 >> 8 & 0xFFFF,
        flags=c2 & 0xFF,
        epoch=c3 >> 24,
        forecast=c3 & 0xFFFFFF,
        tag=tag_of(tables.keys[c3 >> 24], circuit, c1, c2, c3, packet.source + packet.destination),
        next_protocol=1 if packet.family == 4 else 2,
    )


def leave(at: Arrival, l2: int, packet: Parsed, header: SteeringHeader) -> Outcome:
    """Send the packet into the core, one hop older, behind its header."""
    frame = push(decrement_ttl(at.frame, l2, packet.family), l2, header)
    return Outcome(REDIRECT, frame, slot=at.port.out_slot)

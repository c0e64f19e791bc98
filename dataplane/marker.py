"""A customer's own marker: mark on one port, with a customer's key, out of another.

No bus and no brain: what to steer is given once, on the command line. Programs and maps are pinned
and go on when the command has ended; ``foresteer detach`` takes them off.
"""

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bus.keys import CUSTOMER_SECRET_BYTES
from dataplane import loader
from dataplane.bpffs import mount_bpffs
from dataplane.desired import RefusedError, State
from dataplane.errors import DataplaneError
from dataplane.keys import write_keys
from dataplane.maps import Maps, open_maps
from dataplane.ports import Attached, attach_engine
from headers.files.network import Engine
from headers.messages import ApplyEngines, EdgeCircuit, EngineDemand, EngineDesired
from headers.packet.steering import VERSION

NUMBER = 1
ROUTER_MAC = "02:f0:00:00:00:01"
BUCKETS = 256


@dataclass(frozen=True, slots=True)
class Marking:
    """What a marker does: circuits by prefix, and what its headers say.

    ``priority`` (0 to 15) and ``application`` (16 bits) are wishes: the edge lowers them to what
    was granted. ``epoch`` is the provider's.
    """

    circuits: Mapping[str, int]
    epoch: int = 0
    priority: int = 0
    application: int = 0
    max_frame: int = 1614


def read_secret(path: Path) -> bytes:
    """Return a customer's secret from its file.

    Raises:
        DataplaneError: unreadable, open to others, or no 32 bytes in hexadecimal digits.
    """
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise DataplaneError(f"{path} can be read by others: chmod 600 {path}")
        secret = bytes.fromhex(path.read_text())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no hexadecimal digits"
        raise DataplaneError(f"{path}: {reason}") from error
    if len(secret) != CUSTOMER_SECRET_BYTES:
        raise DataplaneError(f"{path} holds {len(secret)} bytes, not {CUSTOMER_SECRET_BYTES}")
    return secret


def desired(marking: Marking) -> ApplyEngines:
    """Return the state of the one engine that a marker is."""
    c2 = VERSION << 28 | marking.priority << 24 | marking.application << 8
    circuits = sorted(set(marking.circuits.values()))
    engine = EngineDesired(
        NUMBER,
        tuple(
            EngineDemand(prefix, (circuit,) * BUCKETS)
            for prefix, circuit in sorted(marking.circuits.items())
        ),
        tuple(EdgeCircuit(circuit, 0, c2, 1) for circuit in circuits),
        (),
        (),
    )
    return ApplyEngines(1, 1, marking.epoch, 0, ROUTER_MAC, (engine,))


def start_marker(
    inside: str, outside: str, secret: bytes, marking: Marking, pins: Path, stub: Path
) -> Attached:
    """Mark what comes in at ``inside`` and send it out at ``outside``.

    Raises:
        DataplaneError: the programs cannot be loaded or attached, or the marking cannot be held.
    """
    mount_bpffs(pins)
    loader.ensure_loaded(pins, stub)
    maps: Maps = open_maps(pins)
    engine = Engine("marker", NUMBER, (inside,), outside, 1)
    attached = attach_engine(
        engine,
        maps,
        pins,
        max_frame=marking.max_frame,
        router_mac=bytes.fromhex(ROUTER_MAC.replace(":", "")),
        # what comes back to a customer is plain
        fabric_program="pass_all",
    )
    write_keys(maps, secret, marking.epoch)
    try:
        State(maps, {NUMBER: attached}).apply(desired(marking))
    except RefusedError as error:
        raise DataplaneError(str(error)) from error
    return attached

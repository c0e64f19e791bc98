"""Makes up matrices for a topology and writes them, with the events that they hold."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from headers.files import FileError, load_topology
from models.datasets.events import load_events, plan_events, save_events, with_events
from models.datasets.get import save_whole
from models.datasets.native_writer import write_native
from models.datasets.progress import meter
from models.datasets.synthetic import DAY_S, generate_matrices

ARCHIVES = (".tgz", ".tar.gz")
INTERVALS_MAX = 2_000_000


@dataclass(frozen=True, slots=True)
class Order:
    """What to make: the options of ``foresteer data make``."""

    topology_path: Path
    out: Path
    days: float
    step_s: int
    seed: int
    start: datetime
    total_mbps: float | None = None
    count: int = 0
    planned: Path | None = None


def make(order: Order) -> list[str]:
    """Make up the traffic, write it, and say what was written.

    Raises:
        FileError: a file cannot be read or written, or is named as neither format.
        ValueError: an order that cannot be met.
    """
    packed = order.out.name.endswith(ARCHIVES)
    if not packed and order.out.suffix != ".npz":
        raise FileError(f"{order.out}: the name ends in .npz, or in .tgz for SNDlib's format")
    intervals = round(order.days * DAY_S / order.step_s)
    if intervals > INTERVALS_MAX:
        raise ValueError(f"{intervals} intervals; at most {INTERVALS_MAX} are made at once")
    topology = load_topology(order.topology_path)
    start_s = int(order.start.replace(tzinfo=UTC).timestamp())
    made = generate_matrices(
        topology, intervals, order.step_s, order.seed, total_mbps=order.total_mbps, start_s=start_s
    )
    events = load_events(order.planned) if order.planned else ()
    events += plan_events(made.nodes, made.time_s, order.count, order.seed)
    made = with_events(made, events)
    order.out.parent.mkdir(parents=True, exist_ok=True)
    if packed:
        with meter("writing", len(made)) as advance:
            write_native(made, order.out, made.name, topology, advance)
    else:
        save_whole(replace(made, name=order.out.stem), order.out)
    said = [f"{order.out}: {len(made)} intervals of {order.step_s} s, {made.name} (synthetic)"]
    if events:
        told = order.out.with_name(order.out.name + ".events.json")
        save_events(events, told)
        said.append(f"{told}: {len(events)} planned events (synthetic)")
    return said

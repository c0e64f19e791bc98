"""What a brain remembers of the one before it: the plan in force, and past demands."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from bus import Bus
from bus.subjects import PLAN
from controller.journal import Journal, plan_from_wire, plan_to_wire
from controller.state import Plan
from headers.files import load_matrices
from headers.files.network import Network

LOG = logging.getLogger("foresteer.memory")
JOURNAL_ROWS = 2400


async def keep_plan(bus: Bus, term: int, plan: Plan) -> None:
    """Keep the plan in force, with the term of the brain that made it.

    Raises:
        BusError: the store does not answer.
    """
    await bus.put(PLAN, msgpack.packb({"term": term, "plan": plan_to_wire(plan)}))


async def kept_plan(bus: Bus, network: Network) -> tuple[int, Plan | None]:
    """Return the last brain's term and its plan; (0, None) where there was none.

    A plan about another network is not returned, its term is.

    Raises:
        BusError: the store does not answer.
        ValueError: what is kept is damaged.
    """
    content = await bus.get(PLAN)
    if content is None:
        return 0, None
    try:
        kept: Mapping[str, Any] = msgpack.unpackb(content)
        term, plan = int(kept["term"]), plan_from_wire(kept["plan"])
    except (KeyError, TypeError, msgpack.UnpackException) as error:
        raise ValueError(f"the kept plan is damaged: {error}") from error
    names = {location.name for location in network.locations}
    fits = all(c.src in names and c.dst in names for c in plan.circuits)
    return term, plan if fits else None


def past_demands(given: Path, journal: Journal, network: Network) -> list[NDArray[np.float64]]:
    """Return demands [N, N] in bit/s, oldest first: a given matrix file, then the journal's.

    What is about other nodes is left out.

    Raises:
        FileError: the given file is damaged.
        JournalError: the journal is.
    """
    nodes = tuple(location.name for location in network.locations)
    rows: list[NDArray[np.float64]] = []
    if given.exists():
        past = load_matrices(given)
        if past.nodes == nodes:
            rows += [row * 1e6 for row in past.tm_mbps]
        else:
            LOG.error("%s is about other nodes; it is not used", given)
    return rows + [e.demands_bps for e in journal.entries(JOURNAL_ROWS) if e.nodes == nodes]

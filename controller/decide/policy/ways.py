"""What the ways from clients' locations to instances' locations are like under a plan.

The paths are those that the plan really uses, so what is promised of a service holds for the paths
that its packets take.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.decide.candidates import Floats
from controller.decide.costs import propagation_ms
from controller.decide.graph import shortest_paths
from controller.decide.situation import Situation
from controller.decide.spread import Counts, Pair
from controller.state import Matrix

MEASURED_MS = 0.5
"""Steps of what is measured: less is the machines' own doing, not distance."""


@dataclass(frozen=True, slots=True, eq=False)
class Ways:
    """Per pair of locations [N, N]: of all paths in use between them the worst.

    ``latency_ms``: one way, predicted; infinite where there is no way. ``trusted``: no path leaves
    trusted links. ``free_bps``: what their tightest link has left.

    ``near``: the propagation along the plain route in ms, and ``hops`` its links: what nearest goes
    by, since it does not change with every load. What is measured counts in steps of MEASURED_MS.
    """

    latency_ms: Matrix
    trusted: NDArray[np.bool_]
    free_bps: Matrix
    near: Matrix
    hops: Matrix


def ways_of(
    situation: Situation,
    spread: Mapping[Pair, Counts],
    named: Mapping[Pair, Iterable[tuple[int, ...]]],
    utilisation: Floats,
    targets: Iterable[int],
) -> Ways:
    """Return the ways to ``targets``; to other locations there are none.

    ``named``: the paths of operators' circuits; ``utilisation`` [E]: as planned.
    """
    size = len(situation.nodes)
    terms = situation.terms(utilisation)
    delay = terms.latency_ms.tolist()
    trust = [link.trusted for link in situation.links]
    left = ((1.0 - utilisation) * situation.capacity).tolist()
    latency = np.full((size, size), np.inf)
    trusted = np.zeros((size, size), dtype=np.bool_)
    free = np.zeros((size, size))
    near, hops = np.full((size, size), np.inf), np.full((size, size), np.inf)
    steady = [
        value if link.delay_ms is not None else round(value / MEASURED_MS) * MEASURED_MS
        for link, value in zip(
            situation.links, propagation_ms(situation.links).tolist(), strict=True
        )
    ]
    plain = shortest_paths(situation.graph)
    for target in targets:
        latency[target, target], trusted[target, target] = 0.0, True
        free[target, target] = np.inf
        near[target, target] = hops[target, target] = 0.0
        for source in range(size):
            pair = source, target
            paths = [*spread.get(pair, ()), *named.get(pair, ())]
            if not paths and pair in plain:
                paths = [plain[pair]]
            if source == target or not paths or pair not in plain:
                continue
            near[pair] = sum(steady[edge] for edge in plain[pair])
            hops[pair] = len(plain[pair])
            latency[pair] = max(sum(delay[edge] for edge in path) for path in paths)
            trusted[pair] = all(trust[edge] for path in paths for edge in path)
            free[pair] = max(0.0, min(left[edge] for path in paths for edge in path))
    return Ways(latency, trusted, free, near, hops)

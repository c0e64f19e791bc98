"""What a path costs: predicted latency, shortage, hops, security and money, each term on its own.

Cost of a path = sum of weight x term. The terms are kept apart, so that an explanation can name
them. Hard constraints are no costs: ``allowed`` says which paths may be used at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.decide.candidates import Candidates, Floats
from controller.decide.graph import Graph, Path
from controller.state import LinkState, PathConstraints, Weights

PACKET_BITS = 1400 * 8
"""What a packet in a queue is taken to hold."""

QUEUE_PACKETS = 50
"""A queue's length: no link delays for longer than this many packets."""

BUSIEST = 0.98
"""Above this utilisation a queue is taken to be full."""

LEAST_QUEUEING = 0.05
"""Links below this utilisation say nothing about queueing."""

CALIBRATION = (0.1, 10.0)
"""Within these factors of the model what was measured is believed."""

TERMS = ("latency", "shortage", "hops", "security", "money")


@dataclass(frozen=True, slots=True, eq=False)
class LinkTerms:
    """Per edge [E]: one-way latency in ms, shortage as a share of capacity, untrusted, money.

    ``money``: the price per GB that one more byte costs at the predicted load.
    """

    latency_ms: Floats
    shortage: Floats
    untrusted: Floats
    money: Floats


def queueing_ms(utilisation: Floats, capacity_bps: Floats) -> Floats:
    """Return [E]: the mean wait in a queue, M/M/1 with QUEUE_PACKETS places at most.

    Kleinrock, Queueing Systems I (1975), 3.2: service time x u / (1 - u).
    """
    service_ms = PACKET_BITS / capacity_bps * 1e3
    busy = np.clip(utilisation, 0.0, BUSIEST)
    waits = np.minimum(busy / (1.0 - busy), QUEUE_PACKETS)
    result: Floats = service_ms * np.where(utilisation > BUSIEST, QUEUE_PACKETS, waits)
    return result


def propagation_ms(links: list[LinkState]) -> Floats:
    """Return [E]: the inventory's delay, else half the measured round trip, else 0."""
    return np.array(
        [
            link.delay_ms
            if link.delay_ms is not None
            else (link.quality.rtt_ms / 2 if link.quality is not None else 0.0)
            for link in links
        ],
        dtype=np.float64,
    )


def calibration(links: list[LinkState], capacity_bps: Floats) -> float:
    """Return by which factor queues are longer than the model says, as probes measured them.

    The median over links that are busy enough to tell and have a delay in the inventory.
    """
    utilisation = np.array([link.rate_bps for link in links]) / capacity_bps
    model = queueing_ms(utilisation, capacity_bps)
    found = [
        (link.quality.rtt_ms / 2 - link.delay_ms) / float(model[at])
        for at, link in enumerate(links)
        if link.quality is not None
        and link.delay_ms is not None
        and utilisation[at] > LEAST_QUEUEING
    ]
    return float(np.clip(np.median(found), *CALIBRATION)) if found else 1.0


def link_terms(links: list[LinkState], capacity_bps: Floats, utilisation: Floats) -> LinkTerms:
    """Return the edges' terms at a predicted ``utilisation`` [E] (shares of capacity).

    ``links``: in the order of the edges.
    """
    waits = queueing_ms(utilisation, capacity_bps) * calibration(links, capacity_bps)
    commitment = np.array([link.commitment_bps for link in links])
    price = np.array([link.price_per_gb for link in links])
    return LinkTerms(
        propagation_ms(links) + waits,
        np.maximum(utilisation - 1.0, 0.0),
        np.array([0.0 if link.trusted else 1.0 for link in links]),
        np.where(utilisation * capacity_bps >= commitment, price, 0.0),
    )


def path_terms(options: Candidates, terms: LinkTerms) -> dict[str, Floats]:
    """Return TERMS to [P]: the sums along each path; a path's shortage is its worst link's."""

    def along(values: Floats) -> Floats:
        sums: Floats = np.add.reduceat(values[options.edges], options.starts)
        return sums

    if not options.paths:
        return {name: np.zeros(0) for name in TERMS}
    return {
        "latency": along(terms.latency_ms),
        "shortage": np.maximum.reduceat(terms.shortage[options.edges], options.starts),
        "hops": options.hops.astype(np.float64),
        "security": along(terms.untrusted),
        "money": along(terms.money),
    }


def path_costs(terms: Mapping[str, Floats], weights: Weights) -> Floats:
    """Return [P]: the weighted sums of the terms."""
    parts = [getattr(weights, name) * terms[name] for name in TERMS]
    total: Floats = np.sum(parts, axis=0)
    return total


def allowed(
    options: Candidates,
    links: list[LinkState],
    terms: Mapping[str, Floats],
    regions: list[str],
    wanted: PathConstraints,
) -> NDArray[np.bool_]:
    """Return [P]: whether a path keeps the hard constraints.

    ``regions``: of the nodes by number, empty where none was declared. A path's own ends may lie
    in a forbidden region: where traffic begins and ends is not the path's choice.
    """
    good = np.ones(len(options.paths), dtype=np.bool_)
    if not options.paths:
        return good
    if wanted.trusted_only:
        good &= terms["security"] == 0.0
    if wanted.max_latency_ms is not None:
        good &= terms["latency"] <= wanted.max_latency_ms
    if wanted.forbidden_regions:
        ends = [edge.dst for edge in options.graph.edges]
        inside = np.array([regions[end] in wanted.forbidden_regions for end in ends])
        last = options.starts + options.hops - 1
        through = inside[options.edges].astype(np.intp)
        through[last] = 0
        good &= np.add.reduceat(through, options.starts) == 0
    if wanted.avoid_links:
        avoided = np.array([link.name in wanted.avoid_links for link in links])
        good &= ~np.logical_or.reduceat(avoided[options.edges], options.starts)
    return good


def broken(
    path: Path,
    graph: Graph,
    links: list[LinkState],
    terms: LinkTerms,
    regions: list[str],
    wanted: PathConstraints,
) -> str:
    """Return which hard constraint one path breaks, and where, in words; empty if none."""
    for at, edge in enumerate(path):
        link, end = links[edge], graph.edges[edge].dst
        if wanted.trusted_only and not link.trusted:
            return f"{link.name} is not trusted"
        if link.name in wanted.avoid_links:
            return f"{link.name} is to be avoided"
        if at < len(path) - 1 and regions[end] in wanted.forbidden_regions:
            return f"{link.name} leads into the forbidden region {regions[end]}"
    latency = float(terms.latency_ms[list(path)].sum())
    if wanted.max_latency_ms is not None and latency > wanted.max_latency_ms:
        return f"it takes {latency:.1f} ms, and {wanted.max_latency_ms:.1f} ms are allowed"
    return ""

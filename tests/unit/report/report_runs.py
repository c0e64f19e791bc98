"""A run on Abilene to score; also lets importers use the small networks of the decide tests."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "decide"))

from decide_nets import forecast_of, from_topohub, snapshot_of, traffic

from controller.decide import plan
from controller.decide.candidates import capacities
from controller.decide.graph import graph_of
from controller.report import Fan, Note, Run, optimal_utilisation, splits_of
from controller.report.fluid import loads
from controller.report.score import _routing
from controller.state import Policies


def make_run(intervals=10, **changes):
    """Replay generated traffic: each interval planned from the one before, counters 2 % off."""
    nodes, links = from_topohub("sndlib/abilene")
    sent = traffic(len(nodes), intervals + 1)
    graph = graph_of(nodes, links)
    capacity = capacities(graph, links)
    sent *= 0.9 / max(optimal_utilisation(graph, capacity, matrix) for matrix in sent)
    rng = np.random.default_rng(5)
    previous, in_force, notes, rates = None, [], [], []
    for number in range(intervals):
        demands = sent[number]
        snapshot = snapshot_of(nodes, links, demands, number)
        previous = plan(snapshot, forecast_of(demands, number), Policies(), previous)
        in_force.append(splits_of(previous))
        notes.append(Note(number, 300.0 * number, previous.method, previous.moved_buckets,
                          previous.max_utilisation, previous.reason))  # fmt: skip
        offered = loads(_routing(in_force[-1], nodes, graph), sent[number + 1])
        by_name = dict(zip([edge.name for edge in graph.edges], offered, strict=True))
        rates.append([min(by_name[x.name], x.capacity_bps) for x in links])
    spread = np.linspace(0.7, 1.3, 7)
    fans = tuple(
        Fan(nodes[a], nodes[b], (1, 3), (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95),
            sent[:-1, a, b, None, None] * np.stack((spread, spread**2)))
        for a, b in ((0, 4), (2, 7))
    )  # fmt: skip
    packets = np.full(intervals, 1000, dtype=np.int64)
    fields = {
        "name": "abilene",
        "synthetic": True,
        "nodes": nodes,
        "links": links,
        "step_s": 300.0,
        "sent_bps": sent[1:],
        "before_bps": sent[0],
        "in_force": tuple(in_force),
        "link_rates_bps": np.array(rates) * rng.choice([0.98, 1.02], np.array(rates).shape),
        "sent_packets": packets,
        "delivered_packets": packets - 1,
        "steered_packets": packets - 11,
        "ticks": intervals,
        "skipped_ticks": 0,
        "rule_errors": 0,
        "decide_ms": tuple(float(x) for x in range(1, intervals + 1)),
        "decisions": tuple(notes),
        "places": (None, *((30.0 + at, -120.0 + 5 * at) for at in range(1, len(nodes)))),
        "expected": np.array(rates) / [link.capacity_bps for link in links],
        "fans": fans,
    }
    return Run(**{**fields, **changes})

"""Small networks for the tests of deciding."""

import numpy as np
import topohub

from controller.state import Forecast, LinkState, Snapshot


def link(src, dst, capacity=100.0, metric=1.0, number=1, up=True, rate=0.0):
    name = f"{src}>{dst}" + (f"/{number}" if number > 1 else "")
    return LinkState(name, src, dst, capacity, metric, None, up, rate)


def both(*cables):
    """Make links in both directions of (a, b, capacity, metric)."""
    return tuple(link(*ends, *cable[2:]) for cable in cables for ends in (cable[:2], cable[1::-1]))


DIAMOND = both(("a", "b", 100.0, 1.0), ("b", "d", 100.0, 1.0), ("a", "c", 50.0, 2.0),
               ("c", "d", 50.0, 2.0))  # fmt: skip
DIAMOND_NODES = ("a", "b", "c", "d")


def demands_of(nodes, **rates):
    """Make a matrix from rates by name, ``a_d=80.0``."""
    matrix = np.zeros((len(nodes), len(nodes)))
    for pair, rate in rates.items():
        a, b = pair.split("_")
        matrix[nodes.index(a), nodes.index(b)] = rate
    return matrix


def snapshot_of(nodes, links, demands, number=1):
    return Snapshot(number, 0.0, 5.0, 300.0, nodes, tuple(links), demands, demands[None])


def forecast_of(demands, number=1, horizons=(1,), levels=(0.5, 0.75)):
    fan = np.broadcast_to(demands, (len(horizons), len(levels), *demands.shape)).copy()
    return Forecast(number, number, horizons, levels, fan, ())


def from_topohub(name):
    """Return nodes and links (one capacity, hop count as metric) of one of topohub's networks."""
    found = topohub.get(name)
    names = {node["id"]: str(node["name"]) for node in found["nodes"]}
    links = [
        link(names[a], names[b], 10e9)
        for edge in found["edges"]
        for a, b in ((edge["source"], edge["target"]), (edge["target"], edge["source"]))
    ]
    return tuple(names.values()), tuple(links)


def traffic(size, intervals, seed=1, mean=1e9):
    """Return [T, N, N] that drifts and bursts."""
    rng = np.random.default_rng(seed)
    base = mean * np.outer(rng.gamma(1.0, size=size), rng.gamma(1.0, size=size))
    walk = np.exp(np.cumsum(0.05 * rng.normal(size=(intervals, size, size)), axis=0))
    matrices = base * walk
    matrices[:, np.arange(size), np.arange(size)] = 0.0
    return matrices

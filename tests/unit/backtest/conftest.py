"""A small network with traffic that was made up; also finds the small networks of decide."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "decide"))

from headers.files import (
    Link,
    Node,
    Topology,
    TrafficMatrices,
    save_matrices,
    save_topology,
)

NAMES = ("a", "b", "c", "d")
CABLES = (("a", "b", 100.0), ("b", "d", 100.0), ("a", "c", 60.0), ("c", "d", 60.0),
          ("b", "c", 40.0))  # fmt: skip
STEP_S = 300


@pytest.fixture(scope="session")
def topology():
    links = [
        Link(*ends, capacity, 100.0 / capacity)
        for a, b, capacity in CABLES
        for ends in ((a, b), (b, a))
    ]
    return Topology("small", tuple(Node(name) for name in NAMES), tuple(links))


@pytest.fixture(scope="session")
def matrices():
    rng = np.random.default_rng(7)
    count, size = 420, len(NAMES)
    base = rng.gamma(1.0, 8.0, (size, size))
    day = 1 + 0.5 * np.sin(np.arange(count) * 2 * np.pi / 288)
    noise = np.exp(0.15 * rng.normal(size=(count, size, size)))
    tm = (base * day[:, None, None] * noise).astype(np.float32)
    tm[:, np.arange(size), np.arange(size)] = 0.0
    time = np.arange(count, dtype=np.int64) * STEP_S
    return TrafficMatrices("small", NAMES, time, tm, True)


@pytest.fixture(scope="session")
def network(topology, matrices):
    from controller.backtest.network import test_network as put_together

    return put_together(topology, matrices)


@pytest.fixture
def files(tmp_path, topology, matrices):
    """Paths of the matrices' and the topology's files."""
    tm, where = tmp_path / "tm.npz", tmp_path / "topology.json"
    save_matrices(matrices, tm)
    save_topology(topology, where)
    return tm, where

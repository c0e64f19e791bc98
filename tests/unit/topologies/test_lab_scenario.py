"""What the demo replays: shortest paths, the busiest stretch, and the scale."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import topohub

from headers.files import (
    FileError,
    Link,
    Node,
    Topology,
    TrafficMatrices,
    load_matrices,
    save_matrices,
    save_topology,
)
from topologies.errors import TopologyError
from topologies.lab.scenario import (
    HISTORY_INTERVALS,
    PEAK,
    STEERING_BYTES,
    busiest_start,
    choose,
    match_nodes,
    prepare,
    shortest_path_loads,
)
from topologies.sources import ENVIRONMENT, from_topohub


def topology(*links: tuple[str, str, float], nodes: str = "abcd") -> Topology:
    return Topology(
        "test", tuple(Node(n) for n in nodes), tuple(Link(a, b, 10.0, m) for a, b, m in links)
    )


# a square: a to d by b or by c, alike; everything one way
SQUARE = topology(
    ("a", "b", 1.0), ("b", "d", 1.0), ("a", "c", 1.0), ("c", "d", 1.0), ("d", "a", 1.0)
)


def one_demand(source: int, destination: int, rate: float = 8.0) -> np.ndarray:  # type: ignore[type-arg]
    demands = np.zeros((1, 4, 4))
    demands[0, source, destination] = rate
    return demands


def test_equal_paths_share_a_demand() -> None:
    assert shortest_path_loads(SQUARE, one_demand(0, 3)).tolist() == [[4.0, 4.0, 4.0, 4.0, 0.0]]


def test_worked_example_of_three_demands() -> None:
    demands = one_demand(0, 3) + one_demand(1, 0, 2.0) + one_demand(2, 1, 1.0)
    # a>d splits; b>a goes b-d-a; c>b goes c-d-a-b
    assert shortest_path_loads(SQUARE, demands).tolist() == [[5.0, 6.0, 4.0, 5.0, 3.0]]


def test_longer_path_carries_nothing() -> None:
    longer = replace(
        SQUARE, links=(*SQUARE.links[:2], Link("a", "c", 10.0, 1.5), *SQUARE.links[3:])
    )
    assert shortest_path_loads(longer, one_demand(0, 3)).tolist() == [[8.0, 8.0, 0.0, 0.0, 0.0]]


def test_parallel_links_share_a_demand() -> None:
    double = topology(("a", "b", 1.0), ("a", "b", 1.0), ("b", "a", 1.0), nodes="ab")
    demands = np.zeros((1, 2, 2))
    demands[0, 0, 1] = 3.0
    assert shortest_path_loads(double, demands).tolist() == [[1.5, 1.5, 0.0]]


def test_intervals_are_independent() -> None:
    demands = np.concatenate([one_demand(0, 3), one_demand(0, 3, 2.0)])
    loads = shortest_path_loads(SQUARE, demands)
    assert np.array_equal(loads[0], 4 * loads[1])


def test_network_in_two_parts_is_refused() -> None:
    apart = topology(("a", "b", 1.0), ("b", "a", 1.0), nodes="abc")
    with pytest.raises(TopologyError, match="test is not connected"):
        shortest_path_loads(apart, np.zeros((1, 3, 3)))


@pytest.mark.parametrize(
    "name", ["sndlib/abilene", "sndlib/geant", "sndlib/polska", "topozoo/Abilene"]
)
def test_loads_agree_with_topohubs_own_for_uniform_demands_over_hops(name: str) -> None:
    found = from_topohub(name)
    hops = replace(found, links=tuple(replace(link, metric=1.0) for link in found.links))
    uniform = 1.0 - np.eye(len(hops.nodes))
    loads = shortest_path_loads(hops, uniform[None])[0]
    theirs = [
        edge[way]["uni"] for edge in topohub.get(name)["edges"] for way in ("ecmp_fwd", "ecmp_bwd")
    ]
    # theirs are percentages of the busiest link, rounded
    assert np.abs(100 * loads / loads.max() - theirs).max() < 0.01


def matrices(tm: np.ndarray, nodes: tuple[str, ...] = ("a", "b", "c", "d")) -> TrafficMatrices:  # type: ignore[type-arg]
    return TrafficMatrices("made", nodes, np.arange(len(tm), dtype=np.int64) * 300, tm)


def test_matrices_come_in_the_order_of_the_topology() -> None:
    tm = np.arange(16.0).reshape(1, 4, 4)
    turned = match_nodes(SQUARE, matrices(tm, ("d", "b", "c", "a")))
    assert turned.nodes == ("a", "b", "c", "d")
    assert turned.tm_mbps[0, 0, 1] == tm[0, 3, 1]  # a to b
    assert turned.tm_mbps[0, 3, 0] == tm[0, 0, 3]  # d to a


def test_matrices_of_other_nodes_are_refused_by_name() -> None:
    with pytest.raises(TopologyError, match="a is in one only"):
        match_nodes(SQUARE, matrices(np.zeros((1, 4, 4)), ("e", "b", "c", "d")))


def test_busiest_stretch_is_found_from_where_history_ends() -> None:
    loads = np.array([9.0, 9.0, 1.0, 1.0, 2.0, 5.0, 6.0, 1.0])
    assert busiest_start(loads, 2, 0) == 0
    assert busiest_start(loads, 2, 2) == 5


def test_single_spike_does_not_decide() -> None:
    loads = np.full(1000, 1.0)
    loads[500] = 1000.0
    loads[800:820] = 2.0
    assert 790 < busiest_start(loads, 10, 0) <= 810


@pytest.mark.parametrize(("length", "count", "first"), [(10, 48, 0), (10, 8, 3), (0, 1, 0)])
def test_too_few_matrices_are_refused_with_what_to_do(length: int, count: int, first: int) -> None:
    with pytest.raises(TopologyError, match=f"{length} matrices are too few to replay {count}"):
        busiest_start(np.ones(length), count, first)


def day(count: int) -> TrafficMatrices:
    rng = np.random.default_rng(1)
    tm = rng.uniform(0.5, 1.0, (count, 4, 4)) * (1 + np.arange(count)[:, None, None] / count)
    tm[:, np.eye(4, dtype=bool)] = 0.0
    return matrices(tm)


RATES = np.full(5, 20e6)


def test_busiest_link_reaches_the_peak_under_shortest_paths() -> None:
    scenario = prepare(SQUARE, day(400), 40, RATES, frame=1400)
    busiest = (shortest_path_loads(SQUARE, scenario.wire_bps) / RATES).max(axis=1)
    assert np.percentile(busiest, 95) == pytest.approx(PEAK)


def test_history_is_the_day_just_before_the_replay_at_the_same_scale() -> None:
    given = day(400)
    # the ratio of two demands tells an interval's number, whatever the scale
    given.tm_mbps[:, 0, 1], given.tm_mbps[:, 1, 2] = 1000 + np.arange(400), 1.0
    scenario = prepare(SQUARE, given, 40, RATES, frame=1400)
    rows = np.concatenate([scenario.history_bps, scenario.wire_bps])
    numbers = np.rint(rows[:, 0, 1] / rows[:, 1, 2] - 1000).astype(int)
    assert len(scenario.wire_bps) == 40
    assert len(scenario.history_bps) == HISTORY_INTERVALS
    assert numbers.tolist() == list(range(numbers[0], numbers[0] + HISTORY_INTERVALS + 40))
    assert np.allclose(rows[:, 1, 2], rows[0, 1, 2])


def test_packets_with_their_headers_make_the_rate_on_the_wire() -> None:
    scenario = prepare(SQUARE, day(100), 20, RATES, frame=1000)
    bits = 8 * (1000 + STEERING_BYTES)
    assert np.allclose(scenario.packets_per_s * bits, scenario.wire_bps)
    assert scenario.data_step_s == 300.0


def test_as_many_matrices_as_asked_for_are_enough_and_leave_no_history() -> None:
    scenario = prepare(SQUARE, day(20), 20, RATES, frame=1400)
    assert (len(scenario.wire_bps), len(scenario.history_bps)) == (20, 0)


def test_fewer_matrices_than_asked_for_are_refused() -> None:
    with pytest.raises(TopologyError, match="--matrices"):
        prepare(SQUARE, day(10), 48, RATES, frame=1400)


def test_matrices_without_traffic_are_refused() -> None:
    with pytest.raises(TopologyError, match="made holds no traffic"):
        prepare(SQUARE, matrices(np.zeros((50, 4, 4))), 20, RATES, frame=1400)


def test_matrices_without_a_topology_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match="--tm needs --topology"):
        choose(tmp_path / "tm.npz", None, None, 10, 1)


def test_own_files_are_taken(tmp_path: Path) -> None:
    save_topology(SQUARE, tmp_path / "t.json")
    save_matrices(day(12), tmp_path / "tm.npz")
    shape, traffic = choose(tmp_path / "tm.npz", str(tmp_path / "t.json"), None, 10, 1)
    assert (shape, len(traffic), traffic.synthetic) == (SQUARE, 12, False)


def test_without_data_traffic_is_synthetic_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path))
    shape, traffic = choose(None, None, None, 10, 1)
    assert (shape.name, traffic.synthetic) == ("abilene", True)
    assert len(traffic) == HISTORY_INTERVALS + 10
    again = choose(None, None, None, 10, 1)[1]
    assert np.array_equal(again.tm_mbps, traffic.tm_mbps)


def test_file_that_names_a_node_twice_is_refused(tmp_path: Path) -> None:
    twice = matrices(np.zeros((1, 4, 4)), ("a", "b", "c", "a"))
    save_matrices(twice, tmp_path / "tm.npz")
    with pytest.raises(FileError, match="a node name occurs more than once"):
        load_matrices(tmp_path / "tm.npz")

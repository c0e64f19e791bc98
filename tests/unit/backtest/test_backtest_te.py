"""The back-test of decisions: nothing from the future, figures as promised, refusals by name."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from controller.backtest.commands import te
from controller.backtest.methods import METHODS, Reactive, moved_share, spread_of
from controller.backtest.network import test_network as put_together
from controller.backtest.run import backtest_te, bootstrap_difference, lazy_forecasts
from controller.decide.errors import DecideError
from controller.report.optimum import optimal_utilisation
from controller.state import Policies
from headers.errors import FileError
from headers.files import Link, Topology

START, STOP = 310, 322


ALL = ("reactive", "reactive2", "predictive", "robust")


def decided(network, horizon):
    """Return what each method decides for the targets from START to STOP."""
    forecasts = lazy_forecasts(network, horizon, START, STOP)
    policies = Policies(horizon_steps=horizon, paths=4)
    found = {}
    for name in ALL:
        method = METHODS[name](network, 4, policies, forecasts)
        ways = [method.decide(target - horizon, network.links) for target in range(START, STOP)]
        found[name] = [spread_of(way) for way in ways]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("horizon", [1, 3])
def test_another_future_changes_nothing_that_was_decided_before(network, horizon):
    before = decided(network, horizon)
    changed = network.tm_bps.copy()
    turn = START + 6
    changed[turn - horizon + 1 :] = 5.0 * changed[turn - horizon + 1 :][::-1]
    after = decided(replace(network, tm_bps=changed), horizon)
    for name in ALL:
        assert after[name][:7] == before[name][:7]
        assert after[name][7:] != before[name][7:]


def test_reacting_is_on_the_last_matrix_and_no_other(network):
    only = np.zeros_like(network.tm_bps)
    only[START] = network.tm_bps[START]
    method = Reactive(network, 4, 1.002)
    there = Reactive(replace(network, tm_bps=only), 4, 1.002)
    one, other = (spread_of(m.decide(START, network.links)) for m in (method, there))
    assert one == other


@pytest.fixture(scope="module")
def measured(network):
    return backtest_te(network, ("ospf", "ecmp", "reactive", "reactive2", "predictive"), 1,
                       START, STOP, paths=4)  # fmt: skip


@pytest.mark.slow
def test_no_method_is_better_than_the_optimum_and_all_are_measured(measured):
    for one in measured.values():
        assert len(one.ratio) == len(one.solve_ms) == STOP - START
        assert (one.ratio >= 1 - 1e-6).all()
        assert len(one.churn) == STOP - START - 1
    assert measured["reactive2"].ratio.mean() < measured["ospf"].ratio.mean()
    assert measured["predictive"].ratio.mean() < measured["ospf"].ratio.mean()
    assert (measured["ospf"].churn == 0).all()
    assert (measured["reactive"].churn > 0).any()


@pytest.mark.slow
def test_the_ratio_is_the_utilisation_over_that_interval_s_optimum(network, measured):
    graph = network.graph
    capacity = network.capacity(graph)
    way = METHODS["ospf"](network, 4, Policies(), None).decide(0, network.links)
    from controller.report.fluid import loads

    for at, target in enumerate(range(START, STOP)):
        tm = network.tm_bps[target]
        wanted = (loads(way, tm) / capacity).max() / optimal_utilisation(graph, capacity, tm)
        assert measured["ospf"].ratio[at] == pytest.approx(wanted)


def test_intervals_without_traffic_are_left_out(network):
    silent = network.tm_bps.copy()
    silent[START + 1] = 0.0
    found = backtest_te(replace(network, tm_bps=silent), ("ospf",), 1, START, START + 3)
    assert len(found["ospf"].ratio) == 2


def test_a_method_that_is_not_there_is_refused_by_name(network):
    with pytest.raises(DecideError, match="no method 'magic'; there are ospf, ecmp"):
        backtest_te(network, ("ospf", "magic"), 1, START, STOP)


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (10, 10), (20, 10), (410, 421)])
def test_intervals_that_cannot_be_decided_are_refused(network, start, stop):
    with pytest.raises(DecideError, match="cannot be decided 1 steps ahead"):
        backtest_te(network, ("ospf",), 1, start, stop)


def test_a_topology_about_other_nodes_is_refused(topology, matrices):
    odd = Topology("odd", (*topology.nodes[:3], replace(topology.nodes[3], name="z")), ())
    with pytest.raises(FileError, match="are about different nodes: d is in one only"):
        put_together(odd, matrices)


def test_matrices_are_brought_into_the_topology_s_order(topology, matrices):
    turned = Topology("turned", topology.nodes[::-1], topology.links)
    found = put_together(turned, matrices)
    assert found.nodes == ("d", "c", "b", "a")
    assert found.tm_bps[5, 3, 0] == pytest.approx(matrices.tm_mbps[5, 0, 3] * 1e6)


def test_parallel_links_are_numbered(topology, matrices):
    more = replace(topology, links=(*topology.links, Link("a", "b", 7.0)))
    assert {"a>b", "a>b/2"} <= {link.name for link in put_together(more, matrices).links}


def test_churn_is_the_share_of_the_traffic_on_other_paths():
    before = {(0, 1): {(0,): 1.0}, (1, 0): {(1,): 1.0}}
    after = {(0, 1): {(0,): 0.25, (2,): 0.75}, (1, 0): {(1,): 1.0}}
    demands = np.array([[0.0, 10.0], [30.0, 0.0]])
    assert moved_share(before, after, demands) == pytest.approx(7.5 / 40)
    assert moved_share(before, after, demands * 0) == 0.0


def test_the_bootstrap_is_paired_and_its_interval_holds_the_mean():
    rng = np.random.default_rng(1)
    common = rng.normal(size=600).cumsum()
    one, other = common - 0.1 + 0.1 * rng.normal(size=600), common + 0.1 * rng.normal(size=600)
    mean, low, high = bootstrap_difference(one, other, 12)
    assert low < mean < high < 0.0
    assert mean == pytest.approx(-0.1, abs=0.02)
    assert (mean, low, high) == bootstrap_difference(one, other, 12)
    assert bootstrap_difference(one, one, 12) == (0.0, 0.0, 0.0)


def test_blocks_widen_the_interval_where_neighbours_resemble_each_other():
    rng = np.random.default_rng(2)
    slow = np.repeat(rng.normal(size=40), 20)
    narrow, wide = (bootstrap_difference(slow, slow * 0, block) for block in (1, 40))
    assert wide[2] - wide[1] > 2 * (narrow[2] - narrow[1])


def test_the_file_holds_what_was_promised(files, tmp_path):
    tm, topology = files
    out = tmp_path / "out.json"
    args = ["--tm", tm, "--topology", topology, "--horizon-steps", 2, "--methods",
            "ospf,reactive2", "--from", START, "--to", START + 6, "--k", 3,
            "--json", out]  # fmt: skip
    result = CliRunner().invoke(te, [str(arg) for arg in args])
    assert result.exit_code == 0, result.output
    found = json.loads(out.read_text())
    assert set(found["methods"]) == {"ospf", "reactive2"}
    for one in found["methods"].values():
        assert one["n"] == 6
        assert set(one["ratio"]) == {"mean", "p50", "p95", "p99"}
        assert isinstance(one["churn"], float)
        assert one["solve_ms"]["p50"] > 0.0
    assert "tm (synthetic): intervals 310 to 316, decided 2 steps ahead" in result.output
    assert set(found["minus_reactive2"]["ospf"]) == {"mean", "low", "high"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--methods", "ospf,magic"], "no method 'magic'"),
        (["--methods", "ospf,ospf"], "each once"),
        (["--from", "0"], "cannot be decided"),
        (["--to", "9999"], "cannot be decided"),
    ],
)
def test_the_command_names_what_is_wrong(files, more, message):
    tm, topology = files
    args = ["--tm", str(tm), "--topology", str(topology), "--methods", "ospf", *more]
    result = CliRunner().invoke(te, args)
    assert result.exit_code != 0
    assert message in result.output

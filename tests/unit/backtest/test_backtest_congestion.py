"""The back-test in an operator's units: what is planted, what fails, what is counted."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from controller.backtest.commands import congestion as command
from controller.backtest.congestion import Suffered, compare, congestion, gone_over
from controller.backtest.scenario import LEVEL, cables, outages, scenario
from controller.decide.errors import DecideError
from controller.decide.graph import graph_of
from controller.report.fluid import Routing
from controller.report.optimum import optimal_utilisation

START, STOP = 310, 350
METHODS = ("ospf", "reactive2", "clairvoyant")


def names(graph, path):
    return [graph.edges[edge].name for edge in path]


def test_traffic_is_scaled_so_that_the_optimum_is_what_was_asked(network):
    hard = scenario(network, START, STOP, optimum=0.8)
    graph = network.graph
    capacity = network.capacity(graph)
    optima = [
        optimal_utilisation(graph, capacity, hard.network.tm_bps[t]) for t in range(START, STOP)
    ]
    assert np.quantile(optima, LEVEL) == pytest.approx(0.8, rel=1e-5)
    assert hard.network.tm_bps == pytest.approx(network.tm_bps * hard.scale)


def test_bursts_are_planted_where_the_scenario_says_and_come_with_the_seed(network):
    plain = scenario(network, START, STOP)
    one, same, other = (
        scenario(network, START, 400, with_bursts=True, seed=seed) for seed in (1, 1, 2)
    )
    assert one.bursts
    assert one.bursts == same.bursts != other.bursts
    factors = one.network.tm_bps[START:400] / np.maximum(network.tm_bps[START:400], 1e-9)
    factors /= one.scale
    planted = np.ones_like(factors)
    for burst in one.bursts:
        for a, b in burst.pairs:
            planted[burst.start - START : burst.stop - START, a, b] *= burst.factor
    off = ~np.eye(4, dtype=bool)
    assert factors[:, off] == pytest.approx(planted[:, off])
    assert not plain.bursts


def test_cables_fail_in_turn_for_an_hour_both_ways_and_come_back(network):
    found = outages(network, 6.0, 0, 288)
    assert [(one.stop - one.start) for one in found] == [12] * 4
    assert [b.start - a.start for a, b in itertools.pairwise(found)] == [72] * 3
    assert len({one.links for one in found}) == 4
    for one in found:
        a, b = sorted(one.links)
        assert a.split(">") == b.split(">")[::-1]
    hard = replace(scenario(network, START, STOP), outages=found)
    dead = {x.name for x in hard.links(found[0].start) if not x.up}
    assert dead == set(found[0].links)
    assert all(x.up for t in (found[0].start - 1, found[0].stop) for x in hard.links(t))


def test_no_cable_fails_whose_loss_cuts_somebody_off(network):
    assert len(cables(network)) == 5
    alone = [x for x in network.links if {x.src, x.dst} != {"b", "c"}]
    assert len(cables(replace(network, links=tuple(alone)))) == 4
    tree = tuple(x for x in alone if {x.src, x.dst} != {"c", "d"})
    assert cables(replace(network, links=tree)) == []
    with pytest.raises(DecideError, match="none can fail"):
        outages(replace(network, links=tree), 6.0, 0, 288)


def test_outages_that_never_end_are_refused(network):
    with pytest.raises(DecideError, match="would never end"):
        outages(network, 0.5, 0, 288)


def test_traffic_on_a_dead_path_takes_the_backup_and_nothing_else_moves(network):
    graph = network.graph
    at = {edge.name: number for number, edge in enumerate(graph.edges)}
    top, bottom = (at["a>b"], at["b>d"]), (at["a>c"], at["c>d"])
    way = Routing(graph, {(0, 3): {top: 0.75, bottom: 0.25}, (2, 3): {(at["c>d"],): 1.0}})
    found = gone_over(way, {"b>d", "d>b"})
    assert found.shares == {(0, 3): {bottom: 1.0}, (2, 3): {(at["c>d"],): 1.0}}
    lost = gone_over(way, {"b>d", "d>b", "c>d", "d>c"})
    assert lost.shares == {(0, 3): {}, (2, 3): {}}
    assert gone_over(way, set()) is way


def test_a_cut_costs_circuits_no_more_than_the_detour(network):
    hard = scenario(network, START, STOP, optimum=0.2, fail_every_h=2.0)
    assert hard.outages
    found = congestion(hard, METHODS, 1, START, STOP, paths=4)
    assert all(one.lost_bytes.sum() == 0.0 for one in found.values())


def test_what_is_lost_and_overloaded_is_what_the_capacities_say(network):
    only = np.zeros_like(network.tm_bps)
    only[:, 0, 3] = 200e6
    hard = replace(scenario(network, START, STOP), network=replace(network, tm_bps=only),
                   outages=())  # fmt: skip
    found = congestion(hard, METHODS, 1, START, START + 4, paths=4)
    minutes, sent = 4 * 5.0, 4 * 200e6 * 300 / 8
    assert found["clairvoyant"].utilisation == pytest.approx(1.25, rel=0.01)
    ospf, reacting = found["ospf"], found["reactive2"]
    assert ospf.overloaded.sum() == minutes
    assert ospf.lost_bytes.sum() == pytest.approx(sent / 2)
    assert ospf.sent_bytes.sum() == pytest.approx(sent)
    assert reacting.lost_bytes.sum() == pytest.approx(4 * 40e6 * 300 / 8, rel=0.03)
    assert reacting.utilisation == pytest.approx(1.25, rel=0.01)


def test_decisions_know_the_links_of_their_own_time_only(network):
    hard = scenario(network, START, STOP, optimum=0.6, fail_every_h=2.0)
    seen = {}

    class Watch:
        def decide(self, t, links):
            seen[t] = {x.name for x in links if not x.up}
            from controller.report.fluid import plain_routing

            return plain_routing(graph_of(network.nodes, links))

    from controller.backtest import congestion as module

    known = dict(module.METHODS)
    module.METHODS["watch"] = lambda *_: Watch()
    try:
        congestion(hard, ("watch",), 2, START, STOP)
    finally:
        module.METHODS.clear()
        module.METHODS.update(known)
    first = hard.outages[0]
    assert seen[first.start - 1] == set()
    assert seen[first.start] == set(first.links)
    assert max(seen) == STOP - 3


def test_differences_are_told_in_totals_with_their_intervals():
    def one(minutes):
        values = np.array(minutes, dtype=float)
        return Suffered(values, values * 1e9, np.ones(len(values)), values)

    found = compare({"ospf": one([5, 5, 0, 5] * 10), "predictive": one([0, 5, 0, 0] * 10)}, 4)
    minutes = found["ospf"]["overloaded_link_minutes"]
    assert minutes["difference"] == -100.0
    assert minutes["low"] <= -100.0 <= minutes["high"] < 0.0
    assert found["ospf"]["lost_bytes"]["difference"] == -100e9
    assert compare({"ospf": one([1])}, 1) == {}


def test_the_command_writes_what_it_prints(files, tmp_path):
    tm, topology = files
    out = tmp_path / "out.json"
    args = ["--tm", tm, "--topology", topology, "--methods", "ospf,reactive2", "--from", START,
            "--to", STOP, "--k", 3, "--fail-every-h", 2, "--bursts", "--json", out]  # fmt: skip
    result = CliRunner().invoke(command, [str(arg) for arg in args])
    assert result.exit_code == 0, result.output
    found = json.loads(out.read_text())
    assert found["outages"]
    assert set(found["methods"]) == {"ospf", "reactive2"}
    assert set(found["methods"]["ospf"]) == {
        "n", "overloaded_link_minutes", "lost_bytes", "lost_share", "max_utilisation"
    }  # fmt: skip
    assert "outages" in result.output
    assert "overloaded link-min" in result.output


def test_the_command_names_what_is_wrong(files):
    tm, topology = files
    for more, message in ((["--to", "9999"], "no intervals"), (["--methods", "x"], "no method")):
        args = ["--tm", str(tm), "--topology", str(topology), *more]
        result = CliRunner().invoke(command, args)
        assert result.exit_code == 1
        assert message in result.output

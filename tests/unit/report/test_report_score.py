import json
from dataclasses import replace

import numpy as np
import pytest
from decide_nets import DIAMOND, DIAMOND_NODES, demands_of

from controller.report import Run, score_run, splits_of
from controller.state import BUCKETS, Circuit, Plan, Split


def by_hand(**changes):
    """Make two intervals on the diamond: 60 then 120 from a to d, all on the upper path."""
    sent = np.stack([demands_of(DIAMOND_NODES, a_d=rate) for rate in (60.0, 120.0)])
    upper = {("a", "d"): {("a>b", "b>d"): 1.0}}
    rates = np.zeros((2, len(DIAMOND)))
    for number, name in enumerate(x.name for x in DIAMOND):
        rates[:, number] = (57.0, 100.0) if name in ("a>b", "b>d") else (0.0, 0.0)
    fields = {
        "name": "diamond", "synthetic": False, "nodes": DIAMOND_NODES, "links": DIAMOND,
        "step_s": 60.0, "sent_bps": sent, "before_bps": demands_of(DIAMOND_NODES, a_d=60.0),
        "in_force": (upper, upper), "link_rates_bps": rates,
        "sent_packets": np.array([600, 1200]), "delivered_packets": np.array([600, 1000]),
        "steered_packets": np.array([500, 900]), "ticks": 2, "skipped_ticks": 1,
        "rule_errors": 3, "decide_ms": (10.0, 30.0),
    }  # fmt: skip
    return Run(**{**fields, **changes})


def test_the_figures_are_what_their_definitions_say():
    found = score_run(by_hand())
    assert found.optimum == pytest.approx([0.4, 0.8])
    assert found.methods["predictive"].utilisation == pytest.approx([0.6, 1.2])
    assert found.methods["predictive"].ratio == pytest.approx([1.5, 1.5])
    assert found.methods["predictive_measured"].utilisation == pytest.approx([0.57, 1.0])
    assert found.methods["reactive"].utilisation == pytest.approx([0.4, 0.8])
    assert found.methods["ospf"].utilisation == pytest.approx([0.6, 1.2])
    assert found.methods["ospf"].lost == pytest.approx(20.0 / 180.0)
    assert found.link_load_error == pytest.approx(np.median([0.05, 0.05, 0.0, 1 / 6]), abs=0.05)


def test_the_report_has_the_agreed_structure():
    found = json.loads(json.dumps(score_run(by_hand()).to_dict(), allow_nan=False))
    summary = {"mean", "p95"}
    assert found["data"] == {"name": "diamond", "synthetic": False}
    assert found["ticks"] == 2
    assert found["loop"] == {
        "skipped_ticks": 1,
        "decide_ms": {"p50": 20.0, "p99": pytest.approx(29.8)},
        "rule_errors": 3,
    }
    assert found["traffic"] == {
        "sent_packets": 1800,
        "delivered_ratio": pytest.approx(1600 / 1800),
        "steered_ratio": pytest.approx(1400 / 1600),
    }
    assert set(found["methods"]) == {
        "predictive", "predictive_measured", "reactive", "reactive2", "ospf"
    }  # fmt: skip
    for method in found["methods"].values():
        assert set(method) == {"ratio", "max_utilisation"}
        assert set(method["ratio"]) == set(method["max_utilisation"]) == summary
    assert set(found["measured_vs_model"]) == {"link_load_error"}
    assert set(found) == {
        "data", "ticks", "loop", "traffic", "methods", "measured_vs_model"
    }  # fmt: skip


def test_packets_count_as_deliverable_only_where_some_routing_fits():
    run = by_hand()
    run = replace(run, sent_bps=run.sent_bps * np.array([1.0, 2.0])[:, None, None])
    assert score_run(run).optimum[1] == pytest.approx(1.6)
    assert score_run(run).delivered_ratio == 1.0


def test_the_reactive_methods_see_only_the_interval_before():
    run = by_hand()
    other = replace(run, sent_bps=run.sent_bps.copy())
    other.sent_bps[1] = demands_of(DIAMOND_NODES, a_b=90.0)
    found = score_run(other)
    assert found.methods["reactive2"].utilisation[1] == pytest.approx(0.9)
    assert found.optimum[1] == pytest.approx(0.6)


def test_without_the_interval_before_the_first_is_scored_for_no_method():
    found = score_run(by_hand(before_bps=None))
    for method in found.methods.values():
        assert np.isnan(method.ratio[0])
        assert np.isfinite(method.ratio[1])


def test_an_interval_without_traffic_is_scored_for_no_method():
    run = by_hand()
    found = score_run(replace(run, sent_bps=run.sent_bps * np.array([0.0, 1.0])[:, None, None]))
    assert all(np.isnan(method.ratio[0]) for method in found.methods.values())
    assert found.to_dict()["methods"]["ospf"]["ratio"]["mean"] == pytest.approx(1.5)


def test_an_unknown_rate_matters_only_on_a_link_that_could_be_the_busiest():
    names = [x.name for x in DIAMOND]
    idle, busy = by_hand(), by_hand()
    idle.link_rates_bps[:, names.index("a>c")] = np.nan
    busy.link_rates_bps[0, [names.index("a>b"), names.index("b>d")]] = np.nan
    assert np.isfinite(score_run(idle).methods["predictive_measured"].ratio).all()
    assert np.isnan(score_run(busy).methods["predictive_measured"].ratio[0])


def test_what_was_not_measured_is_none_and_not_a_number_made_up():
    nothing = np.zeros(2, dtype=np.int64)
    run = by_hand(
        link_rates_bps=np.full((2, len(DIAMOND)), np.nan), sent_packets=nothing,
        delivered_packets=nothing, steered_packets=nothing, decide_ms=(),
    )  # fmt: skip
    found = score_run(run).to_dict()
    assert found["traffic"]["delivered_ratio"] is found["traffic"]["steered_ratio"] is None
    assert found["loop"]["decide_ms"] == {"p50": None, "p99": None}
    assert found["measured_vs_model"]["link_load_error"] is None
    assert found["methods"]["predictive_measured"]["ratio"]["mean"] is None


def test_demands_that_are_not_steered_follow_the_plain_routes():
    found = score_run(by_hand(in_force=({}, {})))
    assert found.methods["predictive"].utilisation == pytest.approx([0.6, 1.2])


def test_counters_two_per_cent_off_are_reported_as_that(run):
    assert score_run(run).link_load_error == pytest.approx(0.02, abs=1e-9)


def test_planning_on_the_last_interval_comes_out_close_to_exact_shares(run):
    methods = score_run(run).to_dict()["methods"]
    mine, exact = methods["predictive"]["ratio"]["mean"], methods["reactive2"]["ratio"]["mean"]
    assert 1.0 <= mine <= exact * 1.01
    assert mine < methods["ospf"]["ratio"]["mean"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"sent_packets": np.zeros(3, dtype=np.int64)},
        {"in_force": ()},
        {"link_rates_bps": np.zeros((2, 1))},
        {"before_bps": np.zeros((2, 2))},
    ],
)
def test_a_run_of_the_wrong_shape_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        by_hand(**wrong)


def test_splits_over_a_link_that_is_not_there_are_refused():
    ghost = {("a", "d"): {("a>z", "z>d"): 1.0}}
    with pytest.raises(ValueError, match="a>z"):
        score_run(by_hand(in_force=(ghost, ghost)))


def test_a_plans_splits_are_told_by_links_without_what_is_unsteered():
    table = (7,) * 128 + (0,) * 128
    plan = Plan(
        1, 1, 1, (Circuit(7, "a", "d", ("a>b", "b>d")),),
        (Split("a", "d", (0, 7), (0.5, 0.5), table),), {}, {}, 0.0, "two-stage", "",
    )  # fmt: skip
    assert len(table) == BUCKETS
    assert splits_of(plan) == {("a", "d"): {("a>b", "b>d"): 0.5}}

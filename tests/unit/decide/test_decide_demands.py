from dataclasses import replace

import numpy as np
import pytest
from decide_nets import DIAMOND, DIAMOND_NODES, demands_of, snapshot_of

from controller.decide.demands import expected
from controller.decide.plan import plan
from controller.state import Drift, Forecast, Policies, Skill

LEVELS = (0.1, 0.5, 0.75, 0.9)
NOW = demands_of(DIAMOND_NODES, a_d=40.0, b_c=10.0)


def forecast(factors=(0.9, 1.0, 1.05, 1.1), demands=NOW, skill=()):
    return Forecast(1, 1, (1,), LEVELS, np.stack([demands * f for f in factors])[None], skill)


def snapshot(**more):
    found = snapshot_of(DIAMOND_NODES, DIAMOND, NOW)
    return replace(found, history_bps=np.stack([NOW * 2, NOW * 1.5, NOW]), **more)


def test_demands_are_an_upper_quantile_and_bursts_go_to_the_highest():
    found = expected(snapshot(), forecast(), Policies(hedge=0.5))
    assert found.demands_bps == pytest.approx(NOW * 1.05)
    assert found.bursts_bps == pytest.approx(NOW * 0.05 * 0.5)
    assert found.scenarios == ()
    assert not found.robust
    assert found.spread == pytest.approx(0.2)


def test_a_surge_raises_a_demand_and_never_lowers_one():
    surges = {("a", "d"): 90.0, ("b", "c"): 1.0, ("a", "a"): 50.0, ("x", "y"): 7.0,
              ("c", "d"): float("nan")}  # fmt: skip
    found = expected(snapshot(surges=surges), forecast(), Policies())
    assert found.demands_bps[0, 3] == 90.0
    assert found.demands_bps[1, 2] == pytest.approx(10.5)
    assert np.isfinite(found.demands_bps).all()
    assert (np.diag(found.demands_bps) == 0.0).all()
    assert "surge beyond the forecast" in found.notes[0]


def test_a_surge_moves_traffic_at_once():
    made = plan(snapshot(surges={("a", "d"): 140.0}), forecast(), Policies(), None)
    split = next(s for s in made.splits if (s.src, s.dst) == ("a", "d"))
    assert len(split.spis) == 2
    assert made.max_utilisation == pytest.approx(150.5 / 150, rel=0.02)


def test_a_wide_interval_makes_the_plan_robust():
    wide = forecast((0.2, 1.0, 1.2, 1.5))
    found = expected(snapshot(), wide, Policies(recent=2))
    assert found.robust
    assert found.why == "the 80 % interval is 130 % of the traffic wide"
    assert [matrix[0, 3] for matrix in found.scenarios] == [60.0, 40.0]
    assert found.bursts_bps == pytest.approx(NOW * 0.3)
    made = plan(snapshot(), wide, Policies(), None)
    assert made.method == "robust"
    assert "planned for more than the forecast: the 80 % interval" in " ".join(made.notes)


def test_an_interval_around_almost_nothing_is_not_told_in_thousands_of_percent():
    found = expected(snapshot(), forecast((0.0, 0.01, 9.0, 50.0)), Policies())
    assert found.why == "the 80 % interval is more than 10 times as wide as the traffic"


def test_drift_makes_the_plan_robust_at_the_horizon_that_drifts():
    bad = Skill(1, "model", {}, 9, drift=Drift(True, 2.5, 4.0))
    assert expected(snapshot(), forecast(skill=(bad,)), Policies()).why == (
        "forecasts have become 2.5 times worse than they were"
    )
    other = replace(bad, horizon_steps=3)
    assert not expected(snapshot(), forecast(skill=(other,)), Policies()).robust


def test_what_cannot_be_is_left_out():
    strange = NOW.copy()
    strange[0, 0], strange[1, 0], strange[3, 0] = 1e9, -5.0, np.inf
    odd = replace(snapshot(), demands_bps=strange)
    found = expected(odd, forecast(demands=np.where(NOW > 0, NOW, np.nan)), Policies())
    assert (np.diag(found.demands_bps) == 0.0).all()
    assert (found.demands_bps >= 0.0).all()
    assert np.isfinite(found.demands_bps).all()
    assert found.demands_bps[0, 3] == pytest.approx(42.0)
    assert "demands without a forecast" in found.notes[0]


def test_no_traffic_at_all_is_not_unsure():
    found = expected(snapshot(), forecast(demands=NOW * 0), Policies())
    assert found.spread == 0.0
    assert not found.robust

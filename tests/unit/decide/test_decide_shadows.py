"""Which engines are whose shadows, and how much new traffic they take."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.decide.shadows import (
    Candidate,
    Need,
    Pressure,
    Shifted,
    ShiftLimits,
    choose_shadows,
    divided,
    next_shift,
    wanted_share,
)

STAGE = [Candidate(n, "edge", free=10_000.0) for n in (1, 2, 3, 4)]


def rtts(**pairs):
    found = {}
    for pair, value in pairs.items():
        a, b = map(int, pair[1:].split("_"))
        found[a, b] = found[b, a] = value
    return found


NEAR = rtts(p1_2=1.0, p1_3=2.0, p1_4=8.0, p2_3=3.0, p2_4=1.5, p3_4=2.5)


def test_the_nearest_of_the_same_stage_are_chosen():
    other = Candidate(9, "core", free=1e6)
    found = choose_shadows([*STAGE, other], {**NEAR, (1, 9): 0.1}, {1: Need(100)}, {})
    assert found[1].shadows == (2, 3)
    assert found[1].generation == 1
    assert found[9].shadows == ()
    assert found[9].missing == 2


def test_who_shares_a_risk_group_comes_last_and_is_named():
    rack = frozenset({"rack-1"})
    engines = [Candidate(n, "edge", free=1e4, risk_groups=rack if n in (1, 2) else frozenset())
               for n in (1, 2, 3, 4)]  # fmt: skip
    found = choose_shadows(engines, NEAR, {}, {})
    assert found[1].shadows == (3, 4)
    assert found[1].shared == ()
    few = choose_shadows(engines[:3], NEAR, {}, {})
    assert few[1].shadows == (3, 2)
    assert few[1].shared == (2,)


def test_full_ones_are_avoided_and_not_everybody_takes_the_same():
    engines = [Candidate(n, "edge", free=1000.0) for n in range(1, 7)]
    same = {(a, b): 1.0 for a in range(1, 7) for b in range(1, 7) if a != b}
    found = choose_shadows(engines, same, {n: Need(400) for n in range(1, 7)}, {})
    taken = [shadow for one in found.values() for shadow in one.shadows]
    assert max(taken.count(n) for n in range(1, 7)) <= 3


def test_small_changes_change_nothing_and_the_unhealthy_are_left():
    first = choose_shadows(STAGE, NEAR, {}, {})
    moved = {pair: value * (1.4 if pair in ((1, 2), (2, 1)) else 1) for pair, value in NEAR.items()}
    assert choose_shadows(STAGE, moved, {}, first) == first
    sick = [STAGE[0], Candidate(2, "edge", healthy=False, free=1e4), *STAGE[2:]]
    after = choose_shadows(sick, NEAR, {}, first)
    assert after[1].shadows == (3, 4)
    assert after[1].generation == 2


@given(st.floats(0, 5), st.floats(0, 5))
def test_share_is_the_law_s(prediction, anomaly):
    share = wanted_share(prediction, anomaly)
    assert share == min(0.5, max(0.1, (prediction + anomaly) * 0.1))
    assert 0.1 <= share <= 0.5


def test_ramp_takes_its_steps_and_an_anomaly_needs_no_forecast():
    now, shares = Shifted(), []
    for _ in range(6):
        now = next_shift(now, Pressure(0.9, 20.0, prediction=4.0))
        shares.append(round(now.share, 6))
    assert shares == [0.1, 0.2, 0.3, 0.4, 0.4, 0.4]
    assert "in 20 s with 90 %" in now.reason
    at_once = next_shift(Shifted(), Pressure(anomaly=3.0))
    assert at_once.share == pytest.approx(0.3 / 4)
    assert next_shift(Shifted(), Pressure(0.65, prediction=5.0)) == Shifted()


def test_it_comes_back_by_one_per_cent_and_a_flood_is_no_reason():
    now = Shifted(0.35, 0.4, "x")
    for _ in range(9):
        now = next_shift(now, Pressure(0.1))
        assert now.share == 0.35
    # one that is not calm begins the count anew
    assert next_shift(next_shift(now, Pressure(0.5)), Pressure(0.1)).share == 0.35
    for cycle in range(1, 36):
        now = next_shift(now, Pressure(0.1))
        assert now.share == pytest.approx(0.35 - 0.01 * cycle)
    assert now == Shifted()
    assert next_shift(Shifted(), Pressure(0.99, 5, 5, 5, flood=True)) == Shifted()


def test_limits_in_no_order_are_refused():
    for bad in ({"calm": 0.8}, {"most": 1.5}, {"steps": 0}, {"confident": 1.2}):
        with pytest.raises(ValueError, match=r"below|share"):
            ShiftLimits(**bad)


pressures = st.builds(
    Pressure, st.floats(0, 1), st.none(), st.floats(0, 5), st.one_of(st.just(0.0), st.floats(0, 5)),
    st.booleans(),
)  # fmt: skip


@given(st.lists(pressures, max_size=60), st.floats(0, 0.6))
def test_no_load_makes_it_jump_or_leave_its_bounds(seen, most):
    limits, now = ShiftLimits(most=most), Shifted()
    for pressure in seen:
        after = next_shift(now, pressure, limits)
        assert 0 <= after.share <= min(0.5, most) + 1e-9
        assert after.share - now.share <= max(after.target, 0) / limits.steps + 1e-9
        assert now.share - after.share <= 0.01 + 1e-9
        if after.share > now.share:
            assert pressure.probability >= limits.confident or pressure.anomaly > 0
            assert not pressure.flood
        now = after


@settings(max_examples=50)
@given(st.floats(0.5, 1.5), st.floats(0.0, 0.1), st.integers(0, 2**32 - 1))
def test_steady_load_near_the_threshold_does_not_swing(level, noise, seed):
    """Load around the limit, forecast with noise: the share turns round a few times at most."""
    import random

    chance = random.Random(seed)
    now, turns, direction = Shifted(), 0, 0
    for _ in range(400):
        offered = level * (1 + noise * chance.gauss(0, 1) * 0.2)
        probability = 1 / (1 + math.exp(-(offered - 1) / 0.05))
        after = next_shift(now, Pressure(probability, 10.0, prediction=5 * probability))
        step = (after.share > now.share) - (after.share < now.share)
        if step and step != direction:
            turns += direction != 0
            direction = step
        now = after
    assert turns <= 12


@given(st.floats(0, 0.5), st.dictionaries(st.integers(1, 9), st.floats(-10, 1e5), max_size=4))
def test_parts_add_up_and_nobody_full_gets_any(share, free):
    parts = divided(share, free)
    assert all(free[one] > 0 for one in parts)
    if parts:
        assert sum(parts.values()) == pytest.approx(share)

"""Shifts as values: whatever the checks say, they end, and never at what nobody asked for."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.act.remap import shift as shifts
from controller.act.remap.channel import Shares, distance, normal
from controller.act.remap.shift import Phase, Ramp, Shift

PLACES = ("east", "north", "west")
SHARES = st.dictionaries(st.sampled_from(PLACES), st.floats(0, 10), max_size=3)
WANTED = SHARES.filter(lambda shares: sum(shares.values()) > 0)
RAMPS = st.builds(
    Ramp,
    step=st.floats(0.05, 1),
    interval_s=st.floats(0.1, 10),
    retries=st.integers(0, 4),
    backoff_s=st.floats(0.01, 1),
)
WORDS = st.lists(st.sampled_from(("good", "good", "good", "bad")), max_size=80)


def driven(shift: Shift, words: list[str]) -> tuple[Shift, list[Shares], int]:
    """Drive a shift with these answers, then with good ones; return it and what was in force."""
    now_s, in_force, asked = shift.began_s, [], 0
    answers = iter(words)
    while not shift.ended:
        asked += 1
        assert asked < 1000
        assert shift.due_s >= now_s - 1e-9
        now_s = max(now_s, shift.due_s)
        good = next(answers, "good") == "good"
        if shift.phase is Phase.SETTLE:
            shift = shifts.checked(shift, "" if good else "unwell", now_s)
        elif good:
            in_force.append(shift.wanted)
            shift = shifts.applied(shift, now_s)
        else:
            shift = shifts.failed(shift, "refused", now_s)
    return shift, in_force, asked


@given(SHARES, WANTED, st.floats(0.05, 1))
def test_steps_lead_to_the_target_by_no_more_than_a_step_each(
    origin: Shares, target: Shares, step: float
) -> None:
    was, wanted = normal(origin), normal(target)
    steps = shifts.steps_between(was, wanted, step)
    assert steps[-1] == wanted
    before = was
    for one in steps:
        assert sum(one.values()) == pytest.approx(1)
        assert one.keys() <= was.keys() | wanted.keys()
        if was:
            assert distance(before, one) <= step + 1e-5
            for place in PLACES:
                ends = sorted((was.get(place, 0.0), wanted.get(place, 0.0)))
                assert ends[0] - 1e-5 <= one.get(place, 0.0) <= ends[1] + 1e-5
        before = one


@given(SHARES, WANTED, RAMPS, WORDS)
def test_whatever_answers_come_a_shift_ends_at_its_target_or_where_it_began(
    origin: Shares, target: Shares, ramp: Ramp, words: list[str]
) -> None:
    begun = shifts.begin("web", origin, target, ramp, 5.0)
    ended, in_force, asked = driven(begun, words)
    assert ended.ended_s is not None
    # every step is tried and checked, and every failure is retried a bounded number of times
    assert asked <= (len(begun.steps) + 1) * (ramp.retries + 2) * 2
    if ended.phase is Phase.DONE:
        assert in_force == list(begun.steps)
    elif ended.phase is Phase.ROLLED_BACK:
        assert in_force[-1] == begun.origin
        assert ended.reason
    else:
        assert ended.phase is Phase.STUCK
    # nothing is ever in force but a step or the origin
    assert all(one in (begun.origin, *begun.steps) for one in in_force)


@given(WANTED, WANTED, RAMPS)
def test_without_trouble_a_shift_takes_one_interval_per_step(
    origin: Shares, target: Shares, ramp: Ramp
) -> None:
    begun = shifts.begin("web", origin, target, ramp, 100.0)
    ended, _, _ = driven(begun, [])
    assert ended.phase is Phase.DONE
    assert ended.ended_s == pytest.approx(100.0 + len(begun.steps) * ramp.interval_s)


def test_failed_step_waits_longer_each_time_and_then_goes_back() -> None:
    ramp = Ramp(step=0.5, retries=3, backoff_s=1.0, backoff_most_s=3.0)
    one = shifts.begin("web", {"east": 1}, {"west": 1}, ramp, 0.0)
    pauses = []
    for _ in range(3):
        one = shifts.failed(one, "timeout", 0.0)
        pauses.append(one.due_s)
    assert pauses == [1.0, 2.0, 3.0]
    one = shifts.failed(one, "timeout", 10.0)
    assert (one.phase, one.wanted, one.due_s) == (Phase.BACK, {"east": 1.0}, 10.0)


def test_answers_that_do_not_fit_the_phase_change_nothing() -> None:
    one = shifts.begin("web", {"east": 1}, {"west": 1}, Ramp(), 0.0)
    assert shifts.checked(one, "late", 1.0) is one
    settled = shifts.applied(one, 0.0)
    assert shifts.applied(settled, 1.0) is settled
    assert shifts.failed(settled, "late", 1.0) is settled
    done = replace(settled, phase=Phase.DONE)
    assert shifts.checked(done, "late", 1.0) is done


@pytest.mark.parametrize("target", [{}, {"east": 0.0}, {"east": -1.0}, {"east": float("nan")}])
def test_shift_to_nowhere_is_refused(target: Shares) -> None:
    with pytest.raises(ValueError, match=r"must not|no location"):
        shifts.begin("web", {"east": 1}, target, Ramp(), 0.0)

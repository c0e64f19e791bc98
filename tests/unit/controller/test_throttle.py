"""An event is answered at once, a storm of them ever more slowly, and calm forgets it."""

import itertools

import pytest

from controller.throttle import FIRST_S, Throttle


def answers(throttle: Throttle, events_s: list[float], work_s: float = 0.05) -> list[float]:
    """Return when each event's answer begins; events that come meanwhile join it."""
    now, begins = 0.0, []
    for event in events_s:
        if begins and event <= begins[-1]:
            continue
        now = max(now, event)
        begins.append(now + throttle.pause_s(now))
        now = begins[-1] + work_s
        throttle.answered(begins[-1], now)
    return begins


def test_first_event_waits_only_for_those_that_come_with_it() -> None:
    assert answers(Throttle(0.02, 2.0), [10.0]) == [pytest.approx(10.02)]


def test_second_event_waits_a_little_more() -> None:
    begins = answers(Throttle(0.02, 2.0), [10.0, 10.04])
    assert begins[1] == pytest.approx(10.02 + 0.05 + FIRST_S)


def test_storm_is_answered_ever_more_slowly_but_always() -> None:
    storm = [10.0 + 0.01 * n for n in range(2000)]
    begins = answers(Throttle(0.02, 2.0), storm)
    gaps = [b - a for a, b in itertools.pairwise(begins)]
    assert gaps[:3] == sorted(gaps[:3])
    assert max(gaps) <= 2.0 + 0.05 + 0.03
    assert len(begins) < 20
    assert begins[-1] > storm[-1] - 2.1


def test_calm_makes_it_quick_again() -> None:
    throttle = Throttle(0.02, 2.0)
    answers(throttle, [10.0 + 0.1 * n for n in range(100)])
    assert answers(throttle, [100.0])[0] == pytest.approx(100.02)

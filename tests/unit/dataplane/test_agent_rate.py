"""How fast a counter of the agent grows, whoever asks and when."""

import pytest

from dataplane.agent import RATE_S, Rate


def test_rate_is_growth_over_time() -> None:
    rate = Rate()
    assert rate.per_s(100, 10.0) == 0
    assert rate.per_s(300, 12.0) == pytest.approx(100)
    assert rate.per_s(300, 13.0) == 0


def test_somebody_who_asks_again_at_once_gets_the_same() -> None:
    rate = Rate()
    rate.per_s(0, 0.0)
    assert rate.per_s(100, 1.0) == pytest.approx(100)
    assert rate.per_s(100, 1.0 + RATE_S / 100) == pytest.approx(100)
    # and takes nothing away from the next look
    assert rate.per_s(150, 2.0) == pytest.approx(50)


def test_counter_that_starts_anew_does_not_shrink() -> None:
    rate = Rate()
    rate.per_s(1000, 0.0)
    assert rate.per_s(10, 1.0) == 0
    assert rate.per_s(20, 2.0) == pytest.approx(10)

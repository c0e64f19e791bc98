"""Windows of probes and what they say."""

import math

import pytest

from controller.observe.quality import WINDOW, Windows


def windows(keep_s: float = 30.0, most: int = 10) -> Windows[str]:
    return Windows(keep_s, most)


def test_quality_is_median_difference_and_share_lost() -> None:
    some = windows()
    for time_s, rtt in enumerate((10.0, 12.0, -1.0, 11.0)):
        some.add("a", float(time_s), rtt)
    found = some.all(4.5)["a"]
    assert found.rtt_ms == 11.0
    assert found.jitter_ms == pytest.approx(1.5)
    assert found.loss == 0.25
    assert found.samples == 4
    assert found.age_s == 1.5


def test_all_lost_is_an_infinite_round_trip() -> None:
    some = windows()
    some.add("a", 1.0, -1.0)
    assert some.all(1.0)["a"].rtt_ms == math.inf
    assert some.all(1.0)["a"].loss == 1.0


def test_old_samples_and_silent_keys_are_forgotten() -> None:
    some = windows(keep_s=10)
    some.add("a", 0.0, 5.0)
    some.add("a", 8.0, 7.0)
    some.add("b", 0.0, 5.0)
    assert some.all(11.0)["a"].rtt_ms == 7.0
    assert set(some.all(11.0)) == {"a"}
    assert some.all(30.0) == {}


def test_window_and_keys_are_bounded_and_the_longest_silent_key_goes() -> None:
    some = windows(most=2)
    for number in range(3 * WINDOW):
        some.add("a", float(number) / 10, 1.0)
    some.add("b", 7.0, 1.0)
    some.add("a", 8.0, 1.0)
    some.add("c", 9.0, 1.0)
    assert set(some.all(9.0)) == {"a", "c"}
    assert some.all(9.0)["a"].samples == WINDOW
    assert some.dropped == 1

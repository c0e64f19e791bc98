"""The demand matrix from the engines' counters."""

from dataclasses import replace

import numpy as np
import pytest

from controller.observe import DemandMeter
from headers.files.network import Network
from headers.messages import CounterReport, DemandCounter, ServiceCounter

NUMBER = {"a": 1, "b": 2, "c": 3}
ZERO = np.zeros((3, 3))
KEPT = np.full((3, 3), 5.0)


def report(time_s: float, agent: str = "m1", **bytes_by_pair: int) -> CounterReport:
    """``ab=100``: what the engine at a sent to the prefix of b."""
    rows = tuple(
        DemandCounter(NUMBER[pair[0]], f"10.{NUMBER[pair[1]]}.0.0/16", 1, size)
        for pair, size in bytes_by_pair.items()
    )
    return CounterReport(agent, time_s, 1, rows, {})


def everything(time_s: float, size: int) -> CounterReport:
    return report(time_s, ab=size, ac=size, ba=size, bc=size, ca=size, cb=size)


@pytest.fixture
def meter(network: Network) -> DemandMeter:
    return DemandMeter(network)


def test_first_reading_measures_nothing(meter: DemandMeter) -> None:
    demands, measured = meter.rates([everything(1.0, 1000)], KEPT)
    assert not measured
    assert np.array_equal(demands, KEPT)


def test_second_reading_gives_bits_per_second_by_source_and_destination(
    meter: DemandMeter,
) -> None:
    meter.rates([everything(1.0, 1000)], ZERO)
    demands, measured = meter.rates(
        [report(3.0, ab=2000, ac=1000, ba=1000, bc=1000, ca=1000, cb=5000)], ZERO
    )
    assert measured
    expected = np.zeros((3, 3))
    expected[0, 1], expected[2, 1] = 1000 * 8 / 2, 4000 * 8 / 2
    assert np.array_equal(demands, expected)


def test_counter_that_began_anew_keeps_the_last_value_and_is_counted(meter: DemandMeter) -> None:
    meter.rates([everything(1.0, 1000)], ZERO)
    demands, measured = meter.rates([everything(2.0, 10)], KEPT)
    assert not measured
    assert np.array_equal(demands, KEPT)
    assert meter.resets == 6
    demands, measured = meter.rates([everything(3.0, 110)], KEPT)
    assert measured
    assert demands[0, 1] == 800.0


def test_agent_that_does_not_answer_leaves_its_demands_as_they_were(meter: DemandMeter) -> None:
    first = [report(1.0, "m1", ab=0, ac=0), report(1.0, "m2", ba=0, bc=0, ca=0, cb=0)]
    meter.rates(first, ZERO)
    demands, measured = meter.rates([report(2.0, "m1", ab=100, ac=200)], KEPT)
    assert not measured
    assert (demands[0, 1], demands[0, 2]) == (800.0, 1600.0)
    assert np.array_equal(demands[1:], KEPT[1:])


def test_agent_that_comes_back_gives_the_mean_over_its_absence(meter: DemandMeter) -> None:
    meter.rates([everything(1.0, 0)], ZERO)
    meter.rates([], KEPT)
    demands, measured = meter.rates([everything(5.0, 4000)], KEPT)
    assert measured
    assert demands[0, 1] == 8000.0


def test_reading_that_is_not_newer_measures_nothing(meter: DemandMeter) -> None:
    meter.rates([everything(1.0, 0)], ZERO)
    demands, measured = meter.rates([everything(1.0, 4000)], KEPT)
    assert not measured
    assert np.array_equal(demands, KEPT)


def test_engines_and_prefixes_of_no_location_are_ignored(meter: DemandMeter) -> None:
    foreign = CounterReport(
        "m1",
        2.0,
        1,
        (DemandCounter(99, "10.1.0.0/16", 1, 9), DemandCounter(1, "10.99.0.0/16", 1, 9)),
        {},
    )
    demands, measured = meter.rates([foreign], ZERO)
    assert not measured
    assert not demands.any()


def test_fallback_is_not_written_to(meter: DemandMeter) -> None:
    meter.rates([everything(1.0, 0)], ZERO)
    meter.rates([everything(2.0, 100)], ZERO)
    assert not ZERO.any()


def test_the_application_classes_of_a_demand_add_up(meter: DemandMeter) -> None:
    def classes(time_s: float, *sizes: int) -> CounterReport:
        rows = tuple(
            DemandCounter(1, "10.2.0.0/16", 1, size, number) for number, size in enumerate(sizes)
        )
        return CounterReport("m1", time_s, 1, rows, {})

    meter.rates([classes(1.0, 100, 1000)], ZERO)
    assert meter.rates([classes(2.0, 200, 1300)], ZERO)[0][0, 1] == 400 * 8
    reset = meter.rates([classes(3.0, 300, 5)], KEPT)[0][0, 1]
    assert reset == 5.0, "half of a demand is no measurement"


def test_what_goes_to_a_service_counts_where_the_plan_sends_it(meter: DemandMeter) -> None:
    key = 1, "10.99.0.1", 6, 80
    spread = {key: {"a": 0.25, "b": 0.5, "c": 0.25}}
    for time_s, size in ((1.0, 0), (2.0, 1000)):
        served = ServiceCounter(*key, packets=1, bytes=8 * size)
        one = replace(everything(time_s, size), services=(served,))
        demands, measured = meter.rates([one], ZERO, spread)
    assert measured
    # 8,000 B of the service in a second: half of them to b, a quarter to c, and a quarter stays
    assert demands[0, 1] == 8000 + 32_000
    assert demands[0, 2] == 8000 + 16_000
    assert demands[1, 2] == 8000
    assert demands[0, 0] == 0


def test_service_that_no_plan_spreads_is_not_counted(meter: DemandMeter) -> None:
    for time_s in (1.0, 2.0):
        served = ServiceCounter(1, "10.99.0.1", 6, 80, 1, int(time_s * 1000))
        demands, _ = meter.rates([replace(everything(time_s, 0), services=(served,))], ZERO)
    assert not demands.any()

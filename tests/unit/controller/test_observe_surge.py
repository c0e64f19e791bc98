"""Surges: found at the second look, told a few times, and only where they matter."""

import numpy as np

from controller.observe.surge import SurgeWatch
from controller.state import BUCKETS, Circuit, Forecast, Plan, Split
from headers.files.network import Engine, Location, Network, NetworkLink
from headers.messages import CounterReport, DemandCounter

NETWORK = Network(
    "pair",
    tuple(
        Location(name, n, f"10.{n}.0.0/16", f"10.{n}.255.254", Engine(f"e{n}", n, ("h",), "f", 1))
        for n, name in ((1, "a"), (2, "b"))
    ),
    (NetworkLink("a", "b", 10e6), NetworkLink("b", "a", 10e6)),
)
CAPACITIES = {"a>b": 10e6, "b>a": 10e6}
PLAN = Plan(
    1, 1, 1, (Circuit(1, "a", "b", ("a>b",)),), (Split("a", "b", (1,), (1.0,), (1,) * BUCKETS),),
    {}, {}, 0.2, "two-stage", "",
)  # fmt: skip


def forecast(ceiling: float = 2e6) -> Forecast:
    fan = np.zeros((1, 3, 2, 2))
    fan[0, :, 0, 1] = (0.5 * ceiling, 0.75 * ceiling, ceiling)
    return Forecast(1, 1, (1,), (0.5, 0.75, 0.95), fan, ())


class Engines:
    """Counters that grow at a rate."""

    def __init__(self) -> None:
        self.time_s, self.bytes = 0.0, 0

    def at(self, rate_bps: float) -> list[CounterReport]:
        self.time_s += 0.25
        self.bytes += int(rate_bps / 8 * 0.25)
        counter = DemandCounter(1, "10.2.0.0/16", 0, self.bytes)
        return [CounterReport("m", self.time_s, 1, (counter,), {})]


def test_surge_is_told_at_the_second_look_in_a_row_and_again_while_its_link_stays_full() -> None:
    engines, watch = Engines(), SurgeWatch(NETWORK)
    told = [
        watch.look(engines.at(rate), forecast(), PLAN, CAPACITIES)
        for rate in (1.5e6, 1.5e6, 9e6, 9e6, 9e6, 9e6)
    ]
    assert [len(found) for found in told] == [0, 0, 0, 1, 0, 1]
    (surge,) = told[3]
    assert (surge.src, surge.dst, surge.link) == ("a", "b", "a>b")
    assert abs(surge.rate_bps - 9e6) < 1e3
    assert surge.utilisation > 0.89
    assert "a→b surges to 9.0 Mb/s where at most 2.0 were expected" in str(surge)


def test_one_high_look_alone_is_noise() -> None:
    engines, watch = Engines(), SurgeWatch(NETWORK)
    for rate in (1e6, 9e6, 1e6, 9e6, 1e6):
        assert watch.look(engines.at(rate), forecast(), PLAN, CAPACITIES) == ()


def test_surge_that_fills_no_link_is_not_told() -> None:
    engines, watch = Engines(), SurgeWatch(NETWORK)
    for _ in range(4):
        assert watch.look(engines.at(5e6), forecast(), PLAN, CAPACITIES) == ()


def test_what_was_forecast_is_no_surge() -> None:
    engines, watch = Engines(), SurgeWatch(NETWORK)
    for _ in range(4):
        assert watch.look(engines.at(9e6), forecast(8e6), PLAN, CAPACITIES) == ()


def test_surge_that_grows_on_is_told_again_and_one_that_comes_back_too() -> None:
    engines, watch = Engines(), SurgeWatch(NETWORK)
    rates = (1e6, 8e6, 8e6, 9.9e6, 9.9e6, 1e6, 8e6, 8e6)
    told = [len(watch.look(engines.at(r), forecast(), PLAN, CAPACITIES)) for r in rates]
    assert told == [0, 0, 1, 0, 1, 0, 0, 1]


def test_agent_that_does_not_answer_is_not_taken_for_calm() -> None:
    engines, watch = Engines(), SurgeWatch(NETWORK)
    watch.look(engines.at(1e6), forecast(), PLAN, CAPACITIES)
    watch.look(engines.at(9e6), forecast(), PLAN, CAPACITIES)
    assert watch.look([], forecast(), PLAN, CAPACITIES) == ()
    assert len(watch.look(engines.at(9e6), forecast(), PLAN, CAPACITIES)) == 1

"""Who is down: echoes missed by all observers, and never by those who may be cut off themselves."""

import numpy as np
import pytest

from dataplane.liveness import GRACE_S, MISSED, PERIOD_S, Liveness
from dataplane.maps import EVENT_DTYPE, EVENT_ECHO
from headers.messages import Probe

ENGINES = (1, 2, 3)


class Net:
    """Three engines that watch each other; ``silent`` ones answer nobody and hear nothing."""

    def __init__(self) -> None:
        self.down: dict[int, bool] = {}
        self.liveness = Liveness({}, lambda n, down: self.down.update({n: down}), bytes(6))
        self.liveness.watch(
            Probe(a, b, 10 * a + b, 1, 10 * b + a, 1) for a in ENGINES for b in ENGINES if a != b
        )
        self.now = 100.0

    def period(self, silent: set[int], *, late_s: float = 0.0) -> None:
        """Look whether what was sent is due, then send, and have the replies at once."""
        self.now += PERIOD_S + late_s
        self.liveness.judge(self.now, late_s)
        events = []
        for watched in self.liveness._watched.values():
            watched.sends(self.now)
            probe = watched.probe
            if not {probe.engine, probe.target} & silent:
                events.append((EVENT_ECHO, probe.engine, 0, b"", probe.target, watched.sent, 0, 0))
        rows = np.zeros(len(events), EVENT_DTYPE)
        for row, event in zip(rows, events, strict=True):
            row["kind"], row["engine"], row["backend"] = event[0], event[1], event[4]
            row["sequence"], row["time_ns"], row["packets"] = event[5], 5_000_000, 2_000_000
        self.liveness.received(rows)

    def wait(self, seconds: float) -> None:
        """Look for so long at every moment that something is due."""
        end = self.now + seconds
        while self.liveness.due_s() <= end:
            self.now = self.liveness.due_s()
            self.liveness.judge(self.now)
        self.now = end
        self.liveness.judge(self.now)


@pytest.fixture
def net() -> Net:
    net = Net()
    for _ in range(10):
        net.period(set())
    return net


def test_all_that_answer_are_up_with_their_round_trips(net: Net) -> None:
    assert net.liveness.down == set()
    assert {report.round_trip_s for report in net.liveness.reports()} == {0.003}
    assert all(report.sent == report.received == 10 for report in net.liveness.reports())


def test_engine_that_misses_three_echoes_of_all_its_observers_is_down_and_comes_back(
    net: Net,
) -> None:
    began = net.now
    for _ in range(MISSED):
        net.period({2})
        assert net.liveness.down == set()
    net.wait(GRACE_S - 0.001)
    assert net.liveness.down == set()
    net.wait(0.002)
    assert net.liveness.down == {2}
    assert net.down == {2: True}
    assert net.now - began <= 0.315
    net.period(set())
    net.wait(0.001)
    assert net.down == {2: False}


def test_echo_that_takes_long_everywhere_is_given_twice_its_round_trip(net: Net) -> None:
    for watched in net.liveness._watched.values():
        watched.round_trip_s = 0.2
    for _ in range(MISSED):
        net.period({2})
    net.wait(0.39)
    assert net.liveness.down == set()
    net.wait(0.02)
    assert net.liveness.down == {2}


def test_where_nobody_answers_it_is_us_who_are_cut_off(net: Net) -> None:
    for _ in range(20):
        net.period({1, 2, 3})
    assert net.liveness.down == set()


def test_when_we_were_late_there_is_another_grace(net: Net) -> None:
    for _ in range(MISSED - 1):
        net.period({2})
    # the machine stands still for a second, with the third echo on its way
    net.period({2})
    net.now += 1.0
    net.liveness.judge(net.now, late_s=1.0)
    assert net.liveness.down == set()
    net.wait(GRACE_S - 0.001)
    assert net.liveness.down == set()
    net.wait(0.002)
    assert net.liveness.down == {2}


def test_who_is_always_late_finds_the_dead_all_the_same(net: Net) -> None:
    for _ in range(MISSED):
        net.period({2})
    for _ in range(5):
        net.now += 0.05
        net.liveness.judge(net.now, late_s=0.05)
    assert net.liveness.down == {2}


def test_engine_that_nobody_watches_any_more_is_not_held_down(net: Net) -> None:
    for _ in range(MISSED + 2):
        net.period({2})
    assert net.down == {2: True}
    net.liveness.watch(())
    assert net.down == {2: False}
    assert net.liveness.reports() == ()


def test_probe_whose_engine_is_not_here_is_not_sent() -> None:
    liveness = Liveness({}, lambda _n, _down: None, bytes(6))
    liveness.watch([Probe(1, 2, 12, 1, 21, 1)])
    assert liveness.send(bytes(16), 0, 0) == 0
    liveness.close()

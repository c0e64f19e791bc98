"""Echoes that measure circuits: in turn, bounded, and never mistaken for those of liveness."""

import itertools

import numpy as np
import pytest

from dataplane.liveness import Liveness
from dataplane.maps import EVENT_DTYPE, EVENT_ECHO
from dataplane.measuring import DEADLINE_S, MEASURED, PER_PERIOD, Measuring, is_measured
from headers.messages import CircuitProbe, Probe

KEY = bytes(16)
SENT_NS, RETURNED_NS = 1_000_000, 5_000_000


def probes(count: int) -> list[Probe]:
    return [Probe(1, 2, number, 1, 1000 + number, 1) for number in range(1, count + 1)]


class Bench:
    """Measuring, what it sent, and replies to it."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.port_up = True
        self.measuring = Measuring(self.transmit, bytes(6))

    def transmit(self, engine: int, frame: bytes) -> bool:
        assert engine == 1
        if self.port_up:
            self.frames.append(frame)
        return self.port_up

    def send(self, now_s: float) -> list[int]:
        """Send a period's echoes; return the circuits that they went out on."""
        self.frames.clear()
        self.measuring.send(KEY, 0, 0, now_s)
        return [int.from_bytes(frame[18:21], "big") for frame in self.frames]

    def reply(self, number: int, engine: int = 1, target: int = 2) -> np.ndarray:  # type: ignore[type-arg]
        row = np.zeros(1, EVENT_DTYPE)
        row["kind"], row["engine"], row["backend"] = EVENT_ECHO, engine, target
        row["sequence"], row["packets"], row["time_ns"] = number, SENT_NS, RETURNED_NS
        return row


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_every_circuit_has_its_turn_and_no_period_has_more_than_its_share(bench: Bench) -> None:
    count = 2 * PER_PERIOD + 1
    bench.measuring.use(probes(count))
    seen = [bench.send(period / 10) for period in range(3)]
    assert [len(one) for one in seen] == [PER_PERIOD] * 3
    assert set(itertools.chain(*seen)) == set(range(1, count + 1))


def test_few_circuits_are_asked_once_a_period(bench: Bench) -> None:
    bench.measuring.use(probes(2))
    assert bench.send(0.0) == [1, 2]


def test_reply_is_its_circuits_round_trip_by_the_programs_clocks(bench: Bench) -> None:
    bench.measuring.use(probes(1))
    bench.send(1.0)
    bench.measuring.received(bench.reply(1 | MEASURED))
    assert bench.measuring.results() == (CircuitProbe(1, 4.0),)
    assert bench.measuring.results() == ()


def test_reply_counts_once_and_only_from_whom_was_asked(bench: Bench) -> None:
    bench.measuring.use(probes(1))
    bench.send(1.0)
    bench.measuring.received(bench.reply(1 | MEASURED, target=3))
    bench.measuring.received(bench.reply(1 | MEASURED))
    bench.measuring.received(bench.reply(1 | MEASURED))
    assert len(bench.measuring.results()) == 1
    assert bench.measuring.counts["unasked"] == 2


def test_echo_that_is_not_back_in_time_is_lost(bench: Bench) -> None:
    bench.measuring.use(probes(1))
    bench.send(1.0)
    bench.measuring.expire(1.0 + DEADLINE_S + 0.01)
    assert bench.measuring.results() == (CircuitProbe(1, -1.0),)


def test_port_that_is_gone_is_no_loss_on_a_circuit(bench: Bench) -> None:
    bench.measuring.use(probes(1))
    bench.port_up = False
    bench.send(1.0)
    bench.measuring.expire(9.0)
    assert bench.measuring.results() == ()


def test_new_circuits_come_first_and_gone_ones_are_not_asked(bench: Bench) -> None:
    bench.measuring.use(probes(PER_PERIOD + 2))
    bench.send(0.0)
    bench.measuring.use([*probes(PER_PERIOD + 3)[1:]])
    asked = bench.send(0.1)
    assert asked[0] == PER_PERIOD + 3
    assert 1 not in asked


def test_liveness_and_measuring_do_not_take_each_others_replies(bench: Bench) -> None:
    liveness = Liveness({}, lambda *_args, **_more: None, bytes(6))
    liveness.watch([Probe(1, 2, 1, 1, 1001, 1)])
    echoes = np.concatenate([bench.reply(7), bench.reply(1 | MEASURED)])
    assert is_measured(echoes).tolist() == [False, True]
    liveness.received(echoes[~is_measured(echoes)])
    (report,) = liveness.reports()
    assert report.received == 1
    assert next(iter(liveness._watched.values())).last_seen == 7

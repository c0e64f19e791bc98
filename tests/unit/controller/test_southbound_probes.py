"""Probes of links: whose count, what they measure, and how many there are."""

import pytest

from controller.southbound.flows import PROBE_BACK, PROBE_OUT
from controller.southbound.probes import (
    DEADLINE_S,
    MOST_PER_S,
    OUTSTANDING_MOST,
    PERIOD_S,
    SELF_LOOP,
    ProbeError,
    Probes,
    build,
    ends_to_ask,
    interval_s,
    parse,
)
from headers.messages import LinkProbe

KEY = b"k" * 32
LINK = (7, 3)


@pytest.fixture
def probes() -> Probes:
    """Probes that know what the way to switch 7 costs: 2 ms."""
    made = Probes(KEY, 1000)
    for number in range(3):
        frame = made.send((7, SELF_LOOP), float(number))
        assert frame is not None
        made.take(7, None, frame, number + 0.002)
    return made


def sent(probes: Probes, now_s: float, end: tuple[int, int] = LINK) -> bytes:
    frame = probes.send(end, now_s)
    assert frame is not None
    return frame


def reason(probes: Probes, dpid: int, port: int | None, frame: bytes, now_s: float = 10.02) -> str:
    with pytest.raises(ProbeError) as refused:
        probes.take(dpid, port, frame, now_s)
    return refused.value.reason


def test_round_trip_is_without_what_lies_between_us_and_the_switch(probes: Probes) -> None:
    probes.take(7, 3, sent(probes, 10.0), 10.012)
    (row,) = probes.results()
    assert (row.dpid, row.port) == LINK
    assert row.rtt_ms == pytest.approx(10.0)
    assert probes.results() == ()


def test_link_of_a_switch_whose_own_way_is_unknown_is_not_measured(probes: Probes) -> None:
    probes.take(8, 1, sent(probes, 10.0, (8, 1)), 10.012)
    assert probes.results() == ()


def test_probe_that_is_not_back_in_time_is_lost(probes: Probes) -> None:
    frame = sent(probes, 10.0)
    probes.expire(10.0 + DEADLINE_S + 0.01)
    assert probes.results() == (LinkProbe(*LINK, -1.0),)
    assert reason(probes, 7, 3, frame, 11.1) == "replayed"
    assert probes.counts["lost"] == 1


def test_lost_self_loop_says_nothing_of_a_link(probes: Probes) -> None:
    sent(probes, 10.0, (7, SELF_LOOP))
    probes.expire(12.0)
    assert probes.results() == ()


def test_probe_counts_once(probes: Probes) -> None:
    frame = sent(probes, 10.0)
    probes.take(7, 3, frame, 10.01)
    assert reason(probes, 7, 3, frame) == "replayed"
    assert len(probes.results()) == 1


def test_probe_at_another_port_or_switch_is_refused(probes: Probes) -> None:
    frame = sent(probes, 10.0)
    assert reason(probes, 7, 4, frame) == "misdirected"
    assert reason(probes, 8, 3, frame) == "misdirected"
    assert reason(probes, 7, None, frame) == "misdirected"


def test_probe_that_somebody_made_or_changed_is_refused(probes: Probes) -> None:
    frame = sent(probes, 10.0)
    assert reason(probes, 7, 3, build(b"x" * 32, LINK, probes.sequence)) == "forged"
    changed = bytearray(frame)
    changed[30] ^= 1
    assert reason(probes, 7, 3, bytes(changed)) == "forged"
    assert reason(probes, 7, 3, frame[:40]) == "malformed"
    assert reason(probes, 7, 3, b"") == "malformed"
    # our own frame for another number of ours
    assert reason(probes, 7, 3, build(KEY, LINK, probes.sequence + 1)) == "replayed"


def test_frames_are_addressed_so_that_the_right_flow_takes_them() -> None:
    out, own = build(KEY, LINK, 5), build(KEY, (7, SELF_LOOP), 6)
    assert out[:6].hex(":") == PROBE_OUT
    assert own[:6].hex(":") == PROBE_BACK
    assert len(out) == 60
    assert parse(KEY, out) == (LINK, 5)


def test_switch_that_went_away_lost_nothing_on_its_links(probes: Probes) -> None:
    sent(probes, 10.0)
    probes.forget(7)
    probes.expire(20.0)
    assert probes.results() == ()


def test_no_more_are_on_their_way_than_may_be() -> None:
    probes = Probes(KEY, 0)
    frames = [probes.send(LINK, 1.0) for _ in range(OUTSTANDING_MOST + 2)]
    assert frames.count(None) == 2
    assert probes.counts["too_many"] == 2


@pytest.mark.parametrize(
    ("ends", "per_s"), [(2, 2 / PERIOD_S), (42, MOST_PER_S), (1000, MOST_PER_S)]
)
def test_rate_is_bounded_for_each_link_and_for_all(ends: int, per_s: float) -> None:
    assert 1 / interval_s(ends) == pytest.approx(per_s)


def test_every_switch_and_link_is_asked_in_a_round() -> None:
    assert ends_to_ask({(2, 5), (1, 4)}, [2, 1]) == [(1, 0), (2, 0), (1, 4), (2, 5)]

"""One switch as the southbound sees it: ports, taking turns, looking again."""

from types import SimpleNamespace

import pytest

from controller.southbound.flows import Flows
from controller.southbound.pipeline import base_flows, switch_flows
from controller.southbound.switch import FULL_CHECK_EVERY, Switch
from headers.messages import Label, SwitchDesired
from tests.unit.controller.switch_double import FakeSwitch

LINK_DOWN, LIVE = 1, 4


def state(*spis: int) -> Flows:
    labels = tuple(Label(spi, 2, generation=1) for spi in spis)
    return switch_flows(SwitchDesired(1, (), labels, ()), [], "02:f0:00:00:00:01")


def pair() -> tuple[FakeSwitch, Switch]:
    fake = FakeSwitch()
    switch = Switch(fake)
    switch.session = fake.session
    switch.program.session = fake.session
    return fake, switch


def port(state: int, config: int = 0) -> SimpleNamespace:
    return SimpleNamespace(
        port_no=3, name=b"s1-3", hw_addr="02:00:00:00:00:01", config=config, state=state,
        curr_speed=0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("states", "up"),
    [
        ([0], True),
        ([LIVE], True),
        ([LINK_DOWN], False),
        ([LIVE, 0], False),
        ([0, LIVE, 0], False),
        ([LIVE, 0, LIVE], True),
        ([LIVE, LINK_DOWN, 0], False),
    ],
)
def test_port_that_was_live_and_is_not_is_down_whatever_its_carrier_says(
    states: list[int], up: bool
) -> None:
    _, switch = pair()
    for one in states:
        switch.note_port(port(one))
    assert switch.ports[3].up is up


def test_port_that_was_taken_out_and_put_in_begins_anew() -> None:
    _, switch = pair()
    switch.note_port(port(LIVE))
    assert switch.drop_port(3)
    assert not switch.drop_port(3)
    switch.note_port(port(0))
    assert switch.ports[3].up


def test_newest_state_wins_even_if_an_older_change_waited_for_its_turn() -> None:
    fake, switch = pair()
    wanted = [state(5)]
    switch.apply(lambda: wanted[-1])
    wanted.append(state(6))
    switch.apply(lambda: wanted[-1])
    assert {cookie >> 24 & 0xFFFFFF for cookie, _ in fake.flows.values()} == {0, 6}


def test_flow_that_vanished_is_mended_and_told_with_the_next_answer() -> None:
    fake, switch = pair()
    switch.apply(lambda: state(5, 6))
    assert switch.check() == 0
    del fake.flows[next(k for k, (cookie, _) in fake.flows.items() if cookie >> 24 & 0xFF == 5)]
    assert switch.check() == 1
    assert len(fake.flows) == len(base_flows()) + 2
    assert switch.apply(lambda: state(5, 6)).mismatches == 1
    assert switch.apply(lambda: state(5, 6)).mismatches == 0


def test_flow_that_was_changed_is_found_when_all_are_read() -> None:
    fake, switch = pair()
    switch.apply(lambda: state(5, 6))
    key = next(k for k, (cookie, _) in fake.flows.items() if cookie >> 24 & 0xFF == 5)
    cookie, rest = fake.flows[key]
    fake.flows[key] = (
        cookie,
        rest.replace(b"\x00\x00\x00\x02\xff\xe5", b"\x00\x00\x00\x03\xff\xe5"),
    )
    assert sum(switch.check() for _ in range(FULL_CHECK_EVERY)) == 1
    assert fake.flows[key] == (cookie, rest)


def test_switch_that_lied_once_is_asked_again() -> None:
    fake, switch = pair()
    lies = iter([True])
    fake.lies = lambda cookie, *_: cookie >> 24 & 0xFF == 6 and next(lies, False)
    done = switch.apply(lambda: state(5, 6))
    assert (done.mismatches, done.refused) == (1, ())
    assert len(fake.flows) == len(base_flows()) + 2


def test_switch_that_goes_on_lying_is_asked_until_it_does_it() -> None:
    fake, switch = pair()
    fake.lies = lambda cookie, *_: cookie >> 24 & 0xFF == 6
    assert switch.apply(lambda: state(5, 6)).mismatches == 1
    switch.check()
    assert len(fake.flows) == len(base_flows()) + 1
    fake.lies = lambda *_: False
    assert switch.check() == 1
    assert len(fake.flows) == len(base_flows()) + 2
    assert switch.check() == 0


def test_switch_that_is_gone_says_so_and_is_read_anew_when_it_is_back() -> None:
    fake, switch = pair()
    switch.apply(lambda: state(5))
    fake.dies_at = fake.received + 3
    done = switch.apply(lambda: state(5, 6))
    assert (done.connected, done.error) == (False, "not connected")
    assert not switch.adopted
    assert switch.check() == 0

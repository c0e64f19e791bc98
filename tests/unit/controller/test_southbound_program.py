"""Bringing a switch to a state, and what switches do instead."""

import logging
from dataclasses import replace

import pytest

from controller.southbound import session as session_module
from controller.southbound.flows import Flow, Flows
from controller.southbound.labels import groups_of
from controller.southbound.pipeline import base_flows, switch_flows
from controller.southbound.program import Program
from controller.southbound.session import SwitchGoneError
from headers.messages import TURN_BACK, Filter, FilterRule, Label, Route, SwitchDesired
from tests.unit.controller.switch_double import FakeSwitch

TABLE_FULL, BAD_MATCH = (5, 1), (4, 9)


def state(*labels: Label, filters: tuple[Filter, ...] = ()) -> Flows:
    return switch_flows(
        SwitchDesired(1, (), labels, (Route("10.2.0.0/16", 2),), filters), [], "02:f0:00:00:00:01"
    )


def protected(spi: int, generation: int = 1) -> tuple[Label, Label]:
    return (
        Label(spi, 2, 1, TURN_BACK, generation),
        Label(spi | 1 << 23, 1, 2, generation=generation),
    )


def plain(*spis: int, generation: int = 1) -> tuple[Label, ...]:
    return tuple(Label(spi, 2, generation=generation) for spi in spis)


def circuit_of(cookie: int) -> int:
    return cookie >> 24 & 0xFFFFFF


def held(switch: FakeSwitch) -> set[int]:
    return {circuit_of(cookie) for cookie, _ in switch.flows.values()} - {0}


def test_same_state_again_writes_nothing() -> None:
    switch = FakeSwitch()
    program = Program(switch.session)
    wanted = state(*protected(5), *plain(6))
    assert program.bring(wanted).added == len(wanted) + len(groups_of(wanted.values()))
    written = switch.written
    assert (program.bring(wanted).added, switch.written) == (0, written)


def test_another_southbound_adopts_what_is_there_and_writes_nothing() -> None:
    switch = FakeSwitch()
    rules = Filter(5, (FilterRule(5, True, "10.1.0.0/16", protocol=6),), False, 3)
    wanted = state(*protected(5), *plain(6), filters=(rules,))
    Program(switch.session).bring(wanted)
    written = switch.written
    other = Program(switch.session)
    other.adopt()
    assert other.flows == wanted
    assert other.groups == groups_of(wanted.values())
    assert (other.bring(wanted).added, switch.written) == (0, written)


def test_unchanged_circuit_is_left_alone_when_another_changes() -> None:
    switch = FakeSwitch()
    program = Program(switch.session)
    program.bring(state(*plain(5, 6)))
    done = program.bring(state(*plain(5), Label(6, 3, generation=2)))
    assert (done.added, done.removed, done.mismatches) == (1, 0, 0)


def test_circuit_that_goes_is_removed_by_its_cookie_in_one_message() -> None:
    switch = FakeSwitch()
    program = Program(switch.session)
    program.bring(state(*protected(5), *plain(6)))
    written = switch.written
    done = program.bring(state(*plain(6)))
    # its two flows by cookie, and its group
    assert (done.removed, switch.written - written) == (2, 2)
    assert held(switch) == {6}
    assert switch.groups == {}


def test_flow_with_our_cookie_and_a_match_of_nobodys_goes_by_its_cookie() -> None:
    switch = FakeSwitch()
    program = Program(switch.session)
    program.bring(state(*plain(5)))
    odd = Flow(7, (("field_99", "AA=="),), (), circuit=9, generation=9)
    program.flows[odd.key] = odd
    assert program.bring(state(*plain(5))).removed == 1
    program.flows[odd.key] = replace(odd, circuit=5, generation=1)
    assert program.bring(state(*plain(5))).removed == 0


@pytest.mark.parametrize("bundles", [True, False])
def test_refused_circuit_stays_out_whole_and_others_get_in(bundles: bool) -> None:
    def refuses(cookie: int, table: int, priority: int) -> tuple[int, int] | None:
        return BAD_MATCH if circuit_of(cookie) == 6 and priority == 201 else None

    switch = FakeSwitch(refuses=refuses, bundles=bundles)
    program = Program(switch.session)
    done = program.bring(state(*plain(5), *protected(6), *plain(7)))
    assert done.refused == {6: "bad match (type 4 code 9)"}
    assert held(switch) == {5, 7}
    assert done.mismatches == 0


@pytest.mark.parametrize("bundles", [True, False])
def test_circuit_that_is_refused_in_a_new_form_stays_as_it_was(bundles: bool) -> None:
    def refuses(cookie: int, table: int, priority: int) -> tuple[int, int] | None:
        return BAD_MATCH if cookie & 0xFFFFFF == 9 else None

    switch = FakeSwitch(bundles=bundles)
    program = Program(switch.session)
    program.bring(state(*protected(5)))
    before = dict(switch.flows)
    switch.refuses = refuses
    done = program.bring(state(Label(5, 4, generation=9)))
    assert list(done.refused) == [5]
    assert switch.flows == before


def test_rules_and_label_of_a_circuit_are_refused_together() -> None:
    def refuses(cookie: int, table: int, priority: int) -> tuple[int, int] | None:
        return TABLE_FULL if table == 1 else None

    switch = FakeSwitch(refuses=refuses)
    rules = Filter(5, (FilterRule(5, True),), allow_rest=False)
    done = Program(switch.session).bring(state(*plain(5, 6), filters=(rules,)))
    assert done.refused == {5: "table full (type 5 code 1)"}
    assert held(switch) == {6}


def test_full_table_takes_what_fits_and_is_asked_twice_only() -> None:
    switch = FakeSwitch()
    room = 9 + len(base_flows())
    switch.refuses = lambda *_: TABLE_FULL if _count(switch) > room else None
    asked = []
    count = 0

    def _count(_: FakeSwitch) -> int:
        nonlocal count
        count += 1
        return count

    program = Program(switch.session)
    send = program._send_bundle
    program._send_bundle = lambda steps: asked.append(len(steps)) or setback() or send(steps)  # type: ignore[method-assign,func-returns-value]

    def setback() -> None:
        nonlocal count
        count = 0

    done = program.bring(state(*plain(*range(1, 40))))
    assert len(asked) == 2
    assert len(switch.flows) == room
    taken = room - len(base_flows())
    assert sorted(done.refused) == list(range(taken, 40))


def test_switch_that_refuses_everything_ends_in_reasons_and_not_in_a_loop() -> None:
    switch = FakeSwitch(refuses=lambda *_: BAD_MATCH)
    done = Program(switch.session).bring(state(*plain(*range(1, 40))))
    assert set(done.refused) == set(range(1, 40))
    assert switch.flows == {}
    assert any("bad match" in error for error in done.errors)


def test_switch_that_says_yes_and_does_nothing_is_caught_on_read_back() -> None:
    switch = FakeSwitch(lies=lambda cookie, table, priority: circuit_of(cookie) == 6)
    done = Program(switch.session).bring(state(*plain(5, 6)))
    assert done.mismatches == 1


def test_switch_that_does_something_else_is_caught_on_read_back() -> None:
    switch = FakeSwitch()
    program = Program(switch.session)
    wanted = state(*plain(5, 6))
    read = program._read
    key, flow = next((k, f) for k, f in wanted.items() if f.circuit == 6)
    changed: Flow = replace(flow, actions=(("output", 9),))
    program._read = lambda parts: {  # type: ignore[method-assign]
        k: changed if k == key else f for k, f in read(parts).items()
    }
    assert program.bring(wanted).mismatches == 1


def test_many_flows_are_counted_instead_of_read() -> None:
    switch = FakeSwitch(lies=lambda cookie, table, priority: circuit_of(cookie) == 600)
    program = Program(switch.session)
    assert program.bring(state(*plain(*range(1, 600)))).mismatches == 0
    assert program.bring(state(*plain(*range(1, 1000)))).mismatches == 1


def test_disconnect_in_the_middle_of_a_bundle_leaves_nothing_half_done() -> None:
    switch = FakeSwitch()
    program = Program(switch.session)
    program.bring(state(*plain(5)))
    before = dict(switch.flows)
    switch.dies_at = switch.received + 6
    with pytest.raises(SwitchGoneError):
        program.bring(state(*plain(*range(5, 60))))
    assert switch.flows == before


def test_switch_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    switch = FakeSwitch()
    program = Program(switch.session)
    monkeypatch.setattr(session_module, "REPLY_TIMEOUT_S", 0.05)
    monkeypatch.setattr(switch, "_tell", lambda *_: None)
    with pytest.raises(SwitchGoneError, match="no answer"):
        program.adopt()


def test_flood_of_errors_is_counted_and_hardly_written_down(
    caplog: pytest.LogCaptureFixture,
) -> None:
    switch = FakeSwitch(noise=1000)
    with caplog.at_level(logging.ERROR):
        done = Program(switch.session).bring(state(*plain(5)))
    assert (done.refused, done.mismatches) == ({}, 0)
    assert switch.session.errors > 2000
    assert len(caplog.records) == session_module.LOGGED


def test_flows_and_groups_of_others_are_counted_and_left_alone() -> None:
    switch = FakeSwitch()
    wanted = state(*protected(5))
    Program(switch.session).bring(wanted)
    ours = next(iter(switch.flows.values()))
    switch.flows[0, 5, b"\0\1\0\4\0\0\0\0"] = (7, ours[1])
    switch.groups[9] = next(iter(switch.groups.values()))
    program = Program(switch.session)
    program.adopt()
    assert (program.foreign, program.foreign_groups) == (1, 1)
    program.bring({})
    assert list(switch.flows.values()) == [(7, ours[1])]
    assert list(switch.groups) == [9]

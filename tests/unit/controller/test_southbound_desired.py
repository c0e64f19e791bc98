"""What switches are held to: nothing older than what is in force; and who may be a switch."""

from collections import Counter

import pytest

from controller.southbound.admission import Admission
from controller.southbound.desired import Desired
from controller.southbound.discovery import LIFETIME_S, Sequences
from headers.messages import ApplySwitches, EdgePort, Filter, Label, SwitchDesired

MAC = "02:f0:00:00:00:01"
PROTECTED = 1 << 23


def wanted(generation: int, *labels: Label, term: int = 1, filters: tuple[Filter, ...] = ()):  # type: ignore[no-untyped-def]
    edge = EdgePort(1, "10.1.0.0/16", "10.1.255.254")
    states = (SwitchDesired(1, (edge,), labels, (), filters), SwitchDesired(2, (), labels, ()))
    return ApplySwitches(term, generation, MAC, states)


@pytest.fixture
def refused() -> Counter[str]:
    return Counter()


@pytest.fixture
def desired(refused: Counter[str]) -> Desired:
    return Desired(refused)


def test_older_term_and_older_plan_are_refused_in_words(
    desired: Desired, refused: Counter[str]
) -> None:
    assert desired.accept(wanted(5, term=3)) == ""
    assert desired.accept(wanted(9, term=2)) == "term 2 is over; this is term 3"
    assert "older than 5" in desired.accept(wanted(4, term=3))
    assert desired.accept(wanted(5, term=3)) == ""
    assert desired.accept(wanted(1, term=4)) == ""
    assert refused == {"old_term": 1, "old_generation": 1}


def test_late_circuit_stays_as_it_is_and_the_rest_is_taken(
    desired: Desired, refused: Counter[str]
) -> None:
    shut = (Filter(5, (), allow_rest=False),)
    newest = (Label(5, 2, generation=9), Label(5 | PROTECTED, 3, generation=9))
    desired.accept(wanted(1, *newest, Label(6, 2, generation=1), filters=shut))
    assert desired.accept(wanted(2, Label(5, 7, generation=8), Label(6, 4, generation=2))) == ""
    state = desired.of(1)
    assert state is not None
    assert set(state.labels) == {*newest, Label(6, 4, generation=2)}
    assert state.filters == shut
    (stale,) = desired.stale(1)
    assert (stale.spi, stale.reason) == (5, "generation 8 is older than 9, which is in force")
    assert refused == {"old_circuit": 2}
    assert desired.accept(wanted(3, Label(5, 7, generation=10))) == ""
    assert desired.stale(1) == desired.stale(2) == ()


def test_new_term_begins_anew(desired: Desired) -> None:
    desired.accept(wanted(1, Label(5, 2, generation=9)))
    desired.accept(wanted(1, Label(5, 7, generation=1), term=2))
    assert desired.of(1).labels == (Label(5, 7, generation=1),)  # type: ignore[union-attr]


def test_nothing_is_known_before_the_first_state(desired: Desired) -> None:
    assert (desired.of(1), desired.edges(1), desired.inventory) == (None, {}, None)
    desired.accept(wanted(1))
    assert desired.inventory == {1, 2}
    assert set(desired.edges(1)) == {1}


def test_all_are_admitted_until_the_network_is_known_and_then_its_own() -> None:
    admission = Admission()
    assert admission.admits(7, None)
    assert admission.admits(1, frozenset({1, 2}))
    assert not admission.admits(7, frozenset({1, 2}))
    assert not admission.strict


def test_list_of_switches_stands_above_the_inventory() -> None:
    admission = Admission([1, "00:00:00:00:00:00:00:1f", "ff"])
    assert admission.strict
    assert all(admission.admits(dpid, None) for dpid in (1, 0x1F, 0xFF))
    assert not admission.admits(2, None)
    assert not admission.admits(2, frozenset({2}))


@pytest.mark.parametrize("dpid", ["xyz", -1, 1 << 64])
def test_what_is_no_datapath_id_is_named(dpid: int | str) -> None:
    with pytest.raises(ValueError, match=str(dpid).lstrip("-")):
        Admission([dpid])


def test_discovery_frame_counts_once() -> None:
    sequences = Sequences()
    assert sequences.fresh((1, 2), 10, 10)
    assert not sequences.fresh((1, 2), 10, 10)
    assert not sequences.fresh((1, 2), 9, 11)
    assert sequences.fresh((1, 2), 11, 11)
    assert sequences.fresh((1, 3), 11, 11)


def test_recorded_discovery_frame_is_worth_nothing_once_its_link_would_be_lost() -> None:
    sequences = Sequences()
    life = int(LIFETIME_S)
    assert sequences.fresh((1, 2), 10, 10 + life)
    assert not Sequences().fresh((1, 2), 10, 11 + life)
    assert not sequences.fresh((1, 2), 99, 12 + life)

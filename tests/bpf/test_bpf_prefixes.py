"""Several prefixes that go one way: one bucket table, counted once, also after a restart."""

from dataclasses import replace
from typing import Any

import pytest

from dataplane.desired import RefusedError, State
from dataplane.maps import read_counters
from tests.bpf.conftest import desired
from tests.bpf.test_bpf_programs import XDP_REDIRECT, plain, run_mark

FAR = ("198.51.100.0/24", "198.51.101.7/32", "2001:db8::/32")


def with_more(*more: str) -> Any:
    state = desired(2)
    first = state.engines[0]
    demands = (replace(first.demands[0], more=more), *first.demands[1:])
    return replace(state, engines=(replace(first, demands=demands), state.engines[1]))


def bytes_of(plane: Any, slot: int) -> int:
    return int(read_counters(plane.maps.demand_counters)[slot][1])


def test_further_prefixes_share_circuits_and_counter_and_are_found_again(plane: Any) -> None:
    own = plane.state.slots()
    assert plane.state.apply(with_more(*FAR)).mismatches == 0
    # whoever starts anew reads the same owners, no more
    assert State(plane.maps, plane.engines).slots() == own
    (slot,) = {at for (kind, key), at in own.items() if kind == "prefix" and b"\x0a\x02" in key}
    before = bytes_of(plane, slot)
    for target in ("198.51.100.9", "198.51.101.7", "10.2.0.1"):
        verdict, out, seen = run_mark(plane, bytes(plain(target)))
        assert verdict == XDP_REDIRECT
        assert seen == {"marked": 1}
        assert int.from_bytes(out[18:21], "big") == 5
    assert bytes_of(plane, slot) - before >= 3 * len(bytes(plain()))
    assert run_mark(plane, bytes(plain("198.51.101.8")))[2] == {"no_demand": 1}
    # taken back, nothing of them is left
    plane.state.apply(desired(3))
    assert run_mark(plane, bytes(plain("198.51.100.9")))[2] == {"no_demand": 1}


@pytest.mark.parametrize("twice", ["10.3.0.0/16", "10.2.0.0/16"])
def test_prefix_that_has_a_demand_already_is_refused_and_nothing_changes(
    plane: Any, twice: str
) -> None:
    with pytest.raises(RefusedError, match="more than one demand"):
        plane.state.apply(with_more(twice))
    assert run_mark(plane, bytes(plain()))[2] == {"marked": 1}
    assert run_mark(plane, bytes(plain("10.3.0.1")))[2] == {"unsteered": 1}

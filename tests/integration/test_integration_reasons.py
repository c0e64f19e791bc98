"""Each reason that a packet is refused for: it is counted once, and the packet inside arrives."""

from typing import Any

import pytest

from dataplane.maps import REASONS
from tests.integration.reasons_cases import CASES, Case, End
from tests.integration.scenes import play

FAILURES = {
    "malformed",
    "version",
    "nsh_ttl",
    "unknown_circuit",
    "epoch",
    "tag",
    "no_neighbour",
    "foreign_nsh",
    "nested",
    "truncated",
    "ip_ttl",
    "too_long",
    "no_circuit",
    "unsteered",
    "no_demand",
    "fragment",
    "no_service",
    "no_backend",
    "not_granted",
    "no_key",
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run all cases in one lab; return what was seen of each."""
    return play("reasons_lab", "", tmp_path_factory.mktemp("reasons"), 60)


PARAMETERS = [
    pytest.param(
        case,
        id=case.name,
        marks=[pytest.mark.xfail(reason=case.wrong, strict=True)] if case.wrong else [],
    )
    for case in CASES
]


@pytest.mark.parametrize("case", PARAMETERS)
def test_reason_is_counted_and_no_packet_is_lost_for_it(case: Case, seen: dict[str, Any]) -> None:
    found = seen[case.name]
    counted = {int(engine): reasons for engine, reasons in found["counted"].items()}
    if case.name == "plain":
        # of frames that are not IP, hosts may send one of their own at any time
        counted = {n: {"plain": min(r["plain"], 1)} for n, r in counted.items()}
    assert counted == case.counted
    assert found["ends"] == ([] if case.end is End.NOWHERE else [case.end.value])


@pytest.mark.parametrize(
    "case",
    [
        # the tables were read while the key was there, and the kernel's routes are not in them
        pytest.param(case, id=case.name)
        for case in CASES
        if not (case.keyless or case.wrong or case.name == "routed")
    ],
)
def test_explain_says_before_what_is_counted_then(case: Case, seen: dict[str, Any]) -> None:
    engine = 2 if case.where == "core2" else 1
    assert seen[case.name]["foretold"] == case.counted[engine]


def test_every_failure_has_a_case() -> None:
    counted = {name for case in CASES for reasons in case.counted.values() for name in reasons}
    assert counted >= FAILURES
    assert set(REASONS) >= FAILURES


def test_names_of_cases_tell_them_apart() -> None:
    assert len({case.name for case in CASES}) == len(CASES)

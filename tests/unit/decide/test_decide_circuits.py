import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.decide.circuits import LARGEST, Wish, allocate
from controller.state import Circuit

wishes = st.sets(st.integers(0, 30), max_size=20).map(
    lambda numbers: [Wish("a", "b", (f"a>{n}", f"{n}>b")) for n in sorted(numbers)]
)


def by_links(circuits):
    return {circuit.links: circuit for circuit in circuits}


@given(st.lists(wishes, min_size=2, max_size=6))
def test_numbers_are_unique_dense_and_rest_for_a_plan(rounds):
    before: tuple[Circuit, ...] = ()
    for generation, wanted in enumerate(rounds, 1):
        now = allocate(before, wanted, generation)
        assert {c.links for c in now} == {w.links for w in wanted}
        assert len({c.spi for c in now}) == len(now)
        known = by_links(before)
        for circuit in now:
            if circuit.links in known:
                assert circuit == known[circuit.links]
            else:
                assert circuit.spi not in {c.spi for c in before}
                assert circuit.generation == generation
        assert max((c.spi for c in now), default=0) <= max(
            [len(before) + len(now), *(c.spi for c in before)]
        )
        before = now


def test_a_number_is_used_again_after_one_plan_without_it():
    one = [Wish("a", "b", ("a>b",))]
    two = [Wish("a", "b", ("a>c", "c>b"))]
    three = [*two, Wish("a", "b", ("a>d", "d>b"))]
    first = allocate((), one, 1)
    second = allocate(first, two, 2)
    third = allocate(second, three, 3)
    assert [c.spi for c in first] == [1]
    assert [c.spi for c in second] == [2]
    assert [(c.spi, c.generation) for c in third] == [(1, 3), (2, 2)]


def test_short_numbers_go_to_the_largest_rates():
    wanted = [Wish("a", "b", (f"a>b/{n}",), rate_bps=float(n)) for n in range(2, 6)]
    kept = allocate((), wanted, 1, limit=2)
    assert [c.links[0] for c in kept] == ["a>b/4", "a>b/5"]


def test_circuits_being_removed_count_against_the_limit():
    before = allocate((), [Wish("a", "b", ("a>b",)), Wish("a", "b", ("a>b/2",))], 1)
    assert allocate(before, [Wish("a", "b", ("a>b/3",))], 2, limit=2) == ()


@pytest.mark.parametrize("limit", [0, LARGEST + 1])
def test_a_limit_beyond_the_header_is_refused(limit):
    with pytest.raises(ValueError, match="limit"):
        allocate((), (), 1, limit)

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.decide.buckets import apportion, moves, rebalance
from controller.state import BUCKETS, UNSTEERED

weights = st.dictionaries(st.integers(1, 12), st.floats(0.0, 1e6), min_size=1, max_size=8).filter(
    lambda shares: sum(shares.values()) > 1e-6
)


@given(weights)
def test_counts_are_within_one_of_the_shares(shares):
    table = rebalance(None, shares)
    assert len(table) == BUCKETS
    counts, total = Counter(table), sum(shares.values())
    assert set(counts) <= set(shares)
    for spi, share in shares.items():
        assert abs(counts[spi] - share / total * BUCKETS) < 1 + 1e-6


@given(weights, weights)
def test_no_more_entries_move_than_the_counts_differ(old, new):
    before = rebalance(None, old)
    after = rebalance(before, new)
    grown = Counter(after) - Counter(before)
    assert moves(before, after) == sum(grown.values())


@given(weights, weights)
def test_the_same_weights_again_move_nothing(old, new):
    table = rebalance(rebalance(None, old), new)
    assert rebalance(table, new) == table


def test_unsteered_entries_are_given_to_circuits():
    table = rebalance((UNSTEERED,) * 200 + (3,) * 56, {3: 0.5, 4: 0.5})
    assert Counter(table) == {3: 128, 4: 128}
    assert table[200:] == (3,) * 56


def test_a_tie_is_left_as_it_is():
    assert apportion((0.5, 0.5, 0.0), (0, 0, 0)) == (128, 128, 0)
    thirds = (1.0, 1.0, 1.0)
    assert apportion(thirds) == (86, 85, 85)
    assert apportion(thirds, (85, 86, 85)) == (85, 86, 85)


@pytest.mark.parametrize("shares", [(0.0, 0.0), (-0.1, 1.1), (float("nan"),), (float("inf"),)])
def test_shares_that_mean_nothing_are_refused(shares):
    with pytest.raises(ValueError, match="shares must be"):
        apportion(shares)


def test_a_table_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="255 entries"):
        rebalance((1,) * 255, {1: 1.0})

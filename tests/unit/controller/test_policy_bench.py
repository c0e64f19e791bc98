"""The benchmark of policies: what it measures is there, and small sizes keep the bounds."""

from controller.policies.bench import TARGETS_MS, bench, rules


def test_ten_thousand_pairs_are_evaluated_in_time():
    took = bench(100, 100)
    assert (took.pairs, took.shapes) == (10_000, 6)
    assert 0 < took.active < 100
    assert took.evaluate_ms + took.standing_ms <= TARGETS_MS[10_000]


def test_rules_differ_in_their_thresholds():
    assert len({rule.condition for rule in rules(600)}) == 600

"""What remains of a plan when switches refused circuits of it."""

from dataclasses import replace

from controller.act.rollback import without_refused
from controller.state import BUCKETS, Circuit, CircuitFilter, Plan, Split

DIRECT = Circuit(1, "a", "b", ("a>b",))
BY_C = Circuit(2, "a", "b", ("a>c", "c>b"))
BY_D = Circuit(3, "a", "b", ("a>d", "d>b"))
HALF = BUCKETS // 2
WHY = {2: "switch 3: table full"}


def split(*spis: int, backups: tuple[int, ...] = ()) -> Split:
    each = BUCKETS // len(spis)
    table = tuple(spi for spi in spis for _ in range(each))
    return Split("a", "b", spis, (1 / len(spis),) * len(spis), table, backups)


def plan(*circuits: Circuit, splits: tuple[Split, ...]) -> Plan:
    return Plan(1, 1, 1, circuits, splits, {}, {}, 0.5, "two-stage", "a test")


def test_demand_keeps_its_previous_buckets_and_their_circuits() -> None:
    before = plan(DIRECT, splits=(split(1),))
    wanted = plan(BY_C, BY_D, splits=(split(2, 3),))
    left = without_refused(wanted, before, WHY)
    assert left.circuits == (DIRECT, BY_D)
    assert left.splits == before.splits
    assert left.notes == ("circuit 2 refused: switch 3: table full",)


def test_previous_buckets_over_a_dead_link_are_no_way_out() -> None:
    before = plan(DIRECT, splits=(split(1),))
    wanted = plan(BY_C, BY_D, splits=(split(2, 3),))
    left = without_refused(wanted, before, WHY, dead={"a>b"})
    assert left.circuits == (BY_D,)
    assert set(left.splits[0].buckets) == {3}
    assert left.splits[0].shares == (1.0,)


def test_previous_buckets_over_a_dead_link_will_do_where_a_backup_carries_them() -> None:
    protected = replace(DIRECT, backup=BY_D.links)
    before = plan(protected, splits=(split(1),))
    left = without_refused(plan(BY_C, splits=(split(2),)), before, WHY, dead={"a>b"})
    assert left.splits == before.splits


def test_only_buckets_of_the_refused_circuit_move() -> None:
    wanted = plan(DIRECT, BY_C, splits=(split(1, 2),))
    left = without_refused(wanted, None, WHY)
    assert left.splits[0].buckets == (1,) * BUCKETS
    assert (left.splits[0].spis, left.splits[0].shares) == ((1,), (1.0,))


def test_demand_without_any_circuit_left_is_not_steered() -> None:
    left = without_refused(plan(BY_C, splits=(split(2),)), None, WHY)
    assert (left.circuits, left.splits) == ((), ())


def test_refused_circuit_is_nobodys_backup() -> None:
    wanted = plan(DIRECT, BY_C, splits=(split(1, backups=(2,) * HALF + (1,) * HALF),))
    left = without_refused(wanted, None, WHY)
    assert left.splits[0].backups == (0,) * HALF + (1,) * HALF
    assert left.splits[0].buckets == wanted.splits[0].buckets


def test_changed_circuit_stays_as_it_was_with_the_firewall_that_it_had() -> None:
    changed = replace(BY_C, backup=("a>b",), generation=9)
    had, asked = CircuitFilter(2, ()), CircuitFilter(2, (), allow_rest=False, generation=9)
    wanted = replace(plan(changed, splits=(split(2),)), filters=(asked,))
    before = plan(BY_C, splits=(split(2),))
    left = without_refused(wanted, before, WHY, filters=[had])
    assert left.circuits == (replace(BY_C, generation=9),)
    assert (left.splits, left.filters) == (wanted.splits, (had,))


def test_circuit_that_is_refused_as_it_was_is_lost() -> None:
    before = plan(BY_C, DIRECT, splits=(split(2),))
    wanted = plan(BY_C, DIRECT, splits=(split(2),))
    left = without_refused(wanted, before, WHY, lost={2})
    assert left.circuits == (DIRECT,)
    assert left.splits == ()

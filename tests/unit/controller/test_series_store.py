"""The store of series: what is taken, what is refused and counted, what is forgotten."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.observe.series import SeriesStore
from controller.observe.series_counters import RateMeter
from controller.observe.series_kinds import KINDS, SENSITIVE
from controller.observe.series_ring import Labels, Ring
from controller.observe.series_signals import SIGNALS_MOST, SignalBook

from .series_doubles import EPOCH_S, Hands


@pytest.fixture
def clock():
    return Hands()


@pytest.fixture
def make(clock):
    def made(**more):
        return SeriesStore(clock, **{"slow_s": 5.0, "fast_s": 1.0, **more})

    return made


def test_samples_of_an_interval_are_averaged_and_gaps_stay_gaps(make, clock):
    store = make()
    for value, wait in ((1.0, 1.0), (3.0, 9.0), (8.0, 5.0)):
        assert store.put("link_load", "a>b", value) == ""
        clock.now += wait
    names, rows, number = store.history("link_load")
    assert names == ("a>b",)
    assert rows[:, 0] == pytest.approx([2.0, np.nan, 8.0], nan_ok=True)
    assert number == int(clock.now // 5) - 1


@pytest.mark.parametrize(
    ("kind", "name", "value", "reason"),
    [
        ("nonsense", "a", 1.0, "kind"),
        ("tenant", "a", 1.0, "permit"),
        ("link_load", "", 1.0, "name"),
        ("link_load", "x" * 201, 1.0, "name"),
        ("link_load", "a\nb", 1.0, "name"),
        ("link_load", "a", float("nan"), "value"),
        ("link_load", "a", float("inf"), "value"),
        ("link_load", "a", -1.0, "value"),
        ("link_load", "a", 1e19, "value"),
        ("link_loss", "a", 1.01, "value"),
        ("link_load", "a", "1", "value"),
        ("link_load", "a", None, "value"),
    ],
)
def test_what_is_wrong_is_refused_by_its_reason(make, kind, name, value, reason):
    store = make()
    assert store.put(kind, name, value) == reason
    assert store.counts == {reason: 1}
    assert store.history(kind) is None


@pytest.mark.parametrize(
    ("after_s", "reason"),
    [(-1e9, "late"), (-1e5, "late"), (1e9, "future"), (6.0, "future"), (float("nan"), "future"),
     (4.0, ""), (-30.0, "")],
)  # fmt: skip
def test_times_far_from_now_are_refused(make, clock, after_s, reason):
    store = make(rows=1000)
    store.put("link_load", "a", 1.0)
    assert store.put("link_load", "a", 2.0, clock.wall() + after_s) == reason


def test_the_same_sample_twice_counts_once(make, clock):
    store = make()
    at_s = clock.wall() - 5.0
    assert store.put("link_load", "a", 1.0, at_s) == ""
    assert store.put("link_load", "a", 99.0, at_s) == "duplicate"
    assert store.history("link_load")[1][0, 0] == 1.0


@pytest.mark.parametrize("jump_s", [-1e8, -3600.0, 3600.0, 1e8])
def test_a_wall_clock_that_jumps_moves_nothing(make, clock, jump_s):
    store = make()
    for at in range(10):
        clock.shift = jump_s if at >= 5 else 0.0
        assert store.put("link_load", "a", float(at), clock.wall()) == ""
        clock.now += 5.0
    assert list(store.history("link_load")[1][:, 0]) == list(range(10))


def test_there_is_room_for_so_many_series_and_the_rest_is_refused(make):
    store = make(most=10)
    reasons = [store.put("link_load", f"n{at}", 1.0) for at in range(12)]
    assert reasons == [""] * 10 + ["too_many"] * 2
    assert store.put("link_free", "n0", 1.0) == "", "each kind has its own room"
    assert store.forget("link_load", "n3") == 1
    assert store.put("link_load", "n11", 1.0) == ""


def test_series_appear_and_disappear_by_name(make, clock):
    store = make()
    store.put("link_load", "b", 1.0)
    clock.now += 5.0
    store.put("link_load", "a", 2.0)
    clock.now += 5.0
    names, rows, _ = store.history("link_load")
    assert names == ("a", "b")
    assert rows == pytest.approx(np.array([[np.nan, 1.0], [2.0, np.nan]]), nan_ok=True)
    clock.now += 6 * 3600.0
    store.put("link_load", "a", 3.0)
    clock.now += 5.0
    assert store.history("link_load")[0] == ("a",)
    assert store.names() == {"link_load": ("a",)}


def test_a_pause_longer_than_the_memory_leaves_nothing_behind(make, clock):
    store = make(rows=10)
    store.put("link_load", "a", 1.0)
    clock.now += 100.0
    assert store.history("link_load") is None
    store.put("link_load", "a", 2.0)
    clock.now += 5.0
    assert list(store.history("link_load")[1][:, 0]) == [2.0]


@pytest.mark.parametrize("kind", SENSITIVE)
def test_series_about_users_need_a_permit_and_are_forgotten_in_time(make, clock, kind):
    store = make(permit=(kind,), retention_s=60.0)
    for at in range(40):
        assert store.put(kind, "someone", float(at)) == ""
        clock.now += 5.0
    rows = store.history(kind)[1][:, 0]
    assert list(rows) == list(range(28, 40)), "nothing that began more than 60 s ago"
    clock.now += 61.0
    assert store.history(kind) is None
    assert store.names() == {}
    assert store.put(kind, "someone", 1.0, clock.wall() - 61.0) == "late"


def test_retention_leaves_no_value_in_memory(make, clock):
    store = make(permit=("tenant",), retention_s=60.0)
    store.put("tenant", "x", 123456.0)
    ring = store._rings["tenant"]
    clock.now += 70.0
    store.sweep()
    assert not (ring._values == 123456.0).any()
    assert not ring.labels
    assert not ring._heard


def test_what_is_deleted_is_gone(make, clock):
    store = make(permit=("tenant",))
    for name in ("x", "y"):
        store.put("tenant", name, 7.0)
    clock.now += 5.0
    assert store.forget("tenant", "x") == 1
    assert store.forget("tenant", "x") == 0
    assert store.names() == {"tenant": ("y",)}
    assert store.forget("tenant") == 1
    assert store.names() == {}
    assert store.forget("tenant") == 0


def test_what_is_measured_here_is_not_pushed(make):
    store = make()
    assert store.put("link_load", "a", 1.0, pushed=True) == "kind"
    assert store.put("requests", "a", 1.0, pushed=True) == ""


def test_labels_are_the_newest(make):
    store = make()
    store.put("link_load", "a>b", 1.0, labels=Labels("a", "b", 10.0))
    assert store.labels("link_load", "a>b") == Labels("a", "b", 10.0)
    assert store.labels("link_load", "none") == Labels()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c", "d"]),
            st.floats(-100.0, 100.0),
            st.one_of(st.floats(), st.integers(-5, 10**20)),
        ),
        max_size=60,
    )
)
def test_whatever_comes_histories_are_finite_or_gaps(samples):
    clock = Hands()
    store = SeriesStore(clock, slow_s=5.0, fast_s=1.0, most=3, rows=12)
    for name, wait, value in samples:
        clock.now += abs(wait)
        store.put("requests", name, value, clock.wall() + wait)
    found = store.history("requests")
    assert store.counts.total() == len(samples)
    if found is not None:
        names, rows, _ = found
        assert rows.shape[1] == len(names) <= 3
        assert len(rows) <= 12
        assert not np.isinf(rows).any()
        assert not (rows < 0.0).any()


def test_a_ring_goes_round():
    ring = Ring(1.0, 4, 2)
    for at in range(11):
        ring.put("a", at + 0.5, float(at), Labels())
    assert list(ring.history(10)[1][:, 0]) == [7.0, 8.0, 9.0, 10.0]
    assert list(ring.history(9)[1][:, 0]) == [7.0, 8.0, 9.0]
    assert ring.put("a", 5.0, 1.0, Labels()) == "late"


# counters


def test_a_counter_becomes_a_rate():
    meter = RateMeter()
    assert [meter.rate("k", t, c) for t, c in ((0.0, 5), (2.0, 25), (3.0, 25))] == [None, 10.0, 0.0]
    assert not meter.counts


@pytest.mark.parametrize(
    ("bits", "before", "after", "rate", "reason"),
    [
        (32, 2**32 - 10, 20, 30.0, "wrap"),
        (32, 2**31 + 10**9, 10, None, "reset"),
        (32, 1000, 10, None, "reset"),
        (64, 2**64 - 10, 20, None, "reset"),
        (64, 1000, 0, None, "reset"),
        (64, 1, 2**64, None, "value"),
        (64, 1, -1, None, "value"),
    ],
)
def test_wraps_and_resets_are_told_apart_and_counted(bits, before, after, rate, reason):
    meter = RateMeter()
    meter.rate("k", 0.0, before, bits)
    assert meter.rate("k", 1.0, after, bits) == rate
    assert meter.counts == {reason: 1}


@pytest.mark.parametrize("at_s", [1.0, 0.5, -1e9])
def test_a_counter_whose_time_does_not_grow_has_no_rate_and_goes_on(at_s):
    meter = RateMeter()
    meter.rate("k", 1.0, 10)
    assert meter.rate("k", at_s, 20) is None
    assert meter.counts == {"clock": 1}
    assert meter.rate("k", 11.0, 30) is not None


def test_counters_are_bounded_and_forgotten():
    meter = RateMeter(most=2)
    for key in "abc":
        meter.rate(key, 0.0, 1)
    assert meter.counts == {"too_many": 1}
    meter.forget({"a"})
    meter.rate("c", 0.0, 1)
    assert meter.rate("c", 1.0, 2) == 1.0


# signals


def test_a_signal_has_a_value_now_and_announced_ones():
    book, now = SignalBook(), EPOCH_S
    for after_s, value in ((-500.0, 1.0), (-200.0, 2.0), (-100.0, 4.0), (700.0, 9.0)):
        assert book.put("tickets", now + after_s, value, now) == ""
    signal = book.view(now, 300.0, (1, 3, 12))[0]
    assert (signal.name, signal.value, dict(signal.ahead)) == ("tickets", 3.0, {3: 9.0})
    held = book.view(now + 400.0, 300.0, (1,))[0]
    assert held.value == 4.0, "the last value holds"
    assert book.view(now + 80_000.0, 300.0, (1,))[0].value == 9.0
    assert np.isnan(book.view(now + 200_000.0, 300.0, (1,))[0].value)


def test_signals_are_bounded_and_bad_ones_counted():
    book = SignalBook()
    for value, after_s, reason in (
        (float("nan"), 0.0, "value"), (1e31, 0.0, "value"), (1.0, 1e9, "future"),
        (1.0, -1e9, "late"), (1.0, float("nan"), "future"), (-5.0, 0.0, ""),
    ):  # fmt: skip
        assert book.put("s", EPOCH_S + after_s, value, EPOCH_S) == reason
    for at in range(SIGNALS_MOST):
        book.put(f"n{at}", EPOCH_S, 1.0, EPOCH_S)
    assert book.counts["too_many"] == 1
    for at in range(5000):
        book.put("s", EPOCH_S + at, 1.0, EPOCH_S)
    assert len(book._samples["s"]) == 4096
    assert book.forget("s")
    assert not book.forget("s")


def test_every_kind_has_a_unit_and_users_kinds_are_marked():
    assert all(kind.unit for kind in KINDS.values())
    assert set(SENSITIVE) == {"tenant", "user_group", "client_prefix"}

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headers.files import FileError, Link, Node, Topology, save_matrices
from models import generate_matrices
from models.datasets import BACKBONE, generate_series, load_permitted, made_up_sets
from models.datasets.timers import timers
from models.neural.features import CHANNELS, FINE
from models.neural.recipe import INPUTS
from models.neural.samples import SeriesSet, WindowSampler, aggregate


def ring(count=5, lon=None):
    nodes = tuple(Node(f"n{i}", 40.0, lon[i] if lon else None) for i in range(count))
    pairs = [(i, (i + 1) % count) for i in range(count)]
    links = tuple(Link(f"n{a}", f"n{b}", 1000.0) for x, y in pairs for a, b in ((x, y), (y, x)))
    return Topology("ring", nodes, links)


@settings(max_examples=15, deadline=None)
@given(
    count=st.integers(2, 7),
    intervals=st.integers(1, 60),
    step_s=st.sampled_from([1, 5, 300, 3600]),
    seed=st.integers(0, 2**31),
)
def test_made_up_matrices_keep_the_formats_promises(count, intervals, step_s, seed):
    made = generate_matrices(ring(count), intervals, step_s, seed)
    assert made.synthetic
    assert "synthetic" in made.name
    assert made.nodes == ring(count).names
    assert made.tm_mbps.shape == (intervals, count, count)
    assert np.isfinite(made.tm_mbps).all()
    assert (made.tm_mbps >= 0.0).all()
    assert (made.tm_mbps[:, np.arange(count), np.arange(count)] == 0.0).all()
    if intervals > 1:
        assert made.step_s == step_s


def test_a_seed_repeats_the_traffic_and_another_changes_it():
    one, same, other = (generate_matrices(ring(), 20, 300, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.tm_mbps, same.tm_mbps)
    assert (one.tm_mbps != other.tm_mbps).any()


def test_made_up_matrices_survive_their_file(tmp_path):
    from headers.files import load_matrices

    made = generate_matrices(ring(), 10, 300, 1, start_s=1000)
    save_matrices(made, tmp_path / "made.npz")
    back = load_matrices(tmp_path / "made.npz")
    assert back.synthetic
    assert back.time_s[0] == 1000
    np.testing.assert_allclose(back.tm_mbps, made.tm_mbps, rtol=1e-6)


def test_the_mean_volume_is_the_one_asked_for():
    made = generate_matrices(ring(), 50, 300, 3, total_mbps=777.0)
    assert made.tm_mbps.sum(axis=(1, 2)).mean() == pytest.approx(777.0)
    default = generate_matrices(ring(), 50, 300, 3)
    assert default.tm_mbps.sum(axis=(1, 2)).mean() == pytest.approx(0.05 * 10 * 1000.0)
    lone = dataclasses.replace(ring(), links=())
    assert generate_matrices(lone, 5, 300, 3).tm_mbps.sum() > 0.0


def test_traffic_has_a_daily_cycle_with_its_peak_by_local_time():
    style = dataclasses.replace(BACKBONE, daily=1.0, bursts_per_day=0.0, shifts_per_day=0.0)
    means = []
    for lon in (0.0, 180.0):
        made = generate_matrices(ring(5, [lon] * 5), 288 * 4, 300, 4, style=style)
        flow = made.tm_mbps.sum(axis=(1, 2)).reshape(4, 288).mean(axis=0)
        assert flow.max() > 2.0 * flow.min()
        means.append(flow)
    early, late = (int(np.argmax(np.convolve(flow, np.ones(24), "same"))) for flow in means)
    assert 100 < abs(early - late) < 188


def test_traffic_is_quieter_at_the_weekend():
    style = dataclasses.replace(BACKBONE, weekend=0.8, shifts_per_day=0.0, drift=0.0)
    made = generate_matrices(ring(), 24 * 28, 3600, 5, style=style)
    days = made.tm_mbps.sum(axis=(1, 2)).reshape(28, 24).mean(axis=1)
    weekday = np.arange(28) % 7
    weekend = (weekday == 2) | (weekday == 3)  # 1970-01-01 was a Thursday
    assert days[weekend].mean() < 0.75 * days[~weekend].mean()


def test_bursts_and_flash_crowds_show():
    calm = dataclasses.replace(
        BACKBONE, daily=0, weekend=0, drift=0, fluctuation=0, noise=0,
        bursts_per_day=0, flashes_per_day=0, shifts_per_day=0,
    )  # fmt: skip
    still = generate_matrices(ring(), 100, 300, 6, style=calm).tm_mbps
    np.testing.assert_allclose(still, np.broadcast_to(still[0], still.shape))
    burst = dataclasses.replace(calm, bursts_per_day=5.0)
    flash = dataclasses.replace(calm, flashes_per_day=5.0)
    shift = dataclasses.replace(calm, shifts_per_day=5.0)
    for style in (burst, flash, shift):
        flows = generate_matrices(ring(), 100, 300, 6, style=style).tm_mbps.reshape(100, -1)
        assert flows.max() > 1.3 * np.median(flows[:, flows.max(axis=0) > 0], axis=0).min()
        assert (np.abs(np.diff(flows, axis=0)) > 0).any()


@pytest.mark.parametrize(("intervals", "step_s", "count"), [(0, 300, 5), (5, 0.5, 5), (5, 300, 1)])
def test_impossible_requests_are_refused(intervals, step_s, count):
    topology = Topology("few", ring().nodes[:count], ())
    with pytest.raises(ValueError, match="at least one interval"):
        generate_matrices(topology, intervals, step_s, 1)


def test_series_differ_in_style_and_repeat_by_seed():
    one, same = generate_series(6, 50, 300.0, 1), generate_series(6, 50, 300.0, 1)
    np.testing.assert_array_equal(one, same)
    assert one.shape == (50, 6)
    assert (one > 0.0).all()


def test_aggregation_means_whole_bins():
    values = np.arange(14.0).reshape(7, 2)
    np.testing.assert_array_equal(aggregate(values, 3), [[2, 3], [8, 9]])


def series_set(values, name="one", share=1.0, step_s=300.0):
    return SeriesSet(name, values, step_s, share, "made here")


def test_blocks_hold_scaled_windows_and_what_came_after_them():
    ramp = np.arange(1.0, 900.0)[:, None] * np.ones((1, 3))
    block = WindowSampler((series_set(ramp),), seed=1).block(200, 5)
    fine, basis = block.inputs[INPUTS.index("fine")], block.inputs[INPUTS.index("basis")]
    assert fine.shape[1:] == (FINE, CHANNELS)
    assert basis.shape[:2] == block.targets.shape == (len(fine), 5)
    # on a ramp what comes lies above the last value, which heads the basis, and the first is next
    assert (block.targets > basis[:, :, 0]).all()
    np.testing.assert_allclose(block.targets[:, 0], basis[:, 0, 0], rtol=0.1)


def test_a_seed_repeats_the_draw():
    noise = np.random.default_rng(1).random((600, 4))
    one, two = (next(WindowSampler((series_set(noise),), 5).batches(50, 3, 1)) for _ in range(2))
    np.testing.assert_array_equal(one.targets, two.targets)
    for mine, its in zip(one.inputs, two.inputs, strict=True):
        np.testing.assert_array_equal(mine, its)


def test_as_many_batches_as_asked_for_of_the_size_asked_for():
    noise = np.random.default_rng(1).random((600, 4))
    sampler = WindowSampler((series_set(noise),), 5)
    assert [len(batch.targets) for batch in sampler.batches(700, 2, 3)] == [700] * 3


def test_shares_say_how_much_comes_from_each_set():
    sets = (
        series_set(np.full((600, 2), 3.0), "much", 9.0),
        series_set(np.random.default_rng(1).random((600, 2)), "little", 1.0),
        series_set(np.ones((20, 2)), "too short", 50.0),
    )
    sampler = WindowSampler(sets, 5)
    flat = [float(np.ptp(sampler.block(20, 1).targets)) < 1e-6 for _ in range(300)]
    assert np.mean(flat) == pytest.approx(0.9, abs=0.05)


def test_silent_windows_are_left_out():
    values = np.zeros((600, 1))
    values[500:] = 1.0
    sampler = WindowSampler((series_set(values),), 5)
    blocks = [sampler.block(500, 1) for _ in range(5)]
    assert sum(len(block.targets) for block in blocks) < 2500
    assert all(np.isfinite(part).all() for block in blocks for part in block.inputs)


def test_sets_that_are_all_too_short_are_refused():
    with pytest.raises(ValueError, match="longer than"):
        WindowSampler((series_set(np.ones((20, 2))),), 1)


def test_machine_traffic_returns_after_its_period():
    rng = np.random.default_rng(4)
    pulses = timers(rng, 2000, 40, 300.0, 1.0)
    assert pulses.shape == (2000, 40)
    assert (pulses >= 0.0).all()
    moving = pulses[:, pulses.max(axis=0) > 0.0]
    assert 10 <= moving.shape[1] < 40
    period = [self_similar(column) for column in moving.T]
    assert np.mean([12 in found or 288 in found for found in period]) > 0.1


def self_similar(column):
    """Return the lags up to a day at which a series is most like itself."""
    x = column - column.mean()
    power = np.fft.irfft(np.abs(np.fft.rfft(x, 4096)) ** 2)[2:300]
    return set(np.argsort(-power)[:5] + 2)


def test_permitted_sets_are_split_by_time(write_sets, tmp_path):
    write_sets(tmp_path)
    split = load_permitted(tmp_path)
    training = {(s.name, s.step_s): s for s in split.training}
    assert len(training["geant", 900.0].values) == 400
    assert len(training["facebook_pod_b", 1.0].values) == 300
    assert {step for name, step in training if name == "worldcup98"} == {60.0, 300.0, 900.0}
    assert {s.licence for s in split.training} == {"MIT"}
    for held in split.validation:
        trained = max((s for s in split.training if s.name == held.name), key=lambda s: s.step_s)
        assert held.start > 0
        assert held.start < len(held.values)
        if held.name != "worldcup98":
            overlap = np.isin(held.values[held.start :, 0], trained.values[:, 0])
            assert not overlap.any()


def test_missing_samples_repeat_the_last_one(write_sets, tmp_path):
    write_sets(tmp_path)
    one = next(s for s in load_permitted(tmp_path).training if s.step_s == 60.0)
    assert one.values[3:9, 0].tolist() == [8.0, 9.0, 9.0, 9.0, 10.0, 11.0]


@pytest.mark.parametrize(
    ("content", "complaint"), [(None, "No such file"), ({"x": [1]}, "not a rate file")]
)
def test_a_bad_rate_file_is_named(write_sets, tmp_path, content, complaint):
    write_sets(tmp_path)
    path = tmp_path / "worldcup98_1min.npz"
    path.unlink()
    if content:
        np.savez(path, **content)
    with pytest.raises(FileError, match=complaint):
        load_permitted(tmp_path)


@pytest.mark.slow
def test_made_up_sets_hold_some_groups_back():
    split = made_up_sets(1, groups=12)
    assert len(split.training) == 10
    assert len(split.validation) == 2
    assert {s.name for s in split.training} == {"synthetic"}
    assert len({s.step_s for s in made_up_sets(1, groups=36).validation}) > 2

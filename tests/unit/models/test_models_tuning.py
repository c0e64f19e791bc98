import dataclasses

import numpy as np
import pytest

from models import ModelError, TrainingError, load_shipped_model
from models.neural.features import AHEAD, BASIS, features
from models.neural.head import PRIOR, TRAINED, Shown, loss_of, quantiles_of, slopes_of
from models.neural.onnxfile import find_weights, read_weights, write_weights
from models.neural.recipe import EXTRA
from models.neural.tuning import Settings, head_of, held_back, refusal, tune
from models.quantiles import QUANTILES

SMALL = Settings(windows=2500, judged=600, batch=128, every=20)


def quiet(_text):
    pass


@pytest.fixture(scope="module")
def network():
    return load_shipped_model()


@pytest.fixture
def made_up():
    """Windows of a small head in float64, every branch of the loss with some of them."""
    rng = np.random.default_rng(3)
    count, ahead, hidden = 11, 3, 6
    weights = {
        "clock.weight": rng.normal(0, 0.5, (AHEAD, hidden)),
        "clock.bias": rng.normal(0, 0.3, hidden),
        "inner.weight": rng.normal(0, 0.5, (hidden, hidden)),
        "inner.bias": rng.normal(0, 0.3, hidden),
        "outer.weight": rng.normal(0, 0.5, (hidden, BASIS + EXTRA + len(QUANTILES))),
        "outer.bias": rng.normal(0, 0.3, BASIS + EXTRA + len(QUANTILES)),
        PRIOR: rng.normal(0, 1, BASIS),
    }
    truth = rng.random((count, ahead)) * 3
    truth[2, 1] = np.nan
    shown = Shown(
        rng.normal(0, 1, (count, hidden)),
        rng.normal(0, 1, (count, ahead, AHEAD)),
        rng.random((count, ahead, BASIS)),
        rng.normal(0, 0.3, (count, ahead, EXTRA)),
        rng.random((count, 1)) + 0.1,
        truth,
        rng.random((count, ahead)),
    )
    return weights, shown


def traffic(days, series, *, seed=5, step_s=300.0):
    """A daily course with noise, and in the second half a strong period of its own."""
    rng = np.random.default_rng(seed)
    at = np.arange(int(days * 86_400 / step_s))
    level = np.exp(rng.normal(2, 1, series))
    day = 1.0 + 0.5 * np.sin(2 * np.pi * (at[:, None] * step_s / 86_400 + rng.random(series)))
    return level * day * np.exp(0.1 * rng.standard_normal((len(at), series)))


def test_the_slopes_are_those_of_finite_differences(made_up):
    weights, shown = made_up
    _, slopes = slopes_of(weights, shown)
    rng = np.random.default_rng(0)
    assert set(slopes) == set(TRAINED)
    for name in TRAINED:
        for place in rng.integers(0, weights[name].size, 12):
            at = np.unravel_index(place, weights[name].shape)
            sides = []
            for step in (-1e-6, 1e-6):
                moved = {key: value.copy() for key, value in weights.items()}
                moved[name][at] += step
                sides.append(loss_of(moved, shown))
            assert slopes[name][at] == pytest.approx((sides[1] - sides[0]) / 2e-6, abs=1e-7)


def test_the_head_says_what_the_file_says(network):
    values = traffic(8, 20)
    shown = features(values, (1, 3, 12, 40), 300.0)
    said, seen = network.look(shown)
    nothing = np.zeros(said.shape[:2])
    mine = quantiles_of(
        head_of(network),
        Shown(seen, shown.ahead, shown.basis, shown.extra, shown.unrest, nothing, nothing),
    )
    assert np.abs(mine - said).max() < 1e-5


def test_weights_are_replaced_in_place_and_nothing_else_changes(network):
    before = read_weights(network.content, TRAINED)
    other = {"inner.weight": before["inner.weight"] + 1.0, "outer.bias": before["outer.bias"] * 2}
    content = write_weights(network.content, other)
    after = read_weights(content, TRAINED)
    for name in TRAINED:
        np.testing.assert_array_equal(after[name], other.get(name, before[name]))
    places = find_weights(content)
    mine = np.zeros(len(content), bool)
    for name in other:
        mine[places[name].at : places[name].at + places[name].size] = True
    old, new = (np.frombuffer(one, np.uint8) for one in (network.content, content))
    np.testing.assert_array_equal(old[~mine], new[~mine])


def test_weights_that_do_not_fit_are_refused(network):
    with pytest.raises(ValueError, match="shape"):
        write_weights(network.content, {"inner.bias": np.zeros(3, np.float32)})
    with pytest.raises(ValueError, match="no float weights named 'nobody'"):
        read_weights(network.content, ("nobody",))
    with pytest.raises(ValueError, match="ends in the middle"):
        find_weights(network.content[:5000])


def test_a_file_without_a_head_cannot_be_tuned(network):
    content = network.content.replace(b"clock.weight", b"other.weight")
    odd = type(network)(None, network.card, content)
    with pytest.raises(ModelError, match="cannot be tuned"):
        tune(odd, traffic(4, 2), 300.0, say=quiet)


@pytest.mark.parametrize(
    ("count", "step_s", "word"),
    [(499, 3600.0, "at least 500"), (800, 300.0, "3 days"), (864, 300.0, "")],
)
def test_a_short_history_is_refused_with_the_reason(count, step_s, word):
    assert word in refusal(np.ones((count, 2)), step_s)
    assert bool(refusal(np.ones((count, 2)), step_s)) == bool(word)


def test_a_history_of_gaps_or_of_nothing_is_refused(network):
    values = np.ones((1000, 3))
    values[::3] = np.nan
    values[1::3] = -1.0
    assert "are there" in refusal(values, 300.0)
    assert "no traffic" in refusal(np.zeros((1000, 3)), 300.0)
    assert refusal(np.zeros((1000, 0)), 300.0)
    with pytest.raises(TrainingError, match="no traffic"):
        tune(network, np.zeros((1000, 3)), 300.0, say=quiet)


def test_held_back_intervals_are_whole_blocks_all_over_the_past():
    chosen = Settings(block_s=3600.0, one_in=5)
    held = held_back(1200, 300.0, chosen, np.random.default_rng(1))
    assert 0.1 < held.mean() < 0.3
    assert all(block.all() or not block.any() for block in held.reshape(-1, 12))
    assert held[:300].any()
    assert held[-300:].any()


@pytest.mark.slow
def test_a_seed_repeats_the_result_and_the_card_tells_where_it_comes_from(network):
    past = traffic(4, 6).astype(np.float32)
    past[100:130, 2] = np.nan
    kept = past.copy()
    one, two, other = (
        tune(network, past, 300.0, seed=seed, steps=60, settings=SMALL, say=quiet)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(past, kept)
    assert one.content == two.content
    assert one.content != other.content
    assert one.name == one.card.name == "tuned"
    assert one.card.recipe["parent"] == network.card.sha256
    assert one.card.recipe["seed"] == 1
    assert one.card.data[-1]["series"] == 6
    assert one.card.sha256 != network.card.sha256


@pytest.mark.slow
def test_where_nothing_helps_the_parent_is_kept(network):
    past = traffic(4, 6)
    wild = dataclasses.replace(SMALL, rate=5.0)
    tuned = tune(network, past, 300.0, steps=40, settings=wild, say=quiet)
    assert tuned.content == network.content

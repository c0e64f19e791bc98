import dataclasses
import json
import time

import numpy as np
import pytest

from models import MEDIAN, Ewma, ModelError, load_model, load_shipped_model
from models.neural.cards import card_path, read_card, sha256_of, write_card
from models.neural.features import LOOK, RECENT
from models.neural.forecaster import CHUNK, SHIPPED
from models.neural.onnxfile import opset_of


@pytest.fixture
def copy(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(SHIPPED.read_bytes())
    card_path(path).write_bytes(card_path(SHIPPED).read_bytes())
    return path


def rewrite(path, content=None, **changes):
    """Change the file, and the card so that its hash fits again."""
    if content is not None:
        path.write_bytes(content)
    changes.setdefault("sha256", sha256_of(path.read_bytes()))
    write_card(dataclasses.replace(read_card(path), **changes), path)


def refused(path):
    with pytest.raises(ModelError) as caught:
        load_model(path)
    message = str(caught.value)
    assert path.stem in message
    assert "\n" not in message
    return message


def test_the_shipped_model_is_small_and_its_card_is_true():
    model = load_shipped_model()
    content = SHIPPED.read_bytes()
    assert model.card.size_bytes == len(content) < 1_000_000
    assert model.card.sha256 == sha256_of(content)
    assert opset_of(content) == model.card.opset == 17
    assert {one["licence"] for one in model.card.data} == {"MIT", "made here"}
    names = {one["name"] for one in model.card.data}
    assert names == {"geant", "facebook_pod_b", "worldcup98", "synthetic"}
    for name, by_horizon in model.card.skill.items():
        if name.startswith(("geant", "synthetic")):  # the World Cup's end is the average's
            assert by_horizon["4"]["nmae_over_ewma"] < 1.0, name
    assert model.model.startswith("pooled@")


def test_the_shipped_model_beats_the_average_on_traffic_it_has_not_seen():
    rng = np.random.default_rng(77)
    time_steps = np.arange(620)
    level = np.exp(rng.normal(2, 1, 60))
    slow = np.cos(2 * np.pi * (time_steps[:, None] / 288 + rng.random(60)))
    flows = level * np.exp(0.6 * slow + 0.12 * rng.standard_normal((620, 60)))
    model, average = load_shipped_model(), Ewma()
    wrong = np.zeros(2)
    for origin in range(320, 600, 4):
        window, truth = flows[origin - 303 : origin + 1].T, flows[origin + 6]
        for at, one in enumerate((model, average)):
            wrong[at] += np.abs(one.forecast(window, (6,))[:, 0, MEDIAN] - truth).sum()
    assert wrong[0] < 0.97 * wrong[1]


@pytest.mark.slow
def test_series_do_not_disturb_each_other_and_chunks_do_not_show():
    rng = np.random.default_rng(4)
    window = rng.random((CHUNK + 3, 64))
    model = load_shipped_model()
    together = model.forecast(window, (1, 4))
    alone = model.forecast(window[-2:], (1, 4))
    np.testing.assert_allclose(together[-2:], alone, rtol=1e-4)


def test_a_longer_window_and_a_short_one_are_fitted():
    rng = np.random.default_rng(6)
    at = np.arange(LOOK + 100)
    long = 2.0 + rng.random((3, LOOK + 100)) + np.sin(2 * np.pi * at / np.array([[7], [31], [90]]))
    model = load_shipped_model()
    np.testing.assert_allclose(
        model.forecast(long, (1,)), model.forecast(long[:, 100:], (1,)), rtol=1e-3
    )
    short = long[:, -5:]
    filled = np.concatenate([np.repeat(short[:, :1], RECENT - 5, axis=1), short], axis=1)
    np.testing.assert_allclose(model.forecast(short, (2,)), model.forecast(filled, (2,)), rtol=1e-3)


def test_pulses_that_return_are_foreseen():
    """An hourly pulse, and one of a period that no clock knows."""
    rng = np.random.default_rng(9)
    at = np.arange(700)
    rows = np.full((700, 2), 10.0) + 0.3 * rng.standard_normal((700, 2))
    for column, period in enumerate((12, 31)):
        rows[at % period == 5, column] += 40.0
    model = load_shipped_model()
    for column, period in enumerate((12, 31)):
        origin = next(t for t in range(640, 0, -1) if (t + 1) % period == 5)
        fan = model.forecast(rows[: origin + 1].T, (1, 2))
        assert fan[column, 0, MEDIAN] > 25.0, period
        assert fan[column, 1, MEDIAN] < 20.0, period


def test_the_spread_grows_with_the_horizon():
    rng = np.random.default_rng(8)
    window = np.exp(0.05 * rng.standard_normal((50, 64)).cumsum(axis=1))
    fan = load_shipped_model().forecast(window, (1, 12, 48))
    widths = (fan[:, :, -1] - fan[:, :, 0]).mean(axis=0)
    assert widths[0] < widths[1] < widths[2]


def test_a_horizon_beyond_its_training_is_refused():
    with pytest.raises(ModelError, match="48 steps ahead at most, not 49"):
        load_shipped_model().forecast(np.ones((1, 64)), (1, 49))


def test_one_thread_forecasts_144_series_within_a_tick():
    model = load_shipped_model()
    window = np.random.default_rng(1).random((144, 64))
    took = []
    for _ in range(5):
        start = time.process_time()
        model.forecast(window, (1, 3, 12))
        took.append(time.process_time() - start)
    assert min(took) < 0.040


def test_a_missing_file_is_named(tmp_path):
    message = refused(tmp_path / "gone.onnx")
    assert "No such file" in message
    assert "foresteer train" in message


def test_a_missing_card_is_named(copy):
    card_path(copy).unlink()
    assert "used only with its card" in refused(copy)


def test_a_damaged_file_is_refused(copy):
    content = bytearray(copy.read_bytes())
    content[len(content) // 2] ^= 1
    copy.write_bytes(content)
    assert "hash" in refused(copy)


@pytest.mark.parametrize("content", [b"", b"no model at all", bytes(range(256)) * 4, b"\x42\xff"])
def test_a_file_that_is_no_model_is_refused(copy, content):
    rewrite(copy, content)
    assert "not an ONNX file" in refused(copy)


def test_a_truncated_model_is_refused_even_with_a_fitting_hash(copy):
    rewrite(copy, copy.read_bytes()[:-40])
    refused(copy)


def test_a_model_of_another_operator_set_is_refused(copy):
    content = copy.read_bytes()
    # field 8 (operator sets), two bytes long: field 2 (version) is 17
    assert content.endswith(b"\x42\x02\x10\x11")
    rewrite(copy, content[:-1] + b"\x0b")
    assert "operator set 11" in refused(copy)


def test_a_file_with_an_opset_but_no_graph_is_refused_by_the_runtime(copy):
    rewrite(copy, b"\x42\x04\x0a\x00\x10\x11")
    assert "onnxruntime refuses it" in refused(copy)


def test_a_foreign_model_is_refused(copy):
    content = copy.read_bytes()
    assert content.count(b"quantiles") >= 2
    rewrite(copy, content.replace(b"quantiles", b"qantilles"))
    message = refused(copy)
    assert "foreign" in message
    assert "qantilles" in message


def test_a_model_of_other_features_is_refused(copy):
    rewrite(copy, features=96)
    assert "foreign" in refused(copy)


def test_a_model_of_other_quantiles_is_refused(copy):
    rewrite(copy, levels=[0.1, 0.5, 0.9])
    assert "quantiles" in refused(copy)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda card: "{", "not JSON"),
        (lambda card: "[]", "is missing"),
        (lambda card: json.dumps({k: v for k, v in card.items() if k != "levels"}), "'levels'"),
        (lambda card: json.dumps({**card, "colour": "red"}), "'colour' is unknown"),
        (lambda card: json.dumps({**card, "version": 99}), "version 99"),
    ],
)
def test_a_bad_card_is_refused(copy, change, complaint):
    card = json.loads(card_path(copy).read_text())
    card_path(copy).write_text(change(card))
    assert complaint in refused(copy)


def test_a_runtime_that_fails_is_one_clear_error():
    class Failing:
        def run(self, *_):
            raise RuntimeError("out of\nmemory")

    model = load_shipped_model()
    broken = type(model)(Failing(), model.card)
    with pytest.raises(ModelError, match="failed: out of memory"):
        broken.forecast(np.ones((1, 64)), (1,))

import json
import re
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from headers.files import Link, Node, Topology, save_matrices
from models import ModelError, TrainingError, generate_matrices, load_model
from models.backtest.commands import backtest
from models.commands import train
from models.datasets.own import read_own
from models.neural.cards import card_path
from models.neural.forecaster import SHIPPED
from models.neural.recipe import Recipe
from models.neural.release import make_model, training_recipe


@pytest.fixture
def matrices(tmp_path):
    nodes = tuple(Node(name) for name in "abcd")
    links = tuple(Link(x.name, y.name, 100.0) for x in nodes for y in nodes if x != y)
    made = generate_matrices(Topology("four", nodes, links), 150, 300, 1)
    path = tmp_path / "made.npz"
    save_matrices(made, path)
    return path


def forecast(*arguments):
    return CliRunner().invoke(backtest, ["forecast", *map(str, arguments)])


def test_the_back_test_prints_a_table_and_writes_a_report(matrices, tmp_path):
    out = tmp_path / "out.json"
    done = forecast(
        "--tm", matrices, "--horizons", "1,12", "--from", 100, "--to", 110, "--json", out
    )
    assert done.exit_code == 0, done.output
    assert "synthetic" in done.output
    report = json.loads(out.read_text())
    assert report["data"] == {"name": "made", "synthetic": True}
    assert (report["from"], report["to"]) == (100, 110)
    assert set(report["horizons"]) == {"1", "12"}
    for name in ("foresteer", "pooled", "ewma", "last", "seasonal"):
        measures = report["horizons"]["1"][name]
        assert 0.0 < measures["nmae"] < 1.0
        assert f"{measures['nmae']:6.4f}" in done.output


@pytest.mark.slow
def test_the_range_defaults_to_the_later_part(matrices):
    done = forecast("--tm", matrices, "--horizons", "1")
    assert "intervals 75 to 150" in done.output


@pytest.mark.parametrize("horizons", ["0", "1,x", "", "3,3"])
def test_bad_horizons_are_refused(matrices, horizons):
    done = forecast("--tm", matrices, "--horizons", horizons)
    assert done.exit_code == 2
    assert "--horizons" in done.output


def test_bad_files_and_ranges_end_in_one_line(matrices, tmp_path):
    for arguments, complaint in (
        (("--tm", tmp_path / "gone.npz"), "No such file"),
        (("--tm", matrices, "--from", 100, "--to", 900), "cannot back-test"),
        (("--tm", matrices, "--model", tmp_path / "gone.onnx"), "no model to forecast with"),
    ):
        done = forecast(*arguments)
        assert done.exit_code == 1
        assert complaint in done.output
        assert "Traceback" not in done.output
        assert len(done.output.strip().splitlines()) == 1


def test_training_without_torch_says_what_is_missing(monkeypatch, tmp_path):
    for name in ("models.neural.training", "models.neural.network"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    done = CliRunner().invoke(train, ["--data", str(tmp_path), "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert "torch is not installed" in done.output
    assert "foresteer[train]" in done.output
    assert not (tmp_path / "out").exists()


def test_training_without_its_data_names_the_file(tmp_path):
    with pytest.raises(ValueError, match="geant_15min"):
        make_model(tmp_path, tmp_path / "out", Recipe(groups=6), trainer=shipped)


def shipped(sets, recipe, say):
    """A trainer that is done at once: its network is the shipped one."""
    assert sets
    say("trained")
    return SHIPPED.read_bytes()


@pytest.mark.slow
def test_a_model_is_written_with_a_card_that_tells_all(write_sets, tmp_path):
    write_sets(tmp_path)
    said = []
    out = tmp_path / "new" / "model"
    recipe = training_recipe(seed=3, steps=7)
    small = Recipe(**{**vars_of(recipe), "groups": 6})
    card = make_model(tmp_path, out, small, said.append, trainer=shipped)
    model = load_model(out / "pooled.onnx")
    assert model.card == card
    assert "trained" in said
    assert card.recipe["seed"] == 3
    assert card.recipe["steps"] == 7
    assert card.reproduce.endswith("--seed 3 --steps 7")
    assert set(card.skill) == {
        "geant-0", "facebook_pod_b-1", "worldcup98-2", "synthetic-3", "mean_nmae_over_ewma",
    }  # fmt: skip
    assert card.skill["geant-0"]["1"]["nmae"] > 0.0
    assert sorted(path.name for path in out.iterdir()) == ["pooled.json", "pooled.onnx"]


def vars_of(recipe):
    return {name: getattr(recipe, name) for name in Recipe.__slots__}


def test_a_folder_that_cannot_be_written_is_named(write_sets, tmp_path):
    write_sets(tmp_path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrainingError, match="pooled"):
        make_model(tmp_path, tmp_path / "file", Recipe(groups=6), print, trainer=shipped)


def test_a_trainer_that_returns_rubbish_is_not_believed(write_sets, tmp_path):
    write_sets(tmp_path)
    with pytest.raises(ModelError, match="not an ONNX file"):
        make_model(tmp_path, tmp_path, Recipe(groups=6), print, trainer=lambda *_: b"rubbish")


def test_no_path_of_a_machine_is_shipped():
    text = card_path(SHIPPED).read_text()
    assert re.search(r"/(home|root|tmp|work|Users)\b", text) is None
    assert np.all([b"/root" not in SHIPPED.read_bytes(), b"/work" not in SHIPPED.read_bytes()])


def test_a_history_of_ones_own_is_read_from_a_matrix_file_and_gaps_repeat(matrices):
    own = read_own(matrices)
    assert own.values.shape == (150, 12)
    assert own.step_s == 300.0
    assert own.name == "own, synthetic"
    assert np.isfinite(own.values).all()
    assert own.share > 0.0


@pytest.mark.slow
def test_training_takes_ones_own_history_as_well(write_sets, matrices, tmp_path):
    write_sets(tmp_path)
    seen = []

    def trainer(sets, recipe, say):
        seen.extend(one.name for one in sets)
        return SHIPPED.read_bytes()

    recipe = Recipe(**{**vars_of(training_recipe(steps=3)), "groups": 6})
    out = tmp_path / "own"
    card = make_model(tmp_path, out, recipe, print, trainer, own=(read_own(matrices),))
    assert "own, synthetic" in seen
    assert {"own, synthetic"} <= {one["name"] for one in card.data if one["synthetic"]}


@pytest.mark.slow
def test_a_picture_is_drawn_and_what_cannot_be_drawn_is_said(matrices, tmp_path):
    out = tmp_path / "fan.png"
    given = ("--tm", matrices, "--horizons", "1,3", "--from", 100, "--to", 130)
    assert forecast(*given, "--plot", out).exit_code == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    assert out.stat().st_size > 20_000
    done = forecast(*given, "--plot", tmp_path / "no" / "folder.png")
    assert done.exit_code == 1
    assert "No such file" in done.output


@pytest.mark.slow
def test_peers_are_measured_beside_and_unknown_ones_refused(matrices):
    given = ("--tm", matrices, "--horizons", "1", "--from", 140, "--to", 144)
    done = forecast(*given, "--beside", "ar,seasonal")
    assert done.exit_code == 0, done.output
    assert " ar " in done.output
    assert " seasonal " in done.output
    assert "'magic' is not one of" in forecast(*given, "--beside", "magic").output


def test_one_file_is_named_and_bins_fit_its_step(matrices, tmp_path):
    assert "name one file" in forecast("--horizons", "1").output
    path = tmp_path / "rate.npz"
    np.savez(path, value=np.random.default_rng(1).poisson(5, 900).astype(float), step_s=1)
    done = forecast("--series", path, "--bin-s", 5, "--horizons", "1,2", "--from", 120)
    assert done.exit_code == 0, done.output
    assert "1 series, intervals 120 to 180" in done.output
    assert "no multiple" in forecast("--series", path, "--bin-s", 2.5).output
    assert "--bin-s is for --series" in forecast("--tm", matrices, "--bin-s", 600).output

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from headers.files import FileError, TrafficMatrices, save_matrices
from headers.files.history import History, load_history, save_history
from models import load_shipped_model
from models.neural.cards import sha256_of
from models.neural.forecaster import open_model
from models.neural.onnxfile import read_weights, write_weights
from models.neural.tuning import Settings
from models.registry import SHIPPED, Order, Registry, RegistryError, Verdict, Version, retrain
from models.registry.commands import model, read_history

GOOD = Verdict(SHIPPED, 0.02, 0.01, 20, {"1": 0.02}, True, "better: 2 % less loss")
KEY = ("demand", "all")


@pytest.fixture
def folder(tmp_path):
    """A registry with one version, judged better and not promoted."""
    shipped = load_shipped_model()
    bias = read_weights(shipped.content, ("outer.bias",))["outer.bias"] + 0.001
    content = write_weights(shipped.content, {"outer.bias": bias})
    card = dataclasses.replace(shipped.card, name="tuned", sha256=sha256_of(content))
    version = Version("", "", SHIPPED, "", *KEY, 2000, 4, 300.0, 0.0, 1, 1.7e9, GOOD)
    added = Registry(tmp_path / "r").add(open_model(Path("v.onnx"), content, card), version)
    return tmp_path / "r", added.name


def call(folder, *arguments):
    return CliRunner().invoke(model, [arguments[0], "--registry", str(folder), *arguments[1:]])


def test_versions_are_listed_shown_promoted_and_rolled_back(folder):
    path, name = folder
    listed = call(path, "list")
    assert f"  {name}  2023-11-14 22:13  demand/all  +2.00 %" in listed.output
    assert "the shipped model is in use" in listed.output
    assert f"{name} is champion" in call(path, "promote", name).output
    assert f"* {name}" in call(path, "list").output
    told = json.loads(call(path, "show", name).output)
    assert told["lineage"] == [name, "shipped"]
    assert [event["event"] for event in told["events"]] == ["promoted"]
    assert told["verdict"]["gain"] == 0.02
    assert told["problem"] == ""
    assert "the shipped model is champion" in call(path, "rollback").output
    refused = call(path, "rollback")
    assert refused.exit_code == 1
    assert "nothing to go back to" in refused.output


def test_a_damaged_file_shows_and_a_wrong_name_is_an_error(folder):
    path, name = folder
    Registry(path).model(name).write_bytes(b"")
    assert "hash" in json.loads(call(path, "show", name).output)["problem"]
    assert call(path, "promote", name).exit_code == 1
    assert "no version 'x'" in call(path, "show", "x").output
    assert "no version 'x'" in call(path, "promote", "x").output


def test_an_empty_registry_lists_nothing(tmp_path):
    assert "the shipped model is in use" in call(tmp_path / "none", "list").output


def history(days=4, series=3):
    rng = np.random.default_rng(1)
    values = np.exp(0.2 * rng.standard_normal((days * 288, series))).astype(np.float32)
    return History(tuple(f"a>{n}" for n in range(series)), values, 300.0, 600.0)


def test_a_history_file_keeps_gaps_names_and_times(tmp_path):
    kept = history()
    kept.values[3, 1] = np.nan
    save_history(kept, tmp_path / "h.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["h.npz"]
    found = load_history(tmp_path / "h.npz")
    np.testing.assert_array_equal(found.values, kept.values)
    assert (found.names, found.step_s, found.start_s) == (kept.names, 300.0, 600.0)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"values": np.ones(3)}, "shape"),
        ({"names": np.array(["a"])}, "names"),
        ({"step_s": 0.0}, "length of time"),
        ({"version": 9}, "version 9"),
        ({"step_s": np.array(["x"])}, "not a NumPy archive"),
    ],
)
def test_history_files_that_break_the_format_are_refused(tmp_path, change, word):
    good = {"values": np.ones((4, 2)), "step_s": 300.0, "start_s": 0.0, "version": 1}
    np.savez(tmp_path / "h.npz", **{**good, "names": np.array(["a", "b"]), **change})
    with pytest.raises(FileError, match=word):
        load_history(tmp_path / "h.npz")


def test_a_matrix_file_is_a_history_too_and_damage_is_said(tmp_path):
    tm = np.random.default_rng(1).random((5, 3, 3)) + 0.1
    time_s = np.array([0, 300, 600, 1200, 1500])
    save_matrices(TrafficMatrices("m", ("a", "b", "c"), time_s, tm), tmp_path / "m.npz")
    found = read_history(tmp_path / "m.npz")
    assert found.values.shape == (6, 6)
    assert np.isnan(found.values[3]).all()
    (tmp_path / "torn.npz").write_bytes((tmp_path / "m.npz").read_bytes()[:200])
    for name in ("torn.npz", "none.npz"):
        with pytest.raises(FileError, match=name):
            read_history(tmp_path / name)


def test_a_short_history_is_refused_before_anything_is_written(tmp_path):
    registry = Registry(tmp_path / "r")
    outcome = retrain(history(3), registry, Order(), now_s=1.0, say=str)
    assert not outcome.promoted
    assert "not enough history" in outcome.why
    assert not registry.folder.exists()


def test_without_any_model_there_is_nothing_to_tune(tmp_path, monkeypatch):
    monkeypatch.setattr("models.neural.forecaster.SHIPPED", tmp_path / "none.onnx")
    with pytest.raises(RegistryError, match="no model to tune"):
        retrain(history(), Registry(tmp_path / "r"), Order(), now_s=1.0, say=str)


@pytest.mark.slow
def test_a_bad_champion_is_rolled_back_before_its_parent_is_tuned(folder):
    path, name = folder
    registry = Registry(path)
    registry.promote(name, now_s=1.0)
    registry.model(name).write_bytes(b"")
    said = []
    wild = Settings(windows=600, judged=300, rate=5.0)  # leads nowhere, so the parent is kept
    order = Order(held_s=21_600.0, steps=20, settings=wild)
    outcome = retrain(history(), registry, order, now_s=2.0, say=said.append)
    assert "nothing that is better" in outcome.why
    assert registry.champion(*KEY) == SHIPPED
    assert registry.state().events[-1]["why"] == "its file is bad"
    assert any(name in line for line in said)


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "models.registry", "--hurry", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
def test_the_command_tells_its_outcome_as_json_and_its_end_in_a_line(tmp_path):
    save_history(history(3), tmp_path / "h.npz")
    files = ("--history", str(tmp_path / "h.npz"), "--registry", str(tmp_path / "r"))
    done = run(*files)
    assert done.returncode == 0
    outcome = json.loads(done.stdout)
    assert not outcome["promoted"]
    assert "864 x 3 values" in done.stderr
    assert "MiB" in done.stderr
    save_history(history(30, 40), tmp_path / "h.npz")
    assert run(*files, "--limit-s", "1").returncode == -14
    short = run(*files, "--memory-mib", "256")
    assert short.returncode == 1
    assert "256 MiB are not enough" in short.stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_a_retraining_lets_all_others_go_first():
    text = (
        "import os; from models.registry.limits import be_modest; be_modest();"
        "print(os.nice(0), os.sched_getscheduler(0) == os.SCHED_IDLE)"
    )
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.split()[0] == "19"

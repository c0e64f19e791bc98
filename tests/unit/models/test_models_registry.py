import dataclasses
import json
import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest

from models import load_shipped_model
from models.neural.cards import card_path, sha256_of
from models.neural.forecaster import open_model
from models.neural.onnxfile import read_weights, write_weights
from models.registry import SHIPPED, Registry, RegistryError, Verdict, Version
from models.registry.files import DRAFT, one_writer
from models.registry.log import append_event, read_log
from models.registry.registry import lineage

KEY = ("demand", "all")


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "registry")


@pytest.fixture(scope="module")
def shipped():
    return load_shipped_model()


def variant(shipped, number):
    """A model that differs from the shipped one in one weight."""
    bias = read_weights(shipped.content, ("outer.bias",))["outer.bias"]
    bias[0] += number * 1e-3
    content = write_weights(shipped.content, {"outer.bias": bias})
    card = dataclasses.replace(shipped.card, name="tuned", sha256=sha256_of(content))
    return open_model(Path("variant.onnx"), content, card)


def verdict(champion=SHIPPED, *, better=True):
    return Verdict(champion, 0.02, 0.01, 20, {"1": 0.02}, better, "better" if better else "worse")


def version(parent=SHIPPED, *, better=True, **changes):
    fields = {
        "name": "",
        "sha256": "",
        "parent": parent,
        "parent_sha256": "",
        "kind": "demand",
        "group": "all",
        "intervals": 2000,
        "series": 4,
        "step_s": 300.0,
        "first_s": 0.0,
        "seed": 1,
        "made_s": 10.0,
        "verdict": verdict(parent, better=better),
    }
    return Version(**{**fields, **changes})


def champions(registry, shipped, count):
    """Add and promote versions, each tuned from the one before; return their names."""
    names, parent = [], SHIPPED
    for number in range(1, count + 1):
        parent = registry.add(variant(shipped, number), version(parent)).name
        registry.promote(parent, now_s=float(number))
        names.append(parent)
    return names


def test_an_empty_registry_gives_the_shipped_model_and_writes_nothing(registry, shipped):
    loaded = registry.load(*KEY)
    assert loaded.version == SHIPPED
    assert loaded.forecaster.card == shipped.card
    assert not loaded.problems
    assert not registry.folder.exists()


def test_a_promoted_version_is_loaded_and_a_rollback_brings_the_parent_back(registry, shipped):
    first, second = champions(registry, shipped, 2)
    assert registry.load(*KEY).version == registry.champion(*KEY) == second
    assert registry.load(*KEY).forecaster.content == variant(shipped, 2).content
    assert registry.load("link", "all").version == SHIPPED
    assert registry.roll_back(*KEY, why="worse", now_s=5.0) == first
    assert registry.roll_back(*KEY, why="worse", now_s=6.0) == SHIPPED
    assert registry.load(*KEY).version == SHIPPED
    with pytest.raises(RegistryError, match="nothing to go back to"):
        registry.roll_back(*KEY, why="worse", now_s=7.0)
    # another process reads the same
    assert [one.name for one in Registry(registry.folder).versions()] == [first, second]


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"better": False}, "worse"),
        ({"verdict": None}, "not judged"),
        ({"verdict": verdict("00009-abc")}, "no longer"),
    ],
)
def test_what_was_not_judged_better_than_the_champion_is_not_promoted(
    registry, shipped, given, word
):
    name = registry.add(variant(shipped, 1), version(**given)).name
    with pytest.raises(RegistryError, match=word):
        registry.promote(name, now_s=1.0)
    assert registry.counts["refused"] == 1
    assert registry.champion(*KEY) == SHIPPED
    registry.promote(name, now_s=1.0, anyway="the person on call says so")
    assert registry.champion(*KEY) == name
    assert registry.state().events[-1]["why"] == "the person on call says so"


def test_an_unknown_version_and_a_damaged_file_are_not_promoted(registry, shipped):
    with pytest.raises(RegistryError, match="no version 'nobody'"):
        registry.promote("nobody", now_s=1.0)
    name = registry.add(variant(shipped, 1), version()).name
    registry.model(name).write_bytes(b"torn")
    with pytest.raises(RegistryError, match="not promoted"):
        registry.promote(name, now_s=1.0)


def cut(path):
    path.write_bytes(path.read_bytes()[:1000])


def turn(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def lose(path):
    path.unlink()


def lose_card(path):
    card_path(path).unlink()


def spoil_card(path):
    card_path(path).write_text("{")


def swap(path):
    """A good model with a good card, but not the one that was added."""
    other = variant(load_shipped_model(), 77)
    path.write_bytes(other.content)
    card_path(path).write_text(json.dumps(dataclasses.asdict(other.card)))


@pytest.mark.parametrize("damage", [cut, turn, lose, lose_card, spoil_card, swap])
def test_a_bad_champion_gives_way_to_the_next_good_one_with_a_clear_line(registry, shipped, damage):
    first, second = champions(registry, shipped, 2)
    damage(registry.model(second))
    loaded = registry.load(*KEY)
    assert loaded.version == first
    assert len(loaded.problems) == registry.counts["bad"] == 1
    assert second in loaded.problems[0]
    assert "\n" not in loaded.problems[0]
    damage(registry.model(first))
    assert registry.load(*KEY).version == SHIPPED
    assert registry.load(*KEY).forecaster is not None


def test_without_any_good_model_there_is_none_and_it_is_said(registry, shipped, monkeypatch):
    [name] = champions(registry, shipped, 1)
    cut(registry.model(name))
    monkeypatch.setattr("models.neural.forecaster.SHIPPED", registry.folder / "nowhere.onnx")
    loaded = registry.load(*KEY)
    assert loaded.forecaster is None
    assert len(loaded.problems) == 2
    assert registry.counts["none"] == 1


def test_a_crash_at_any_byte_of_the_log_leaves_a_usable_registry(registry, shipped):
    first, second = champions(registry, shipped, 2)
    whole = registry.log.read_bytes()
    ends = [at + 1 for at, byte in enumerate(whole) if byte == ord("\n")]
    for size in range(0, len(whole), 101):
        registry.log.write_bytes(whole[:size])
        expected = [SHIPPED, SHIPPED, first, first, second][sum(size >= end - 1 for end in ends)]
        assert registry.load(*KEY).version == expected
    # what comes next is written on a line of its own
    registry.log.write_bytes(whole[: ends[-1] - 20])
    third = registry.add(variant(shipped, 3), version(first)).name
    registry.promote(third, now_s=9.0)
    loaded = registry.load(*KEY)
    assert loaded.version == third
    assert "1 damaged line" in loaded.problems[0]


def test_a_crash_between_files_and_log_does_no_harm(registry, shipped, monkeypatch):
    [first] = champions(registry, shipped, 1)

    def crash(*_):
        raise KeyboardInterrupt

    for point in ("append_event", "write_whole"):
        with monkeypatch.context() as patch:
            patch.setattr(f"models.registry.registry.{point}", crash)
            with pytest.raises(KeyboardInterrupt):
                registry.add(variant(shipped, 2), version(first))
        assert registry.load(*KEY).version == first
    draft = registry.folder / f"x.onnx.1{DRAFT}"
    draft.write_bytes(b"half")
    added = registry.add(variant(shipped, 3), version(first))
    assert not draft.exists()
    assert [one.name for one in registry.versions()] == [first, added.name]


def test_nonsense_in_the_log_is_passed_over(registry, shipped):
    [first] = champions(registry, shipped, 1)
    odd = [b"\xff\xfe", b"[]", b"3", b'{"event": "added", "version": {}}', b'{"event": "?"}']
    odd.append(b'{"event": "promoted", "name": "ghost", "kind": "demand", "group": "all"}')
    with registry.log.open("ab") as file:
        file.write(b"\n".join(odd) + b"\n")
    loaded = registry.load(*KEY)
    assert loaded.version == first
    assert registry.counts["unreadable"] == len(odd)


def test_old_versions_are_dropped_but_never_the_champion_nor_its_parents(tmp_path, shipped):
    registry = Registry(tmp_path, keep=4)
    first, second = champions(registry, shipped, 2)
    for number in range(3, 12):
        registry.add(variant(shipped, number), version(second, better=False))
    names = [one.name for one in registry.versions()]
    assert len(list(tmp_path.glob("*.onnx"))) == len(names) == 4
    assert names[:2] == [first, second]
    assert registry.load(*KEY).version == second
    assert [int(name.split("-")[0]) for name in names[2:]] == [10, 11]


def test_a_lineage_without_its_dropped_members_still_ends_with_the_shipped_one(tmp_path, shipped):
    registry = Registry(tmp_path, keep=1)
    names = champions(registry, shipped, 5)
    kept = [one.name for one in registry.versions()]
    assert kept == names[-len(kept) :]
    state = registry.state()
    assert lineage(state, names[-1]) == (*reversed(kept), SHIPPED)


def test_two_writers_never_write_at_once(registry, shipped):
    registry.add(variant(shipped, 1), version())
    hasty = Registry(registry.folder, lock_wait_s=0.05)
    with one_writer(registry.folder / "lock"):
        with pytest.raises(RegistryError, match="another process"):
            hasty.add(variant(shipped, 2), version())
        assert hasty.load(*KEY).version == SHIPPED  # readers need no lock
    hasty.add(variant(shipped, 2), version())


def _add(folder, number):
    registry = Registry(folder)
    registry.add(variant(load_shipped_model(), number), version())


@pytest.mark.slow
def test_writers_of_several_processes_lose_nothing(registry):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_add, args=(registry.folder, n)) for n in range(1, 4)]
    for one in writers:
        one.start()
    for one in writers:
        one.join(60)
    assert sorted(int(v.name.split("-")[0]) for v in registry.versions()) == [1, 2, 3]
    assert not registry.state().unreadable


@pytest.mark.slow
def test_a_writer_that_is_killed_lets_the_lock_go(registry):
    registry.folder.mkdir()
    context = multiprocessing.get_context("spawn")
    holder = context.Process(target=_hold, args=(registry.folder,))
    holder.start()
    deadline = time.monotonic() + 30
    while not (registry.folder / "held").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with pytest.raises(RegistryError), one_writer(registry.folder / "lock", 0.05):
        pass
    holder.kill()
    holder.join(30)
    with one_writer(registry.folder / "lock", 5.0):
        pass


def _hold(folder):
    with one_writer(folder / "lock"):
        (folder / "held").touch()
        time.sleep(60)


def test_a_line_is_written_after_a_torn_one(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b'{"event": "drop')
    append_event(log, {"event": "dropped", "name": "a"})
    state = read_log(log)
    assert state.dropped == {"a"}
    assert state.unreadable == 1


def test_a_folder_that_cannot_be_written_is_an_error_in_one_line(tmp_path, shipped):
    (tmp_path / "file").write_text("")
    registry = Registry(tmp_path / "file" / "registry")
    with pytest.raises(RegistryError) as caught:
        registry.add(variant(shipped, 1), version())
    assert "\n" not in str(caught.value)
    assert registry.load(*KEY).version == SHIPPED
    assert np.isfinite(registry.load(*KEY).forecaster.forecast(np.ones((1, 20)), (1,))).all()

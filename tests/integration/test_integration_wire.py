"""The wire between two ports: delays, bounds, and cables that are cut."""

from functools import partial
from pathlib import Path

from tests.integration.scenes import play
from tests.integration.wire_lab import DELAYS_MS, FRAMES

WHOLE = {"there": True, "back": True, "carrier_a": True, "carrier_b": True}


run = partial(play, "wire_lab")


def test_frames_arrive_in_order_after_the_cables_delay_and_an_idle_wire_sleeps(
    tmp_path: Path,
) -> None:
    seen = run("accuracy", tmp_path)
    for delay_ms in DELAYS_MS:
        got = seen[f"{delay_ms:g}"]
        assert got["received"] == FRAMES
        assert got["ordered"]
        assert got["least"] >= delay_ms - 0.2
        assert got["p50"] <= delay_ms + 0.3
        assert got["idle_share"] < 0.01


def test_what_does_not_fit_on_a_cable_is_dropped_and_counted(tmp_path: Path) -> None:
    seen = run("bounded", tmp_path)
    assert 100 < seen["received"] < 300
    assert seen["received"] + seen["overflowed"] == seen["sent"]


def test_hundreds_of_megabits_go_over_twenty_milliseconds(tmp_path: Path) -> None:
    seen = run("throughput", tmp_path)
    assert seen["forwarded"] + seen["overflowed"] == seen["sent"]
    assert seen["forwarded_gbps"] > 0.3


def test_tagged_frame_comes_out_as_it_went_in(tmp_path: Path) -> None:
    seen = run("tagged", tmp_path)
    assert seen["out"] == seen["in"]


def test_cable_is_cut_loudly_silently_and_one_way_and_mended(tmp_path: Path) -> None:
    seen = run("cuts", tmp_path)
    none = {"there": False, "back": False}
    assert seen["whole"] == WHOLE
    assert seen["silent"] == {**WHOLE, **none}
    assert seen["one_way"] == {**WHOLE, "there": False}
    assert seen["whole again"] == WHOLE
    assert seen["down"] == {**none, "carrier_a": False, "carrier_b": False}
    assert seen["down_s"] < 1
    assert seen["up"] == WHOLE
    assert seen["raised"] == WHOLE
    assert seen["counts"]["silenced"] == 2
    assert seen["idle_share"] < 0.01

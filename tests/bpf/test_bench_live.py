"""The benchmark on the real kernel: short runs, of which only what must hold anywhere is asked."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CASES = {
    "drop",
    "redirect",
    "redirect_new",
    "steer_notag",
    "steer_tag",
    "mark",
    "mark_new",
    "balance",
    "balance_new",
    "fib_10k",
    "kernel_forward",
    "bridge",
    "ovs_afxdp_lossfree",
}


def bench(file: Path, *arguments: str) -> tuple[str, dict[str, Any]]:
    code = "from dataplane.bench.commands import bench; bench()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--json", str(file)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(file.read_text())


@pytest.mark.slow
def test_every_peer_forwards_and_ours_are_between_drop_and_the_kernel(tmp_path: Path) -> None:
    names = ",".join(sorted(CASES))
    text, found = bench(
        tmp_path / "figures.json", "dataplane", "--rounds=1", "--seconds=0.05", f"--only={names}"
    )
    mpps = found["mpps"]
    assert set(mpps) >= CASES
    assert all(rate > 0 for rate in mpps.values())
    assert mpps["drop"] > mpps["steer_tag"] > mpps["kernel_forward"]
    assert not set(found["lost"]) & {"redirect", "steer_tag", "mark", "mark_new", "balance"}
    ns = found["ns_per_packet"]
    assert {"drop", "redirect", "steer_tag", "mark", "balance", "fib_10k"} <= set(ns)
    assert ns["steer_tag"] > ns["redirect"]
    assert "x redirect" in text


@pytest.mark.slow
def test_connections_stay_and_are_all_told_of_when_weights_change(tmp_path: Path) -> None:
    _, found = bench(
        tmp_path / "system.json",
        *("system", "--seconds=2", "--rate=20000", "--connections=500", "--new=0.02"),
    )
    assert found["lost"] == 0
    assert found["established"] == 500
    assert (found["broken"], found["starved"], found["events_lost"]) == (0, 0, 0)
    assert found["opened"] == pytest.approx(0.02 * found["sent"], rel=0.05)
    assert found["events_read"] == found["opened"] + found["closed"]


@pytest.mark.slow
def test_a_flood_of_syns_breaks_no_connection(tmp_path: Path) -> None:
    _, found = bench(
        tmp_path / "flood.json",
        *("flood", "--seconds=2", "--rate=100000", "--connections=500", "--beside=5000"),
    )
    assert (found["broken"], found["starved"], found["opened"]) == (0, 0, 0)
    assert found["sent"] > 150_000

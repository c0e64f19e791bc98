"""The demo and the standalone controller as their users run them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headers.files import Link, Node, Topology, save_topology

ROOT = Path(__file__).resolve().parents[2]
FORESTEER = [sys.executable, "-m", "controller.cli"]
RYU_MANAGER = str(Path(sys.executable).with_name("ryu-manager"))
MN = ["mn", "--custom", "topologies/abilene.py", "--topo", "abilene"]


# coverage doubles what the loop's processes take: those whose figures are asked for run without
UNTRACED = {
    name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS")
}


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*FORESTEER, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def lines_until(process: subprocess.Popen[str], words: str, seconds: float = 60) -> list[str]:
    """Read lines until one holds the words."""
    assert process.stdout is not None
    deadline = time.monotonic() + seconds
    seen = []
    for line in process.stdout:
        seen.append(line)
        if words in line:
            return seen
        assert time.monotonic() < deadline, seen
    raise AssertionError(f"no line with {words!r}: {seen}")


def test_demo_on_abilene_beats_shortest_paths_and_is_no_worse_than_reacting(
    tmp_path: Path, data_directory: Path | None
) -> None:
    # a tick takes .6 s here: three leave room for a machine that is slower, and pauses
    some = ("--matrices", "24", "--tick", "3", "--out", str(tmp_path / "run"))
    demo = start("demo", *some, env=UNTRACED)
    out, _ = demo.communicate(timeout=300)
    assert demo.returncode == 0, out
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    methods = report["methods"]
    assert report["data"]["synthetic"] == (data_directory is None)
    assert ("synthetic" in out.lower()) == report["data"]["synthetic"]
    assert report["ticks"] >= 24
    assert report["loop"]["skipped_ticks"] == 0
    assert report["loop"]["rule_errors"] == 0
    assert report["traffic"]["delivered_ratio"] >= 0.995
    assert report["traffic"]["steered_ratio"] >= 0.98
    assert report["measured_vs_model"]["link_load_error"] <= 0.05
    ratio = {name: method["ratio"]["mean"] for name, method in methods.items()}
    assert ratio["predictive"] >= 1
    assert abs(ratio["predictive_measured"] / ratio["predictive"] - 1) <= 0.08
    if data_directory is not None:
        assert ratio["predictive"] <= 1.01 * ratio["reactive2"]
        assert ratio["predictive"] <= 0.85 * ratio["ospf"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<svg" in page
    assert "://" not in re.sub(r"http://www\.w3\.org/\S+", "", page)
    assert "predicted –" not in page
    within = re.findall(r"(\d+) of (\d+) intervals lay within the 90", page)
    assert len(within) == 3
    assert all(2 * int(inside) > int(known) >= 23 for inside, known in within)


def small_topology(path: Path) -> Path:
    """Write a ring of three: two backbones of more would be too much for two processors."""
    nodes = tuple(Node(name) for name in "ABC")
    links = tuple(Link(a.name, b.name, 10.0) for a in nodes for b in nodes if a != b)
    save_topology(Topology("ring", nodes, links), path)
    return path


def test_two_demos_side_by_side_do_not_meet(tmp_path: Path) -> None:
    ring = str(small_topology(tmp_path / "ring.json"))
    slow = ("--topology", ring, "--matrices", "3", "--tick", "4", "--rate", "8")
    demos = [start("demo", *slow, "--out", str(tmp_path / n), env=UNTRACED) for n in "ab"]
    outs = [demo.communicate(timeout=240)[0] for demo in demos]
    assert [demo.returncode for demo in demos] == [0, 0], outs
    pages = {re.search(r"page: (\S+)", out).group(1) for out in outs}  # type: ignore[union-attr]
    assert len(pages) == 2
    for name in "ab":
        with np.load(tmp_path / name / "replay.npz") as counts:
            assert counts["sent"].sum() > 1000
            assert counts["received"].sum() > 0.9 * counts["sent"].sum()
        report = json.loads((tmp_path / name / "report.json").read_text())
        # a machine that pauses may make one late, but every tick is accounted for, and those that
        # would have come while the last one was late
        assert report["ticks"] >= 1
        assert report["ticks"] + report["loop"]["skipped_ticks"] >= 4


@pytest.mark.parametrize("words", ["starting:", "ready after", "tick "])
def test_interrupt_at_any_moment_ends_everything(tmp_path: Path, words: str) -> None:
    demo = start("demo", "--matrices", "30", "--out", str(tmp_path / "run"))
    lines_until(demo, words)
    demo.send_signal(signal.SIGINT)
    out, _ = demo.communicate(timeout=20)
    assert demo.returncode in (1, 130), out
    assert "Traceback" not in out
    mine = str(tmp_path)
    processes = subprocess.run(
        ["ps", "-eo", "args="], capture_output=True, text=True, check=True
    ).stdout
    assert mine not in processes


def test_launcher_that_is_killed_takes_everything_with_it(tmp_path: Path) -> None:
    demo = start("demo", "--matrices", "30", "--out", str(tmp_path / "run"))
    lines_until(demo, "ready after")
    demo.kill()
    demo.wait()
    deadline = time.monotonic() + 15
    while (
        str(tmp_path)
        in subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True, check=True).stdout
    ):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert demo.returncode == -signal.SIGKILL


def bad_matrices(tmp_path: Path) -> Path:
    np.savez(tmp_path / "bad.npz", tm=np.zeros((3, 2, 2)), time=[0, 1, 2], nodes=["A"])
    return tmp_path / "bad.npz"


def other_matrices(tmp_path: Path) -> Path:
    np.savez(tmp_path / "other.npz", tm=np.ones((400, 2, 2)), time=range(400), nodes=["A", "B"])
    return tmp_path / "other.npz"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tm", "missing.npz", "--topology", "abilene"], "missing.npz"),
        (["--tm", "BAD", "--topology", "abilene"], "has shape"),
        (["--tm", "OTHER", "--topology", "abilene"], "different nodes"),
        (["--tm", "BAD"], "needs --topology"),
        (["--topology", "atlantis"], "no topology 'atlantis'"),
        (["--data", "/nonexistent"], "is not there"),
        (["--out", "/proc/x"], "/proc/x"),
    ],
)
def test_bad_request_ends_in_one_clear_line(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    files = {"BAD": bad_matrices(tmp_path), "OTHER": other_matrices(tmp_path)}
    given = [str(files.get(one, one)) for one in arguments]
    if "--out" not in given:
        given += ["--out", str(tmp_path / "run")]
    demo = start("demo", *given)
    out, _ = demo.communicate(timeout=60)
    assert demo.returncode == 1, out
    assert words in out
    assert "Traceback" not in out
    assert "rror: " in out.strip().splitlines()[-1]


def test_without_root_it_says_so() -> None:
    # by its descriptor: the clone may lie where others may not look
    with (ROOT / "run").open() as script:
        done = subprocess.run(
            [
                "setpriv",
                "--reuid=65534",
                "--clear-groups",
                "sh",
                f"/dev/fd/{script.fileno()}",
                "demo",
            ],
            pass_fds=[script.fileno()],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "needs root" in done.stderr


@pytest.fixture(params=["foresteer", "ryu-manager"])
def controller(
    request: pytest.FixtureRequest, instance_directory: Path
) -> Iterator[subprocess.Popen[str]]:
    """A controller as each of the two commands starts it."""
    if request.param == "foresteer":
        process = start("controller")
    else:
        process = subprocess.Popen(
            [RYU_MANAGER, "controller/app.py"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    state = instance_directory / "state.json"
    deadline = time.monotonic() + 30
    while not (state.exists() and json.loads(state.read_text()).get("southbound")):
        assert process.poll() is None, process.stdout
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield process
    process.terminate()
    process.communicate(timeout=20)


def test_mininets_own_command_runs_against_a_standalone_controller(
    controller: subprocess.Popen[str], instance_directory: Path
) -> None:
    commands = (
        "pingall\nh3 iperf3 -s -1 -D\nh7 iperf3 -c 10.3.0.1 -t 2\n"
        "sh ovs-ofctl -O OpenFlow13 dump-flows s3\nexit\n"
    )
    mn = start(*MN, stdin=subprocess.PIPE)
    out, _ = mn.communicate(commands, timeout=120)
    assert "0% dropped (132/132 received)" in out, out
    assert re.search(r"[1-9][0-9.]* Mbits/sec +receiver", out)
    assert "nsh_spi=0x" in out
    state = json.loads((instance_directory / "state.json").read_text())
    import urllib.request

    with urllib.request.urlopen(f"{state['page']}/api/v1/status") as reply:
        assert reply.status == 200
    with urllib.request.urlopen(state["page"]) as reply:
        assert b"<html" in reply.read()


def test_mistake_in_a_custom_file_harms_nobody(
    tmp_path: Path, controller: subprocess.Popen[str]
) -> None:
    (tmp_path / "wrong.py").write_text("raise RuntimeError('no topology today')\n")
    mn = start("mn", "--custom", str(ROOT / "tests" / "conftest.py"), "--topo", "nonsense")
    out, _ = mn.communicate(timeout=60)
    assert mn.returncode != 0 or "nonsense" in out
    assert controller.poll() is None


def test_mn_without_a_controller_says_what_to_do(instance_directory: Path) -> None:
    mn = start(*MN)
    out, _ = mn.communicate(timeout=30)
    assert mn.returncode == 1
    assert "./run controller" in out


def test_second_controller_of_an_instance_is_refused(
    controller: subprocess.Popen[str], instance_directory: Path
) -> None:
    other = start("controller")
    out, _ = other.communicate(timeout=30)
    assert other.returncode == 1
    assert "running already" in out
    ryu = subprocess.run(
        [RYU_MANAGER, "--ofp-tcp-listen-port", "16653", "controller/app.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ryu.returncode != 0
    assert "running already" in ryu.stderr + ryu.stdout


def test_clean_says_what_it_removed(instance_directory: Path) -> None:
    from bus import Instance

    child = Instance.find().ensure_bus()
    assert child is not None
    done = subprocess.run([*FORESTEER, "clean"], capture_output=True, text=True, check=True)
    assert "stopped bus" in done.stdout
    assert not Instance.find().running("bus")
    child.wait(5)
    assert os.environ["FORESTEER_INSTANCE"] == str(instance_directory)

"""``foresteer detach`` where there is nothing to take off, or nothing that it may touch."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from bus import Instance
from dataplane.detach import detach, on_bpffs
from dataplane.errors import DataplaneError
from dataplane.tools_commands import detach as command

HOLD = """
import signal, sys, time
from pathlib import Path
from bus import Instance
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
lock = Instance(Path(sys.argv[1])).hold("agent")
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def agent() -> Iterator[Callable[[Path, str], subprocess.Popen[str]]]:
    """Start a process that holds an agent's lock, and does nothing."""
    children = []

    def start(directory: Path, kind: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(directory), kind], stdout=subprocess.PIPE, text=True
        )
        children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()


def test_folder_that_is_no_bpffs_is_not_touched(tmp_path: Path) -> None:
    precious = tmp_path / "links" / "a:b"
    precious.parent.mkdir()
    precious.write_text("precious")
    assert not on_bpffs(tmp_path)
    done = detach(tmp_path, None, dedicated=True)
    assert (done.links, done.objects, done.agent, done.agent_lives) == ((), 0, None, False)
    assert precious.read_text() == "precious"


def test_folder_that_is_not_there_is_nothing_to_take_off(tmp_path: Path) -> None:
    assert detach(tmp_path / "none", None, dedicated=True).links == ()


def test_command_says_that_there_was_nothing(instance_directory: Path) -> None:
    result = CliRunner().invoke(command, [])
    assert result.exit_code == 0
    assert result.output.startswith("0 ports freed, 0 programs and maps removed in 0.0")


def test_agent_whose_pins_are_elsewhere_is_not_stopped_and_the_way_there_is_told(
    instance_directory: Path, agent: Callable[[Path, str], subprocess.Popen[str]]
) -> None:
    child = agent(instance_directory, "good")
    with pytest.raises(DataplaneError, match=f"nsenter -t {child.pid} -m foresteer detach"):
        detach(instance_directory / "bpf", Instance(instance_directory), dedicated=True)
    assert child.poll() is None
    result = CliRunner().invoke(command, [])
    assert result.exit_code == 1
    assert "not seen here" in result.output
    (instance_directory / "pids" / "agent").write_text(f"{child.pid} pid:[1]")
    with pytest.raises(DataplaneError, match="run it where the agent runs"):
        detach(instance_directory / "bpf", Instance(instance_directory), dedicated=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["good", "deaf"])
def test_agent_is_stopped_in_less_than_a_second_even_one_that_does_not_listen(
    instance_directory: Path,
    agent: Callable[[Path, str], subprocess.Popen[str]],
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child = agent(instance_directory, kind)
    monkeypatch.setattr("dataplane.detach.on_bpffs", lambda _: True)  # so that it goes on
    (instance_directory / "bpf").mkdir()
    began = time.monotonic()
    done = detach(instance_directory / "bpf", Instance(instance_directory), dedicated=True)
    assert time.monotonic() - began < 1
    assert (done.agent, done.agent_lives) == (child.pid, False)


def test_agent_of_another_pid_namespace_is_left_alone_and_told_of(
    instance_directory: Path,
    agent: Callable[[Path, str], subprocess.Popen[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child = agent(instance_directory, "good")
    (instance_directory / "pids" / "agent").write_text(f"{child.pid} pid:[1]")
    monkeypatch.setattr("dataplane.detach.on_bpffs", lambda _: True)
    (instance_directory / "bpf").mkdir()
    result = CliRunner().invoke(command, [])
    assert result.exit_code == 1
    assert "runs all the same" in result.output
    assert child.poll() is None

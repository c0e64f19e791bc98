"""The supervisor, over real processes that are killed."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bus import Instance
from topologies.lab.supervisor import Supervisor, southbound_command

DEADLINE_S = 5.0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def supervisor(instance_directory: Path, lines: list[str]) -> Iterator[Supervisor]:
    made = Supervisor(Instance(instance_directory), lines.append)
    yield made
    made.stop()


@pytest.mark.slow
def test_process_that_dies_is_started_again_and_that_is_said(
    supervisor: Supervisor, lines: list[str]
) -> None:
    supervisor.add("worker", ["sleep", "60"])
    supervisor.watch()
    first = supervisor.instance.pid("worker")
    assert first is not None
    os.kill(first, signal.SIGKILL)
    until(lambda: lines == ["worker had died: started again"])
    second = supervisor.instance.pid("worker")
    assert second not in (None, first)
    assert supervisor.restarts == {"worker": 1}


def test_process_that_lives_is_left_alone(supervisor: Supervisor, lines: list[str]) -> None:
    supervisor.add("worker", ["sleep", "60"])
    pid = supervisor.instance.pid("worker")
    supervisor.add("worker", ["sleep", "60"])
    assert supervisor.instance.pid("worker") == pid
    assert lines == []


def test_stop_ends_every_process(supervisor: Supervisor) -> None:
    for name in ("one", "two"):
        supervisor.add(name, ["sleep", "60"])
    supervisor.watch()
    supervisor.stop()
    until(lambda: not any(supervisor.instance.running(name) for name in ("one", "two")))


def test_southbound_listens_where_it_is_told() -> None:
    command = southbound_command(6653, "192.0.2.1")
    assert command[1:5] == ["--ofp-listen-host", "192.0.2.1", "--ofp-tcp-listen-port", "6653"]
    assert Path(command[-1]).is_file()

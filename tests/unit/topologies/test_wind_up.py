"""A lab that is told to end: at once, or after being made to."""

import os
import signal
import subprocess
import threading
import time

import pytest

from topologies import commands
from topologies.lab import demo
from topologies.lab.namespaces import LIFELINE, when_left_alone


def test_child_that_does_not_wind_up_is_ended_and_that_counts_as_interrupted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "STOP_S", 0.2)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    child = subprocess.Popen(["sleep", "30"])
    read, lifeline = os.pipe()
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
    old = signal.getsignal(signal.SIGTERM)
    try:
        assert commands._wait(child, lifeline) == 130
    finally:
        os.close(read)
        for number, handler in {**before, signal.SIGTERM: old}.items():
            signal.signal(number, handler)
    assert "had not wound up" in capsys.readouterr().out


def test_child_that_ends_by_itself_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in handlers}
    child = subprocess.Popen(["sh", "-c", "exit 3"])
    read, lifeline = os.pipe()
    try:
        assert commands._wait(child, lifeline) == 3
    finally:
        os.close(read)
        os.close(lifeline)
        for number, handler in before.items():
            signal.signal(number, handler)


def test_interrupt_is_repeated_until_it_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[float] = []
    old = signal.signal(signal.SIGINT, lambda *_: heard.append(time.monotonic()))
    read, lifeline = os.pipe()
    monkeypatch.setenv(LIFELINE, str(read))
    winding_up, before = threading.Event(), set(threading.enumerate())
    try:
        when_left_alone(lambda: demo._interrupt(winding_up, again_s=0.05))
        os.close(lifeline)
        deadline = time.monotonic() + 5
        while len(heard) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(heard) >= 3
        winding_up.set()
        # the thread that interrupts ends, so nothing more can come
        while set(threading.enumerate()) - before:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGINT, old)
        os.close(read)

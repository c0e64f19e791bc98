"""The southbound's socket: a real server on green threads, talked to as brains do, and as none."""

import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bus.frames import Unpacker, pack
from headers.messages import (
    Applied,
    ApplySwitches,
    NetworkLinks,
    PortCounters,
    SwitchApplied,
    SwitchDesired,
)

# what ryu-manager makes of its process; the greeting carries the counts of what was refused
SERVER = """
import signal
import sys
import eventlet
eventlet.monkey_patch(thread=False)
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
from pathlib import Path
from controller.southbound.link import BrainLink
from headers.messages import Applied, NetworkLinks, PortCounters, SwitchApplied

def apply(wanted):
    done = tuple(SwitchApplied(s.dpid, True, 1, 0, 0) for s in wanted.switches)
    return Applied(wanted.generation, done)

def greet():
    return [NetworkLinks((), (), (), (), dict(link.refused))]

def talk():
    number = 0
    while True:
        number += 1
        link.tell(PortCounters(float(number), ()))
        eventlet.sleep(0)

link = BrainLink(Path(sys.argv[1]), apply, greet)
if sys.argv[2:] == ["talk"]:
    eventlet.spawn_n(talk)
eventlet.spawn_n(link.serve)
while not stop:
    eventlet.sleep(0.01)
"""
DEADLINE_S = 8.0


class Brain:
    """A client of the socket."""

    def __init__(self, path: Path, server: "subprocess.Popen[bytes]") -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE_S)
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                self.socket.connect(str(path))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                assert server.poll() is None, "the server ended"
                assert time.monotonic() < deadline, "the server does not come up"
                time.sleep(0.01)
        self._unpacker = Unpacker()
        self._messages: list[Any] = []

    def receive(self) -> Any:
        """Return the next message, None at the end."""
        while not self._messages:
            data = self.socket.recv(1 << 16)
            if not data:
                return None
            self._messages = self._unpacker.feed(data)
        return self._messages.pop(0)

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Callable[[], Brain]]]:
    processes, brains = [], []

    def start(*arguments: str) -> Callable[[], Brain]:
        path = tmp_path / "southbound.sock"
        processes.append(
            subprocess.Popen([sys.executable, "-W", "ignore", "-c", SERVER, str(path), *arguments])
        )

        def connect() -> Brain:
            brains.append(Brain(path, processes[-1]))
            return brains[-1]

        return connect

    yield start
    for brain in brains:
        brain.close()
    for process in processes:
        process.terminate()
        process.wait(5)


def wanted(generation: int) -> ApplySwitches:
    states = (SwitchDesired(1, (), (), ()), SwitchDesired(2, (), (), ()))
    return ApplySwitches(1, generation, "02:f0:00:00:00:01", states)


def refused(connect: Callable[[], Brain], reason: str) -> int:
    """What a new brain is told at first of what was refused so far."""
    brain = connect()
    greeting = brain.receive()
    brain.close()
    assert isinstance(greeting, NetworkLinks)
    return greeting.refused.get(reason, 0)


def wait_refused(connect: Callable[[], Brain], reason: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not refused(connect, reason):
        assert time.monotonic() < deadline, f"{reason} is not counted"


def test_brain_is_greeted_and_each_of_its_states_is_answered(serve: Any) -> None:
    connect = serve()
    brain = connect()
    assert brain.receive() == NetworkLinks((), (), (), (), {})
    brain.socket.sendall(pack(wanted(3)) + pack(wanted(4)))
    expected = (SwitchApplied(1, True, 1, 0, 0), SwitchApplied(2, True, 1, 0, 0))
    assert brain.receive() == Applied(3, expected)
    assert brain.receive() == Applied(4, expected)


def test_message_in_pieces_is_put_together(serve: Any) -> None:
    brain = serve()()
    brain.receive()
    for byte in pack(wanted(5)):
        brain.socket.sendall(bytes([byte]))
    assert brain.receive().generation == 5


def test_socket_is_for_its_owner_only(serve: Any, tmp_path: Path) -> None:
    serve()()
    assert (tmp_path / "southbound.sock").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_garbage_ends_its_connection_is_counted_and_harms_no_other(serve: Any) -> None:
    connect = serve()
    good = connect()
    good.receive()
    kinds = (
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack("!I", 0xFFFFFFFF) + bytes(100),
        struct.pack("!I", 5) + b"\xc1\xc1\xc1\xc1\xc1",
        struct.pack("!I", 1) + b"\x90",
    )
    for number, garbage in enumerate(kinds, 1):
        bad = connect()
        bad.receive()
        bad.socket.sendall(garbage)
        assert bad.receive() is None
        good.socket.sendall(pack(wanted(number)))
        assert good.receive().generation == number
        assert refused(connect, "bad_message") == number


def test_message_of_a_kind_that_brains_do_not_send_is_counted_and_ignored(serve: Any) -> None:
    connect = serve()
    brain = connect()
    brain.receive()
    brain.socket.sendall(pack(PortCounters(1.0, ())) + pack(wanted(7)))
    assert brain.receive().generation == 7
    assert refused(connect, "unexpected_message") == 1


def test_brain_that_goes_away_in_the_middle_of_a_message_leaves_no_trace(serve: Any) -> None:
    connect = serve()
    brain = connect()
    brain.receive()
    brain.socket.sendall(pack(wanted(8))[:-3])
    brain.close()
    other = connect()
    assert other.receive() == NetworkLinks((), (), (), (), {})


def test_every_brain_hears_the_same_news_in_order(serve: Any) -> None:
    connect = serve("talk")
    for brain in (connect(), connect()):
        assert isinstance(brain.receive(), NetworkLinks)
        times = [brain.receive().time_s for _ in range(5)]
        assert times == [times[0] + i for i in range(5)]


@pytest.mark.slow
def test_brain_that_does_not_read_loses_its_connection_and_others_do_not(serve: Any) -> None:
    connect = serve("talk")
    stuck = connect()
    # who asks for the count goes away unread, and may itself be counted where the machine is slow
    wait_refused(connect, "slow_brain")
    last: Any = None
    while (message := stuck.receive()) is not None:
        last = message
    assert isinstance(last, PortCounters)
    assert isinstance(connect().receive(), NetworkLinks)

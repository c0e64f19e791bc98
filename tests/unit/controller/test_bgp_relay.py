"""The relay between ExaBGP and the brain: what it remembers, and whose answer is whose."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.act.bgp.relay import Relay

PEER, WEB = "10.0.1.2", "203.0.113.0/24"
ANNOUNCE = f"neighbor {PEER} announce route {WEB} next-hop self med 10"
WITHDRAW = f"neighbor {PEER} withdraw route {WEB} next-hop self"


class Wired:
    """A relay, and the brain's end of its socket."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind("brain.sock")
        self.listener.listen()
        self.relay = Relay("brain.sock")

    def connect(self) -> tuple[socket.socket, dict[str, Any], list[dict[str, Any]]]:
        """Return the brain's end, and what it is told at first."""
        made = self.relay.connect()
        assert made is not None
        end, _ = self.listener.accept()
        end.settimeout(0.2)
        hello, *routes = [json.loads(line) for line in self.read(end).splitlines()]
        return end, hello, routes

    @staticmethod
    def read(end: socket.socket) -> str:
        got = b""
        try:
            while chunk := end.recv(1 << 16):
                got += chunk
        except TimeoutError:
            pass
        return got.decode()

    def hear(self, *lines: object) -> None:
        for line in lines:
            text = line if isinstance(line, str) else json.dumps(line)
            with self.relay.lock:
                self.relay._heard(text)

    def close(self) -> None:
        self.listener.close()
        if self.relay.connection is not None:
            self.relay.connection.close()


@pytest.fixture
def wired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wired]:
    made = Wired(tmp_path, monkeypatch)
    yield made
    made.close()


def state(word: str) -> dict[str, Any]:
    return {"type": "state", "neighbor": {"address": {"peer": PEER}, "state": word}}


def update(**body: Any) -> dict[str, Any]:
    return {
        "type": "update",
        "neighbor": {"address": {"peer": PEER}, "message": {"update": body}},
    }


def test_new_brain_is_told_what_is_announced_and_learned(wired: Wired) -> None:
    first, hello, _ = wired.connect()
    assert (hello["announced"], hello["up"]) == ([], [])
    wired.relay.say([ANNOUNCE, "neighbor x announce nonsense"], wired.relay.number)
    route = {"ipv4 unicast": {PEER: [{"nlri": "192.0.2.0/24"}, {"nlri": "198.51.100.0/24"}]}}
    wired.hear(state("up"), update(attribute={"med": 7}, announce=route), "done", "error")
    wired.hear(update(withdraw={"ipv4 unicast": [{"nlri": "192.0.2.0/24"}]}), "{damaged")
    assert wired.read(first).count("\n") == 6
    first.close()
    second, hello, routes = wired.connect()
    assert hello["announced"] == [[PEER, WEB, ANNOUNCE]]
    assert hello["up"] == [PEER]
    kept = routes[0]["neighbor"]["message"]["update"]
    assert (len(routes), kept["attribute"]) == (1, {"med": 7})
    assert kept["announce"] == {"ipv4 unicast": {PEER: [{"nlri": "198.51.100.0/24"}]}}
    wired.hear(state("down"))
    second.close()
    third, hello, routes = wired.connect()
    assert (hello["up"], routes) == ([], [])
    third.close()


def test_answer_to_an_earlier_brain_is_not_taken_for_one_to_the_next(wired: Wired) -> None:
    first, _, _ = wired.connect()
    wired.relay.say([ANNOUNCE], wired.relay.number)
    first.close()
    second, hello, _ = wired.connect()
    assert hello["announced"] == []
    wired.hear("done")
    assert wired.read(second) == ""
    # yet it is remembered: it is in force
    assert wired.relay.announced == {(PEER, WEB): ANNOUNCE}
    wired.relay.say([WITHDRAW], wired.relay.number)
    wired.hear("error")
    assert wired.read(second) == "error\n"
    assert wired.relay.announced
    second.close()


def test_all_is_withdrawn_when_asked_to_and_commands_are_whole_lines(
    wired: Wired, capsys: pytest.CaptureFixture[str]
) -> None:
    end, _, _ = wired.connect()
    made = wired.relay.connection
    assert made is not None
    serving = threading.Thread(target=wired.relay.serve, args=(made,))
    serving.start()
    end.sendall(ANNOUNCE[:20].encode())
    end.sendall(ANNOUNCE[20:].encode() + b"\n")
    end.close()
    serving.join(30)
    assert capsys.readouterr().out == f"{ANNOUNCE}\n"
    wired.hear("done", "done")
    wired.relay.withdraw()
    assert capsys.readouterr().out == f"{WITHDRAW}\n"
    wired.hear("done")
    assert wired.relay.announced == {}
    assert Relay("nowhere.sock").connect() is None
